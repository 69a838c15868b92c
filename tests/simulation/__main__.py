"""The command: ``PYTHONPATH=tests python -m simulation --seeds 10000``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from simulation.plants import PLANTS
from simulation.run import SOMETIMES, Failure, Result, run_seed, run_seeds
from simulation.world import World

# A run of so many seeds must have met every rare path.
_ENOUGH_SEEDS = 1_000
_LINES_SHOWN = 30
_FAILURES_SHOWN = 3


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every line of its trace")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="cores to use")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="plant a bug, which must be found")
    return parser.parse_args()


def main() -> int:
    """Simulate; return 0 when everything held and every rare path was met."""
    arguments = _arguments()
    if arguments.seed is not None:
        return _one(arguments.seed, arguments.plant, trace=arguments.trace)
    started_at = time.monotonic()
    result = Result()
    for part in run_seeds(arguments.first, arguments.seeds, max(1, arguments.jobs), arguments.plant):
        result.add(part)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{_progress(result, arguments.seeds, started_at)}")
            sys.stderr.flush()
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    _say(_progress(result, arguments.seeds, started_at))
    return _report(result, arguments.plant)


def _one(seed: int, plant: str | None, *, trace: bool) -> int:
    world = run_seed(seed, plant)
    if trace:
        _say("\n".join(world.trace()))
    _say(f"seed {seed}: {world.steps} steps, trace {world.trace_hash()}")
    if world.violations:
        _show(_failure(seed, world), plant, lines=0 if trace else _LINES_SHOWN)
    return 1 if world.violations else 0


def _failure(seed: int, world: World) -> Failure:
    return Failure(seed, world.violations, world.trace(), world.trace_hash())


def _progress(result: Result, seeds: int, started_at: float) -> str:
    took_s = time.monotonic() - started_at
    return f"{result.seeds}/{seeds} seeds, {result.steps} steps, {len(result.failures)} failed, {took_s:.1f} s"


def _report(result: Result, plant: str | None) -> int:
    for path in SOMETIMES:
        _say(f"  {result.sometimes[path]:8} seeds met {path}")
    failures = sorted(result.failures, key=lambda failure: failure.seed)
    invariants = Counter(violation.invariant for failure in failures for violation in failure.violations)
    for failure in failures[:_FAILURES_SHOWN]:
        _show(failure, plant, lines=_LINES_SHOWN)
    if failures:
        kinds = ", ".join(f"{name} {count} times" for name, count in sorted(invariants.items()))
        _say(f"FAIL: {len(failures)} of {result.seeds} seeds ({kinds})")
        _say("seeds: " + " ".join(str(failure.seed) for failure in failures[:50]))
        return 1
    missed = [path for path in SOMETIMES if not result.sometimes[path]]
    if missed and result.seeds >= _ENOUGH_SEEDS:
        _say(f"FAIL: never met: {', '.join(missed)}")
        return 1
    _say("ok")
    return 0


def _show(failure: Failure, plant: str | None, *, lines: int) -> None:
    _say(f"\nseed {failure.seed} failed, trace {failure.trace_hash}:")
    for violation in failure.violations[:5]:
        _say(f"  {violation.invariant}: {violation.sentence}")
    if lines:
        _say(f"the last {lines} lines up to the first violation:")
        end = next((n for n, line in enumerate(failure.trace, 1) if ": VIOLATED " in line), len(failure.trace))
        _say("\n".join("  " + line[:200] for line in failure.trace[max(0, end - lines) : end]))
    option = f" --plant {plant}" if plant else ""
    _say(f"replay: PYTHONPATH=tests python -m simulation --seed {failure.seed}{option} --trace\n")


if __name__ == "__main__":
    sys.exit(main())
