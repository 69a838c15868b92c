"""``python -m faults.soak --minutes 480``: one sale for hours, a fault every ten seconds; nothing may leak or break.

Two services share the stores. One is killed now and then like everything else; the other never, and by it is
measured whether memory, threads and descriptors stay flat.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
import psycopg

from faults.nemesis import Nemesis
from faults.row import FaultError, Scale, Stage
from faults.runner import orphans_are_ours
from faults.scene import Scene, scene
from harness.service import ServiceProcess
from oracle.checker import check_snapshot

_EVERY_S = 10.0
_LOOK_EVERY_S = 2.0
_SNAPSHOT_EVERY_S = 5.0
_LINE_EVERY_S = 10.0
_RATE = 60.0
_ROUND = 5_000
_WARM_UP = 0.25
_WINDOW = 0.15
_GROWTH_MAX = 0.05
# So many threads or descriptors more or less come and go with the load.
_COUNT_SLACK = 15
_ACTOR_IDLE_S = "10"
_VIOLATIONS_MAX = 50


@dataclass(frozen=True)
class Sample:
    """What the service that is never killed uses."""

    at_s: float
    memory: int
    threads: int
    # Without those of connections that the clients hold open.
    descriptors: int


class Soak:
    """One soak under way."""

    def __init__(self, act: Scene, minutes: float, every_s: float) -> None:
        self._act = act
        self._length_s = minutes * 60
        self._every_s = every_s
        self._began_at = time.monotonic()
        self._over = threading.Event()
        self.nemesis = Nemesis(act, seed=int(time.time()))
        self.samples: list[Sample] = []
        self.violations: list[str] = []
        self.snapshots = 0
        self._decided_before = (0.0, 0)

    def run(self) -> None:
        """Strike until the time is over, then judge."""
        self._act.begin(rate=_RATE, round_size=_ROUND)
        self._began_at = time.monotonic()
        looking = threading.Thread(target=self._look, name="soak-look", daemon=True)
        looking.start()
        try:
            while self._elapsed_s() < self._length_s:
                struck_at = time.monotonic()
                try:
                    self.nemesis.strike()
                except FaultError as error:
                    self._note([str(error)])
                self.nemesis.wait_turn(struck_at, min(self._every_s, max(0.0, self._length_s - self._elapsed_s())))
        finally:
            self._over.set()
            looking.join(30.0)
        try:
            self._act.finish()
        except FaultError as error:
            self._note(str(error).splitlines())
        self._note(flatness(self.samples))

    def report(self) -> list[str]:
        """Return the lines of the report, as Markdown."""
        seen = self._act.clients.seen
        minutes = self._elapsed_s() / 60
        lines = [
            "# Soak",
            "",
            (
                f"{minutes:.1f} minutes, {sum(self.nemesis.strikes.values())} faults, {seen.accepted:,} jobs accepted, "
                f"{seen.decided:,} answers told, {self._act.lost()} lost, {self.snapshots} snapshots checked, "
                f"{len(self.violations)} violations."
            ),
            "",
            "| fault | injected |",
            "|---|---|",
            *(f"| {name} | {count} |" for name, count in sorted(self.nemesis.strikes.items())),
            "",
            *usage_table(self.samples),
        ]
        if self.violations:
            lines += ["", "## Violations", "", *(f"- {sentence}" for sentence in self.violations)]
        return lines

    def status(self) -> str:
        """Return the present state in one line."""
        seen = self._act.clients.seen
        now = time.monotonic()
        since, before = self._decided_before
        per_s = (seen.decided - before) / max(0.001, now - since)
        self._decided_before = (now, seen.decided)
        latest = self.samples[-1] if self.samples else Sample(0, 0, 0, 0)
        return (
            f"{self._elapsed_s():6.0f} s  {sum(self.nemesis.strikes.values())} faults  {seen.accepted:,} accepted  "
            f"{seen.decided:,} decided ({per_s:.0f}/s)  {self._depth()} waiting  {len(self.violations)} violations  "
            f"{latest.memory / 2**20:.0f} MiB  {latest.threads} threads  {latest.descriptors} descriptors"
        )

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_at

    def _depth(self) -> str:
        return str(self._act.clients.open_jobs())

    def _look(self) -> None:
        live = sys.stdout.isatty()
        next_snapshot = next_line = 0.0
        while not self._over.wait(_LOOK_EVERY_S):
            now = time.monotonic()
            self._measure(self._act.world.services[-1])
            if now >= next_snapshot:
                next_snapshot = now + _SNAPSHOT_EVERY_S
                self._check()
            if live:
                click.echo(f"\r\033[K{self.status()}", nl=False)
            elif now >= next_line:
                next_line = now + _LINE_EVERY_S
                click.echo(self.status())

    def _measure(self, service: ServiceProcess) -> None:
        try:
            process = psutil.Process(service.pid)
            self.samples.append(
                Sample(
                    self._elapsed_s(),
                    process.memory_info().rss,
                    process.num_threads(),
                    process.num_fds() - _held_by_clients(process, service.port),
                )
            )
        except psutil.NoSuchProcess:
            self._note([f"the service that nobody killed has ended:\n{service.log_text()[-2_000:]}"])
            self._over.set()

    def _check(self) -> None:
        try:
            found = check_snapshot(self._act.world.url)
        except psycopg.OperationalError:
            # PostgreSQL is what is being broken just now.
            return
        self.snapshots += 1
        self._note([f"{one.invariant}: {one.sentence}" for one in found])

    def _note(self, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            if len(self.violations) < _VIOLATIONS_MAX and sentence not in self.violations:
                self.violations.append(sentence)
                click.echo(f"\nVIOLATION: {sentence}")


def _held_by_clients(process: psutil.Process, port: int) -> int:
    # How many connections the clients keep open is their doing; one they closed and we did not is ours.
    return sum(
        one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED
        for one in process.net_connections("tcp")
        if one.laddr
    )


def windows(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Return the samples just after the warm-up and those of the end."""
    if not samples:
        return [], []
    end_s = samples[-1].at_s
    first = [one for one in samples if _WARM_UP * end_s <= one.at_s <= (_WARM_UP + _WINDOW) * end_s]
    return first, [one for one in samples if one.at_s >= (1 - _WINDOW) * end_s]


