"""Runs scenarios in turns, shows how far it is, and audits what they left."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from aurora_atlan.persistence.errors import StoreError
from benchmarks import tables
from benchmarks.results import MeasurementError
from benchmarks.scenarios import GROWING, SERVED, Scenario
from benchmarks.usage import OTHERS, OTHERS_MAX
from benchmarks.world import World


class Runner:
    """Measures the scenarios of the given names, every round one after the other."""

    def __init__(self, world: World, names: frozenset[str], console: Console) -> None:
        self._world = world
        self._phases = [[each for each in phase if each.name in names] for phase in (SERVED, GROWING)]
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)

    def run(self) -> None:
        """Measure everything, and audit what was booked over HTTP and by the engine."""
        rounds = self._world.plan.rounds
        total = sum(1 if each.once else rounds for phase in self._phases for each in phase)
        with self._progress as progress:
            task = progress.add_task("Starting", total=total)
            for phase in self._phases:
                for number in range(rounds):
                    self._round(phase, number, task)
                self._world.stop_processes()
            progress.update(task, description="Auditing")
            self._audit()

    def _round(self, phase: Sequence[Scenario], number: int, task: TaskID) -> None:
        for scenario in phase:
            if scenario.once and number > 0:
                continue
            self._progress.update(task, description=scenario.title)
            self._world.doing = f"{scenario.title}, round {number + 1}"
            try:
                sample = scenario.measure(self._world)
            except (MeasurementError, StoreError, psycopg.Error, OSError) as error:
                self._world.check(False, str(error))
                self._say(f"{number + 1}  {scenario.title:54} failed: {error}")
                # Whatever is wrong with them, the next scenario gets new ones.
                self._world.stop_processes()
            else:
                self._world.results.add(scenario.name, sample)
                self._say(f"{number + 1}  {scenario.title:54} {tables.line(sample)}")
                if (others := sample.get(f"cpu_{OTHERS}", 0.0)) > OTHERS_MAX:
                    self._say(f"   Disturbed: other programs used {others:.0%} of a core meanwhile.")
            self._progress.advance(task)

    def _audit(self) -> None:
        for installation in self._world.audited():
            self._world.doing = f"The audit of {installation.name}"
            violations = installation.audit()
            for sentence in violations:
                self._world.check(False, sentence)
            if not violations:
                self._say(f"   The audit of everything booked in {installation.name} is clean.")

    def _say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, soft_wrap=True)
