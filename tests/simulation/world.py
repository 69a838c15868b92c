"""A small world: two stores, one or two processes, clients, trouble, and a chance that decides who is next."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

from aurora_atlan.actors.faults import InjectedError
from aurora_atlan.actors.messages import BatchFenced, BatchForeign, BatchPaused, CommitterReplaced, JobsAccepted
from aurora_atlan.config import Settings
from simulation import controlled
from simulation.booking_store import Postgres
from simulation.clients import Clients
from simulation.invariants import Check, Violation
from simulation.nemesis import Nemesis
from simulation.process import KilledError, PeriodicStrand, Process, Strand
from simulation.queue_store import Queue

_DEPTH_MAX = 5
_CONVERGED_WITHIN_S = 10.0
# A connection that broke in the trouble is met by the next probe.
_NOTICED_WITHIN_S = 1.1
_STEPS_MAX = 20_000

_settings_of: dict[tuple[int, int, float, bool], Settings] = {}


def _settings(batch_max: int, actors_max: int, idle_s: float, *, degraded: bool) -> Settings:
    key = batch_max, actors_max, idle_s, degraded
    if key not in _settings_of:
        _settings_of[key] = Settings(
            database_url="postgresql://simulated/db",
            redis_url="redis://simulated/0",
            migrate_on_start=False,
            batch_max=batch_max,
            actors_max=actors_max,
            actor_idle_s=idle_s,
            lease_s=2.0,
            restarts_max=3,
            restart_window_s=5.0,
            backoff_max_s=1.0,
            quarantine_s=3.0,
            user_jobs_in_flight_max=3,
            queue_depth_max=30,
            stuck_s=3.0,
            degraded_booking=degraded,
        )
    return _settings_of[key]


class World:
    """Everything that one seed decides. Use it within ``controlled()``, one at a time."""

    def __init__(self, seed: int) -> None:
        controlled.begin(self, seed)
        self.seed = seed
        self.clock = controlled.CLOCK
        self.chance = chance = controlled.CHANCE
        self.violations: list[Violation] = []
        self.sometimes: Counter[str] = Counter()
        self._trace: list[tuple[float, int, str, str]] = []
        self._labels: dict[UUID, str] = {}
        self._stack: list[Strand] = []
        self.steps = 0
        self.faults_on = False
        self.crash_loop_until = 0.0
        batch_max, actors_max, idle_s = chance.choice((2, 3, 5)), chance.choice((1, 2, 8)), chance.choice((0.5, 20.0))
        self.settings = _settings(batch_max, actors_max, idle_s, degraded=chance.random() < 0.2)
        self.luck = chance.choice((0.0, 0.002, 0.006, 0.015))
        self.crashes = chance.choice((0.0, 0.0, 0.01, 0.04))
        self._switching = chance.choice((0.05, 0.15, 0.3))

        self.queue = Queue(self)
        self.postgres = Postgres(self)
        self.check = Check(self)
        events = range(1, chance.choice((1, 1, 2, 3)) + 1)
        for event_id in events:
            self.postgres.create_event(event_id, chance.randint(2, 12), chance.choice((1, 1, 2)))
            self.check.opened(event_id)
        self.unrecordable_users = {101} if chance.random() < 0.3 else set()
        self.undecidable_users = {102} if chance.random() < 0.2 else set()
        self.clients = Clients(self, list(events))
        self.nemesis = Nemesis(self)
        self.processes = [Process(self, name) for name in ("A", "B")[: chance.choice((1, 1, 2))]]

    # What is going on.

    @property
    def running(self) -> Strand:
        """The strand that is running; those below it on the stack wait for it."""
        return self._stack[-1]

    def note(self, what: Any) -> None:
        """Add a line to the trace: words, or a message that the running strand handles."""
        who, text = "world", what
        if self._stack:
            strand = self._stack[-1]
            who = f"{strand.process.name}.{strand.name}"
            text = what if isinstance(what, str) else strand.process.describe(what)
        self._trace.append((self.clock.now, len(self._stack), who, text))

    def note_answer(self, what: str, job_id: UUID, answer: Any) -> None:
        """Add a line about a job's acceptance."""
        number = getattr(getattr(answer, "job", None), "queue_number", "")
        self.note(f"{what} {self.label(job_id)}: {type(answer).__name__} {number}")

    def label(self, job_id: UUID) -> str:
        """Give a job a short name."""
        return self._labels.setdefault(job_id, f"j{len(self._labels) + 1}")

    def trace(self) -> list[str]:
        """Return the trace's lines."""
        return [f"{now - controlled.START_S:8.3f} {'  ' * depth}{who}: {text}" for now, depth, who, text in self._trace]

    def trace_hash(self) -> str:
        """Return a hash over the trace."""
        return hashlib.sha256("\n".join(self.trace()).encode()).hexdigest()[:16]

    def reached(self, path: str) -> None:
        """Count a rare path."""
        self.sometimes[path] += 1

    def violated(self, invariant: str, sentence: str) -> None:
        """Remember what must never be."""
        self.note(f"VIOLATED {invariant}: {sentence}")
        self.violations.append(Violation(invariant, sentence))

    def trouble(self) -> None:
        """Count a job that was refused for its own sake."""
        self.reached("a poisoned batch")

    # Chance.

    def below(self, count: int) -> int:
        """Return a number from 0 to ``count`` - 1."""
        return int(self.chance.random() * count)

    def bad_luck(self) -> bool:
        """Tell whether something goes wrong here."""
        return self.faults_on and self.chance.random() < self.luck

    def preempt(self) -> None:
        """Let others run before the running strand goes on; raises KilledError when its process was killed."""
        process = self._stack[-1].process
        if self.faults_on and len(self._stack) < _DEPTH_MAX:
            if self.chance.random() < self._switching:
                for _ in range(1 + self.below(5)):
                    self.step()
            while self.clock.now < process.frozen_until:
                self.step()
        if not process.alive:
            raise KilledError

    def reach(self, point: str) -> None:
        """Come by one of the product's fault points."""
        self.preempt()
        looping = point == "after_read" and self.clock.now < self.crash_loop_until
        if self.faults_on and (looping or self.chance.random() < self.crashes):
            self.reached(f"a crash at {point}")
            self.note(f"fault at {point}")
            raise (SystemExit(point) if self.below(4) == 0 else InjectedError(point))

    def watch_message(self, ref: Any, message: Any) -> None:
        """Notice rare messages."""
        if isinstance(message, BatchFenced):
            self.reached("an epoch abort")
        elif isinstance(message, BatchForeign):
            self.reached("a foreign lease")
        elif isinstance(message, BatchPaused):
            self.reached("a batch of a paused event")
        elif isinstance(message, CommitterReplaced):
            self.reached("a committer replaced")
        elif isinstance(message, JobsAccepted) and ref is not None:
            actor = ref._actor_weakref()
            if actor is not None and message.jobs[0].queue_number < actor._expected:
                self.reached("a job told late")

    # Running.

    def adopt(self, actor: Any) -> None:
        """Run a new actor in the process that starts it."""
        self._stack[-1].process.adopt(actor)

    def run(self, strand: Strand) -> None:
        """Run one step of a strand."""
        self._stack.append(strand)
        strand.busy = True
        try:
            if isinstance(strand, PeriodicStrand):
                strand.process.run_periodic(strand)
            else:
                strand.act()
        except KilledError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever a thread of the product raises is a finding
            self.violated("I7", f"{strand.name} stumbled: {error!r}")
        finally:
            strand.busy = False
            self._stack.pop()

    def step(self) -> None:
        """Let somebody, chosen by chance, do one step."""
        self.steps += 1
        self.clock.now += self.chance.random() * 0.004
        if self.queue.late and self.below(4) == 0:
            self._answer_late()
        choice = self.chance.random()
        if self.faults_on:
            if choice < 0.04:
                self.nemesis.strike()
                return
            if choice < 0.05:
                self.clock.now += self.chance.random() * 1.5
                return
        if choice > 0.82 and self.clients.act():
            return
        runnable: list[Strand] = [strand for process in self.processes for strand in process.runnable()]
        if runnable:
            self.run(runnable[int(self.chance.random() * len(runnable))])
        else:
            self._skip_idle_time()

    def run_while(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Run others while the running strand waits, up to a time."""
        process = self._stack[-1].process
        until = self.clock.now + timeout_s
        while condition() and self.clock.now < until and process.alive:
            if len(self._stack) > 2 * _DEPTH_MAX:
                self.clock.now = until
            self.step()
        if not process.alive:
            raise KilledError

    def simulate(self) -> None:
        """Run the whole story: trouble, then peace in which everything must converge."""
        self.faults_on = True
        for _ in range(self.chance.randint(60, 220)):
            self.step()
        self.faults_on = False
        self.nemesis.make_peace()
        unsettled = self._settle(_NOTICED_WITHIN_S)
        if unsettled is None:
            self.clients.one_more_for_everybody()
            unsettled = self._settle(0.0)
        if unsettled is not None:
            self.violated("I7", f"10 s after the faults stopped {unsettled}")
        self.check.final()

    def _settle(self, at_least_s: float) -> str | None:
        now = self.clock.now
        while ((what := self._unsettled()) and self.clock.now < now + _CONVERGED_WITHIN_S) or (
            self.clock.now < now + at_least_s
        ):
            self.step()
            if self.steps > _STEPS_MAX:
                return f"nothing comes to rest, and {what}"
        return what

    def _unsettled(self) -> str | None:
        if self.clients.busy:
            return "clients still wait"
        if self.queue.depth:
            queues = self.queue.memory.events.values()
            names = [self.label(job.job_id) for queue in queues for job in queue.stream.values()]
            return f"{len(names)} jobs wait in the queue: {' '.join(names)}"
        for process in self.processes:
            if process.alive and (what := process.calm()) is not None:
                return what
        return None

    def _answer_late(self) -> None:
        apply = self.queue.late.pop(0)
        if self.clock.now >= self.queue.down_until:
            self.note("redis does now what was asked before")
            apply()

    def _skip_idle_time(self) -> None:
        due = [process.next_due for process in self.processes if process.alive]
        due += [process.frozen_until for process in self.processes if process.alive]
        later = [moment for moment in due if moment > self.clock.now]
        self.clock.now = min(later, default=self.clock.now + 0.05)