def flatness(samples: Sequence[Sample]) -> list[str]:
    """Return what has grown from the end of the warm-up to the end, as sentences."""
    first, last = windows(samples)
    if not first or not last:
        return ["too short to say whether memory stays flat"]
    sentences = []
    before, after = _medians(first), _medians(last)
    if after[0] > before[0] * (1 + _GROWTH_MAX):
        sentences.append(f"memory grew by {after[0] / before[0] - 1:.1%} after the warm-up, 5 % are allowed")
    for name, was, now in (("threads", before[1], after[1]), ("descriptors", before[2], after[2])):
        if now > was + _COUNT_SLACK:
            sentences.append(f"{name} grew from {was:.0f} to {now:.0f} after the warm-up")
    return sentences


def usage_table(samples: Sequence[Sample]) -> list[str]:
    """Return the table of memory, threads and descriptors."""
    first, last = windows(samples)
    if not first or not last:
        return []
    before, after = _medians(first), _medians(last)
    return [
        "| the service that is never killed | after warm-up | at the end |",
        "|---|---|---|",
        f"| memory | {before[0] / 2**20:.1f} MiB | {after[0] / 2**20:.1f} MiB ({after[0] / before[0] - 1:+.1%}) |",
        f"| threads | {before[1]:.0f} | {after[1]:.0f} |",
        f"| descriptors | {before[2]:.0f} | {after[2]:.0f} |",
    ]


def _medians(samples: Sequence[Sample]) -> tuple[float, float, float]:
    return (
        statistics.median(one.memory for one in samples),
        statistics.median(one.threads for one in samples),
        statistics.median(one.descriptors for one in samples),
    )


def main() -> int:
    """Soak for as long as the command line says and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m faults.soak", description="One long sale under many faults.")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--every", type=float, default=_EVERY_S, metavar="S", help="seconds between two faults")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the report to a file, too")
    arguments = parser.parse_args()
    # The kit's own pool; what the service says of its pool is in its log.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="aaf"))
    # For root: PostgreSQL's account must pass through.
    folder.chmod(0o711)
    stage = Stage(Scale.FULL, 1, folder, arguments.minutes * 60)
    try:
        with orphans_are_ours(), scene(stage, services=2, environ={"AURORA_ACTOR_IDLE_S": _ACTOR_IDLE_S}) as act:
            soak = Soak(act, arguments.minutes, arguments.every)
            soak.run()
            lines = soak.report()
    except KeyboardInterrupt:
        click.echo("\nInterrupted; every process has ended.")
        return 130
    click.echo("\n" + "\n".join(lines))
    if arguments.report is not None:
        arguments.report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if soak.violations:
        click.echo(f"\nIts folder: {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
