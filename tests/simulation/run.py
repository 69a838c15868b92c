"""Runs many seeds over the cores, and remembers the first that failed and the rare paths that were reached."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from simulation.controlled import controlled
from simulation.invariants import Violation
from simulation.plants import planted
from simulation.world import World

_CHUNK = 50

# Rare by themselves; a thousand seeds that never took one of them have proven less than they say.
SOMETIMES = (
    "a batch of more than one job",
    "a replay that found a decided job",
    "an epoch abort",
    "a passivation that raced an enqueue",
    "a 429",
    "a 503",
    "an unknown COMMIT",
    "a catch-up from the stream",
    "a successful half-open probe",
    "a queue_restarted entry",
    "a poisoned batch",
    "a lock not granted in time",
    "a committer replaced",
    "a foreign lease",
    "a batch of a paused event",
    "a job told late",
    "a zombie",
    "a clean stop",
    "a process killed within a transaction",
    "a crash at before_enqueue",
    "a crash at after_enqueue",
    "a crash at after_read",
    "a crash at after_lock",
    "a crash at before_commit",
    "a crash at after_commit",
    "a crash at after_finish",
    "a crash at on_start",
    "a crash at on_stop",
    "a crash at in_passivation",
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed in which an invariant did not hold."""

    seed: int
    violations: list[Violation]
    trace: list[str]
    trace_hash: str


@dataclass(slots=True)
class Result:
    """What some seeds showed."""

    seeds: int = 0
    steps: int = 0
    failures: list[Failure] = field(default_factory=list)
    sometimes: Counter[str] = field(default_factory=Counter)

    def add(self, other: Result) -> None:
        """Add what other seeds showed."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.failures += other.failures
        self.sometimes.update(other.sometimes)


def run_seed(seed: int, plant: str | None = None) -> World:
    """Simulate one seed."""
    with controlled(), planted(plant):
        world = World(seed)
        world.simulate()
        return world


def run_seeds(first: int, count: int, cores: int, plant: str | None = None) -> Iterator[Result]:
    """Simulate seeds; yield what some of them showed whenever they are done."""
    chunks = [(start, min(start + _CHUNK, first + count), plant) for start in range(first, first + count, _CHUNK)]
    if cores == 1:
        yield from map(_run_chunk, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        yield from pool.imap_unordered(_run_chunk, chunks)


def _run_chunk(chunk: tuple[int, int, str | None]) -> Result:
    first, last, plant = chunk
    result = Result()
    with controlled(), planted(plant):
        for seed in range(first, last):
            world = World(seed)
            world.simulate()
            result.seeds += 1
            result.steps += world.steps
            result.sometimes.update(world.sometimes.keys())
            if world.violations:
                result.failures.append(Failure(seed, world.violations, world.trace(), world.trace_hash()))
    return result
