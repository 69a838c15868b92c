"""The booking actor: one per event, serialises its booking attempts in memory, one batch in flight.

The stream in Redis is the order. A job comes straight from its message only when its queue number is
the next one expected, or when nothing waited before it; in every other case (a gap, a restart after a crash, a job
another process accepted) the stream is read. So live traffic and recovery go the same way.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from aurora_atlan.actors.cell import EventCell
from aurora_atlan.actors.job_log import batch_fields, job_fields
from aurora_atlan.actors.messages import (
    Batch,
    BatchAnswer,
    BatchDecided,
    BatchFailed,
    BatchFenced,
    BatchForeign,
    BatchPaused,
    CommitterReplaced,
    Drain,
    Flush,
    HandIn,
    JobsAccepted,
    Passivate,
    ReleaseLease,
    Rescan,
)
from aurora_atlan.actors.supervised import SupervisedActor, tell
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.records import Job

log = logging.getLogger(__name__)

# A job that fails this often alone is answered "poison".
_SOLO_TRIES = 3

_READ_AGAIN_S = 0.25

# The other owner decides what waits there within its own sweep. If work is left after this time it may have
# been killed, and then its events can be had before their leases end.
_FOREIGN_S = 1.0

# Of this process: an answer for a batch that an actor no longer waits for is ignored.
_batch_ids = itertools.count(1)

_FLUSH = Flush()


class BookingActor(SupervisedActor):
    """A disposable incarnation of one event: it reads what waits, unless all of that was left to it."""

    def __init__(
        self,
        cell: EventCell,
        generation: int,
        switchboard: Switchboard,
        jobs: JobStore,
        batch_max: int,
        on_death: Callable[[EventCell, int, BaseException | None], None],
    ) -> None:
        super().__init__()
        self._cell = cell
        self._generation = generation
        self._switchboard = switchboard
        self._jobs = jobs
        self._batch_max = batch_max
        self._on_death = on_death

        self._pending: deque[Job] = deque()
        # Groups of a batch that was not decided, in order, handed in before anything pending.
        self._again: deque[Sequence[Job]] = deque()
        self._solo_failures: dict[UUID, int] = {}
        self._in_flight: Batch | None = None
        self._epoch: int | None = None
        # Everything up to this queue number has been taken from the stream.
        self._cursor = 0
        # The number of the next job, if nothing was missed.
        self._expected = 0
        # The stream holds, or may hold, jobs that are not in memory.
        self._behind = True
        # Has handled no message yet.
        self._new = True
        self._paused = False
        self._draining = False
        self._flush_told = False
        # Messages about accepted jobs, for passivation.
        self._handled = 0

    def __str__(self) -> str:
        return f"{type(self).__name__} of event {self._cell.event_id}"

    def prepare(self) -> None:
        """Come into being."""
        self._switchboard.faults.reach("on_start")

    def leave(self) -> None:
        """Go; what is undecided is in the stream."""
        self._switchboard.faults.reach("on_stop")

    def handle(self, message: Any) -> None:
        """Handle one message; a job's way leads through the first three cases."""
        # First, while what is in flight or held is still known to be.
        self._collect(message.jobs if isinstance(message, JobsAccepted) else ())
        match message:
            case JobsAccepted():
                pass
            case Flush():
                self._flush_told = False
                self._hand_in_next()
            case BatchDecided() | BatchFailed() | BatchFenced() | BatchPaused() | BatchForeign():
                batch = self._in_flight
                if batch is not None and batch.batch_id == message.batch_id:
                    self._in_flight = None
                    self._cell.landed(self._generation)
                    self._answered(batch, message)
            case Rescan():
                self._rescan()
            case CommitterReplaced():
                if self._in_flight is not None:
                    tell(self._switchboard.committer, HandIn(self._in_flight))
            case Passivate():
                self._passivate()
            case Drain():
                self._draining = True
                self._stop_if_drained()
            case _:
                self.ignore(message)

    def died(self, error: BaseException | None) -> None:
        """Report the crash; the successor finds every undecided job in the stream."""
        self._on_death(self._cell, self._generation, error)

    def _collect(self, told: Sequence[Job]) -> None:
        groups = [*self._cell.collect(self._generation)]
        if groups and self._new:
            # None waited before them when they were accepted, and what came later is told.
            self._behind = False
            self._expected = groups[0][0].queue_number
        self._new = False
        if told:
            # It waited in the inbox, so it may be older than what was kept.
            older = groups and self._expected <= told[0].queue_number < groups[0][0].queue_number
            groups.insert(0 if older else len(groups), told)
        for jobs in groups:
            self._handled += 1
            for job in jobs:
                self._take(job)

    def _take(self, job: Job) -> None:
        if self._behind:
            return
        if job.queue_number == self._expected and len(self._pending) < 2 * self._batch_max:
            self._pending.append(job)
            self._cursor = job.queue_number
            self._expected = job.queue_number + 1
        elif job.queue_number >= self._expected:
            self._behind = True
        elif job.job_id not in self._held_ids():
            # A number given twice: Redis went back. Or old news, of a job decided meanwhile; then the
            # stream says so.
            self._cursor = 0
            self._behind = True
        self._flush_soon()

    def _flush_soon(self) -> None:
        # Behind whatever has arrived: the flush hands all of it in together.
        self._cell.busy = True
        if not self._flush_told and self._in_flight is None:
            self._flush_told = True
            self.actor_ref.tell(_FLUSH)

    def _hand_in_next(self) -> None:
        if self._in_flight is not None or self._paused or self._draining:
            self._note_progress()
            return
        if self._behind and not self._again and len(self._pending) < self._batch_max:
            try:
                self._catch_up()
            except StoreError as error:
                self._switchboard.redis_failed(error)
                self._switchboard.scheduler.after(_READ_AGAIN_S, self.actor_ref, _FLUSH)
                return
        jobs = self._next_jobs()
        if jobs:
            self._hand_in(jobs)
        self._note_progress()

    def _hand_in(self, jobs: Sequence[Job]) -> None:
        failures = [self._solo_failures.get(job.job_id, 0) for job in jobs] if self._solo_failures else [0]
        self._in_flight = Batch(
            batch_id=next(_batch_ids),
            event_id=self._cell.event_id,
            epoch=self._epoch,
            jobs=jobs,
            poisoned=frozenset(job_id for job_id, count in self._solo_failures.items() if count >= _SOLO_TRIES),
            attempts=1 + max(failures),
            handed_in_at=time.monotonic(),
            sender=self.actor_ref,
        )
        self._cell.launched(self._generation, jobs[-1].queue_number, self._in_flight.handed_in_at)
        tell(self._switchboard.committer, HandIn(self._in_flight))

    def _answered(self, batch: Batch, answer: BatchAnswer) -> None:
        match answer:
            case BatchDecided(_, epoch, last_queue_number):
                self._epoch = epoch
                self._cell.settled(last_queue_number)
                self._cell.committed(self._generation, time.monotonic())
                if not self._again:
                    self._solo_failures.clear()
            case BatchFailed(_, error):
                self._bisect(batch, error)
            case BatchFenced():
                fields = batch_fields(batch.jobs)
                log.warning("event %d: another process has taken it over", self._cell.event_id, extra=fields)
                # What the other owner has decided meanwhile, the ledger will say.
                self._again.appendleft(batch.jobs)
                self._epoch = None
                self._rescan()
            case BatchPaused():
                self._pending.clear()
                self._again.clear()
                self._cursor = 0
                self._behind = True
                self._paused = True
                self._switchboard.pauses.found(self._cell.event_id)
            case BatchForeign():
                self._cell.foreign(self._generation, time.monotonic() + _FOREIGN_S)
                self.stop()
                return
        # What was kept until the batch had landed; from now on this actor is told.
        self._collect(())
        self._note_progress()
        if self._pending or self._again or self._behind:
            self._flush_soon()
        self._stop_if_drained()

    def _catch_up(self) -> None:
        room = 2 * self._batch_max - len(self._pending)
        read = self._jobs.read_pending(
            self._cell.event_id,
            after=self._cursor,
            count=room,
            highest_number=self._cell.highest_number,
        )
        self._switchboard.faults.reach("after_read")
        # Only a reading from the start can meet jobs that are in memory already.
        held = self._held_ids() if self._cursor == 0 else frozenset()
        self._pending.extend(job for job in read.jobs if job.job_id not in held)
        if read.jobs:
            self._cursor = read.jobs[-1].queue_number
            self._cell.seen(self._cursor)
        self._behind = len(read.jobs) == room
        self._expected = max(self._cursor + 1, read.next_number)

    def _next_jobs(self) -> Sequence[Job]:
        if self._again:
            return self._again.popleft()
        count = min(self._batch_max, len(self._pending))
        return tuple(self._pending.popleft() for _ in range(count))

    def _bisect(self, batch: Batch, error: str) -> None:
        if len(batch.jobs) == 1:
            [job] = batch.jobs
            tries = self._solo_failures[job.job_id] = self._solo_failures.get(job.job_id, 0) + 1
            fields = {**job_fields(job), "tries": tries}
            log.warning("event %d: a job cannot be decided: %s", self._cell.event_id, error, extra=fields)
            self._again.appendleft(batch.jobs)
        else:
            fields = batch_fields(batch.jobs)
            log.warning("event %d: a batch is divided: %s", self._cell.event_id, error, extra=fields)
            middle = len(batch.jobs) // 2
            self._again.extendleft((batch.jobs[middle:], batch.jobs[:middle]))

    def _rescan(self) -> None:
        # What is in memory stays: it was accepted earlier, even if Redis has lost it since.
        self._cursor = 0
        self._behind = True
        self._paused = False
        self._flush_soon()

    def _held_ids(self) -> frozenset[UUID]:
        in_flight = self._in_flight.jobs if self._in_flight is not None else ()
        return frozenset(job.job_id for job in itertools.chain(in_flight, *self._again, self._pending))

    def _note_progress(self) -> None:
        self._cell.busy = bool(self._in_flight or self._pending or self._again)
        self._cell.last_progress = time.monotonic()

    def _passivate(self) -> None:
        idle = not (self._in_flight or self._pending or self._again or self._flush_told)
        if self._cell.passivate(self._generation, self._handled, idle=idle):
            self._switchboard.faults.reach("in_passivation")
            self._release_lease()
            self.stop()
            # Another event may wait for the place.
            self._switchboard.scheduler.wake.set()

    def _stop_if_drained(self) -> None:
        if self._draining and self._in_flight is None:
            self._release_lease()
            self._cell.stopped(self._generation)
            self.stop()

    def _release_lease(self) -> None:
        if self._epoch is not None:
            tell(self._switchboard.committer, ReleaseLease(self._cell.event_id, self._epoch))
            self._epoch = None
