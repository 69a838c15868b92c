"""The life of one event in this process: a state machine around its disposable actors.

Times come in as arguments and chance as a function, so that a simulation can drive it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from aurora_atlan.actors.supervised import Ref
from aurora_atlan.persistence.records import Job

# Groups of accepted jobs that are kept for an actor before it is told of them all the same, and reads the log.
_KEPT_MAX = 64


class CellState(Enum):
    """Where an event's actor stands."""

    IDLE = auto()
    STARTING = auto()
    RUNNING = auto()
    PASSIVATING = auto()
    # Crashed; starts again when its time has come.
    BACKOFF = auto()
    # Crashed too often; one try now and then.
    QUARANTINED = auto()
    # Another process owns the event for a while.
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often an actor may crash since its last committed batch, and how long it pauses in between."""

    crashes_max: int
    window_s: float
    backoff_min_s: float
    backoff_max_s: float
    quarantine_s: float
    # Returns a number from 0 to 1.
    chance: Callable[[], float]

    def backoff_s(self, crashes: int) -> float:
        """Return how long to wait after so many crashes: doubling, with jitter of a half."""
        backoff_s = min(self.backoff_max_s, self.backoff_min_s * 2.0 ** (crashes - 1))
        return backoff_s * (0.5 + 0.5 * self.chance())


class EventCell:
    """One event's state, its generation, and the books that keep passivation from losing a job.

    Every method may be called by any thread. An incarnation proves itself by its generation: what a
    replaced one says is ignored.
    """

    def __init__(self, event_id: int, policy: RestartPolicy) -> None:
        self.event_id = event_id
        self.state = CellState.IDLE
        # There is an actor, or one is being started. Kept beside the state: the sweep asks thousands of cells.
        self.alive = False
        self.generation = 0
        self.ref: Ref | None = None
        # The highest queue number this process has seen for the event; outlives actors and Redis.
        self.highest_number = 0
        # Up to here every number is decided, or was reported as lost.
        self._settled_number = 0
        # Written by the actor, read by the supervisor: it has jobs in memory or in flight.
        self.busy = False
        # The highest number of the batch in flight and since when; None: no batch is in flight.
        self.in_flight: tuple[int, float] | None = None
        # The number up to which jobs are shown as being processed, written by the supervisor.
        self.shown_number = 0
        self.last_progress = 0.0
        self._policy = policy
        self._lock = threading.Lock()
        self._crashes: deque[float] = deque()
        self._until = 0.0
        self._told = 0
        # Accepted while a batch is in flight, and not yet collected. Of an event that has no actor: all that waits for
        # it, for the one to come; empty if that has to read what waits.
        self._kept: list[Sequence[Job]] = []
        # This incarnation is the one try that a quarantined event gets.
        self._probing = False

    def accepted(self, jobs: Sequence[Job], *, at_head: bool = False) -> Ref | None:
        """Note accepted jobs; return the actor that must be told of them now, None when there is none.

        An actor with a batch in flight need not be woken for them: it collects them when it has its answer. One to
        come collects those that came ``at_head``, when none waited, and those after them.
        """
        with self._lock:
            # Of a number met before Redis has gone back, and more may wait than it says.
            at_head = at_head and jobs[0].queue_number > self.highest_number
            self.highest_number = max(self.highest_number, *(job.queue_number for job in jobs))
            if not self.running:
                self._keep_for_next(jobs, at_head=at_head)
                return None
            # Counted before it is told: a passivation that has not seen it will not go through.
            self._told += 1
            if self.in_flight is None or len(self._kept) >= _KEPT_MAX:
                return self.ref
            self._kept.append(jobs)
            return None

    @property
    def running(self) -> bool:
        """True while there is an actor that takes jobs."""
        return self.state in (CellState.RUNNING, CellState.PASSIVATING)

    def collect(self, generation: int) -> Sequence[Sequence[Job]]:
        """Return the jobs that were kept for this incarnation, in their order; they are its own from now on."""
        with self._lock:
            if generation != self.generation or not self.alive or not self._kept:
                return ()
            kept, self._kept = self._kept, []
            return kept

    def launched(self, generation: int, highest_number: int, now: float) -> None:
        """Note that a batch up to this number is in flight."""
        with self._lock:
            # One that was given up may come to itself before its successor begins.
            if generation == self.generation and self.alive:
                self.in_flight = (highest_number, now)

    def landed(self, generation: int) -> None:
        """Note that the batch in flight has its answer."""
        with self._lock:
            if generation == self.generation:
                self.in_flight = None

    def seen(self, queue_number: int) -> None:
        """Note a queue number met while reading the log."""
        with self._lock:
            self.highest_number = max(self.highest_number, queue_number)

    def settled(self, queue_number: int) -> None:
        """Note that everything up to this number is decided."""
        with self._lock:
            self.highest_number = max(self.highest_number, queue_number)
            self._settled_number = max(self._settled_number, queue_number)

    @property
    def unsettled(self) -> bool:
        """True while this process knows of numbers that may be undecided."""
        return self.highest_number > self._settled_number

    def went_back(self, highest_number: int, next_number: int) -> int:
        """Compare the highest number as it was with the one that Redis, asked afterwards, would give next.

        Returns how many jobs Redis has lost, at most.
        """
        with self._lock:
            if next_number > highest_number:
                return 0
            lost = max(0, highest_number - max(self._settled_number, next_number - 1, 0))
            self._settled_number = max(self._settled_number, highest_number)
            return lost

    def may_start(self, now: float) -> bool:
        """Tell whether an actor may be started now."""
        return not self.alive and now >= self._until

    def begin(self) -> int:
        """Enter STARTING; return the new incarnation's generation."""
        with self._lock:
            self._probing = self.state is CellState.QUARANTINED
            self.state = CellState.STARTING
            self.alive = True
            self.generation += 1
            self.busy = True
            return self.generation

    def started(self, generation: int, ref: Ref, now: float) -> bool:
        """Enter RUNNING; False when the incarnation has died already."""
        with self._lock:
            if generation != self.generation or self.state is not CellState.STARTING:
                return False
            self.state = CellState.RUNNING
            self.ref = ref
            self.last_progress = now
            self._told = len(self._kept)
            return True

    def ask_to_passivate(self) -> Ref | None:
        """Enter PASSIVATING; return the actor to be asked, None when it is not running."""
        with self._lock:
            if self.state is not CellState.RUNNING:
                return None
            self.state = CellState.PASSIVATING
            return self.ref

    def passivate(self, generation: int, handled: int, *, idle: bool) -> bool:
        """Enter IDLE if the actor is idle and has handled every job it was told; otherwise RUNNING again."""
        with self._lock:
            if generation != self.generation or self.state is not CellState.PASSIVATING:
                return False
            if not idle or handled != self._told:
                self.state = CellState.RUNNING
                return False
            self._leave(CellState.IDLE, 0.0)
            return True

    def stopped(self, generation: int) -> None:
        """Enter IDLE because the service stops."""
        with self._lock:
            if generation == self.generation:
                self._leave(CellState.IDLE, 0.0)

    def foreign(self, generation: int, until: float) -> None:
        """Enter FOREIGN until the other owner's lease ends."""
        with self._lock:
            if generation == self.generation:
                self._leave(CellState.FOREIGN, until)

    def committed(self, generation: int, now: float) -> None:
        """Note progress: a committed batch clears the crashes before it."""
        with self._lock:
            if generation == self.generation:
                self._crashes.clear()
                self._probing = False
                self.last_progress = now

    def crashed(self, generation: int, now: float) -> CellState | None:
        """Enter BACKOFF or QUARANTINED; None when this incarnation was replaced or left already."""
        with self._lock:
            if generation != self.generation or not self.alive:
                return None
            self._crashes.append(now)
            while self._crashes[0] < now - self._policy.window_s:
                self._crashes.popleft()
            if self._probing or len(self._crashes) > self._policy.crashes_max:
                self._leave(CellState.QUARANTINED, now + self._policy.quarantine_s)
            else:
                self._leave(CellState.BACKOFF, now + self._policy.backoff_s(len(self._crashes)))
            return self.state

    def pardon(self) -> None:
        """Forget the crashes and let an actor start at once: an operator's resume."""
        with self._lock:
            self._crashes.clear()
            if self.state in (CellState.QUARANTINED, CellState.BACKOFF):
                self._leave(CellState.IDLE, 0.0)

    def retry_after_s(self, now: float) -> float:
        """Return the seconds until an actor may start."""
        return max(0.0, self._until - now)

    def _keep_for_next(self, jobs: Sequence[Job], *, at_head: bool) -> None:
        if self.state not in (CellState.IDLE, CellState.STARTING):
            return
        if (self._kept or at_head) and len(self._kept) < _KEPT_MAX:
            self._kept.append(jobs)
        else:
            self._kept = []

    def _leave(self, state: CellState, until: float) -> None:
        self.state = state
        self._kept = []
        self.alive = False
        self.ref = None
        self.busy = False
        self.in_flight = None
        self._until = until
