"""One simulated process: a real supervisor whose actors and threads run when the world says so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.cell import CellState
from aurora_atlan.actors.committer import CommitterActor
from aurora_atlan.actors.messages import BatchDecided, JobsAccepted, Passivate
from aurora_atlan.supervisor import Supervisor

if TYPE_CHECKING:
    from simulation.world import World

_TICK_S = 0.25
_PROBE_S = 0.5


class KilledError(BaseException):
    """Unwinds what a killed process was doing."""


class Strand:
    """Something of a process that runs by itself, one step at a time."""

    def __init__(self, process: Process, name: str, act: Callable[[], None]) -> None:
        self.process = process
        self.name = name
        self.act = act
        self.busy = False


class PeriodicStrand(Strand):
    """A thread that does its round now and then."""

    def __init__(self, process: Process, name: str, act: Callable[[], None]) -> None:
        super().__init__(process, name, act)
        self.due_at = 0.0


class ActorStrand(Strand):
    """An actor's thread: starts it, then handles one message a step, as pykka's loop does."""

    def __init__(self, process: Process, actor: Any, name: str) -> None:
        super().__init__(process, name, self._step)
        self.actor = actor
        self.started = False

    @property
    def ready(self) -> bool:
        """Whether there is anything to do."""
        return not self.started or not self.actor.actor_inbox.empty()

    def lose_thread(self) -> None:
        """Become a zombie: it calls itself alive, and does nothing more."""
        self.actor.ended = True
        self.process.strands.remove(self)

    def _step(self) -> None:
        if not self.started:
            self.started = True
            self.actor.on_start()
        else:
            self._handle(self.actor.actor_inbox.get().message)
        if self.actor.actor_stopped.is_set() and self in self.process.strands:
            self.process.strands.remove(self)

    def _handle(self, message: Any) -> None:
        world, actor = self.process.world, self.actor
        world.note(message)
        cell = getattr(actor, "_cell", None)
        probing = cell is not None and cell._probing
        try:
            actor._handle_receive(message)
        except Exception as error:  # noqa: BLE001 - as pykka does
            world.note(f"crashes: {type(error.__cause__ or error).__name__}")
            failure = sys.exc_info()
            actor._handle_failure(*failure)
            actor.on_failure(*failure)
            return
        except SystemExit as error:
            # Here pykka would go through its registry, and the host's actors are in it.
            world.violated("I9", f"SystemExit({error}) left {self.name}: pykka stops every actor of the host")
            actor.actor_stopped.set()
            return
        if isinstance(message, Passivate) and cell is not None and cell.state is CellState.RUNNING:
            waiting = actor.actor_inbox.qsize()
            if waiting or actor._handled != cell._told:
                world.reached("a passivation that raced an enqueue")
        if isinstance(message, BatchDecided) and probing and cell is not None and not cell._probing:
            world.reached("a successful half-open probe")


class Process:
    """A supervisor with everything that runs in it; ``alive`` until it is killed or has stopped."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        self.strands: list[ActorStrand] = []
        self._actors_started = 0
        self._outside = Strand(self, "start", self._start)
        world.run(self._outside)

    def _start(self) -> None:
        world = self.world
        self.supervisor = Supervisor(world.settings)
        self.owner = self.supervisor._owner
        supervisor: Any = self.supervisor
        # What these threads would do, the strands below do.
        supervisor._watch._thread = _NoThread()
        supervisor._relay = supervisor._webhooks = _NoThread()
        supervisor._liaison._threads = []
        self.periodic = (
            PeriodicStrand(self, "watch", self._watch),
            PeriodicStrand(self, "liaison-pg", supervisor._liaison._look_at_postgres),
            PeriodicStrand(self, "liaison-redis", supervisor._liaison._look_at_redis),
        )
        self.supervisor.start()

    @property
    def next_due(self) -> float:
        """When one of its threads does its round again."""
        return min(strand.due_at for strand in self.periodic)

    def adopt(self, actor: Any) -> None:
        """Run this new actor."""
        self._actors_started += 1
        name = type(actor).__name__.removesuffix("Actor").lower()
        if isinstance(actor, BookingActor):
            name += f"({actor._cell.event_id})"
        elif isinstance(actor, CommitterActor) and actor._patient:
            name = "patient"
        self.strands.append(ActorStrand(self, actor, f"{name}#{self._actors_started}"))

    def runnable(self) -> list[Strand]:
        """Return the strands that could go on now."""
        now = self.world.clock.now
        if not self.alive or now < self.frozen_until:
            return []
        found: list[Strand] = [strand for strand in self.strands if strand.ready and not strand.busy]
        for strand in self.periodic:
            rung = strand.name == "watch" and self.supervisor._scheduler.wake.is_set()
            if not strand.busy and (rung or now >= strand.due_at) and not self.supervisor._watch._stopping.is_set():
                found.append(strand)
        return found

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self.alive = False
        self.frozen_until = 0.0
        self.strands.clear()
        self.world.postgres.drop(self)

    def stop(self) -> None:
        """Stop it as SIGTERM does."""
        self.supervisor.stop(3.0)
        self.kill()

    def run_periodic(self, strand: PeriodicStrand) -> None:
        """Do one round of a thread."""
        strand.due_at = self.world.clock.now + (_TICK_S if strand.name == "watch" else _PROBE_S)
        strand.act()

    def _watch(self) -> None:
        # One round of Watch._run.
        self.supervisor._scheduler.wake.clear()
        wait_s = self.supervisor._watch.tick()
        if wait_s is not None:
            self.periodic[0].due_at = min(self.periodic[0].due_at, self.world.clock.now + wait_s)

    def calm(self) -> str | None:
        """Tell in words what is not yet as it should be; None when all is well."""
        board = self.supervisor._switchboard
        for breaker in (board.redis, board.redis_writes, board.postgres, board.postgres_writes):
            if breaker.is_open:
                return f"the breaker of {breaker.name} is open"
        for cell in self.supervisor._cells.every():
            if cell.state is CellState.QUARANTINED:
                return f"event {cell.event_id} is quarantined"
        if self.supervisor._liaison.installation_key is None:
            return "the database was not reached"
        return None

    def describe(self, message: Any) -> str:
        """Name a message in the trace's words."""
        world = self.world
        name = type(message).__name__
        batch = getattr(message, "batch", None)
        if batch is not None:
            jobs = " ".join(world.label(job.job_id) for job in batch.jobs)
            return f"{name} {batch.batch_id} epoch {batch.epoch}: {jobs}"
        if isinstance(message, JobsAccepted):
            jobs = " ".join(f"{world.label(job.job_id)} number {job.queue_number}" for job in message.jobs)
            return f"{name} {jobs}"
        if hasattr(message, "batch_id"):
            return f"{name} {message.batch_id}"
        if hasattr(message, "job"):
            return f"{name} {world.label(message.job.job_id)}"
        return name.strip("_")


class _NoThread:
    def start(self) -> None:
        """Do nothing."""

    def stop(self, timeout_s: float) -> None:
        """Do nothing."""

    def is_alive(self) -> bool:
        """It never runs."""
        return False

    def runs_here(self) -> bool:
        """Nobody is in it."""
        return False
