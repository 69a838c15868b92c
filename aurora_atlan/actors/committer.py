"""The committer: decides the batches of all events that wait, in one transaction, and notes the outcomes.

The patient committer is the same actor in another temper: it takes what the committer left out because
somebody else went on holding the row, one event at a time, and waits for that row.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from aurora_atlan.actors.commit import (
    Committing,
    Decided,
    Failed,
    Fenced,
    Foreign,
    NoSuchEvent,
    Paused,
    RowBusy,
    Verdict,
)
from aurora_atlan.actors.gathering import Gatherer
from aurora_atlan.actors.job_log import job_fields
from aurora_atlan.actors.messages import (
    Batch,
    BatchDecided,
    BatchFailed,
    BatchFenced,
    BatchForeign,
    BatchPaused,
    Flush,
    HandIn,
    ReleaseLease,
)
from aurora_atlan.actors.supervised import tell
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.errors import (
    DataError,
    LockNotGrantedError,
    NoConnectionFreeError,
    SchemaError,
    StoreError,
    StoreUnavailableError,
    TransientError,
)
from aurora_atlan.persistence.jobs import Finish, FinishedJob, JobStore
from aurora_atlan.persistence.records import Kind, Outcome, Reason

log = logging.getLogger(__name__)

_BACKOFF_MIN_S = 0.05
_BACKOFF_MAX_S = 1.0

# A cancellation or an edit holds a row for a moment. Whoever met one shall not queue, at the patient, behind an
# event whose row is held for long.
_MOMENT_S = 0.05
_AFTER_A_MOMENT_S = 0.005

# Another process that wants one of the events asks again after a second.
_RELEASES_APART_S = 0.2


class CommitterActor(Gatherer[HandIn]):
    """Keeps every batch it is handed until it is committed and finished, or handed back with a verdict.

    A crash loses nothing: the events' actors hand in again.
    """

    gathers = HandIn

    def __init__(
        self,
        switchboard: Switchboard,
        committing: Committing,
        bookings: BookingStore,
        jobs: JobStore,
        on_death: Callable[[BaseException | None], None],
        *,
        jobs_max: int,
        patient: bool,
    ) -> None:
        super().__init__()
        self._switchboard = switchboard
        self._committing = committing
        self._bookings = bookings
        self._jobs = jobs
        self._on_death = on_death
        # Of one transaction; a single batch may have more.
        self._jobs_max = jobs_max
        self._patient = patient
        # Batches whose transaction must be tried again.
        self._held: list[Batch] = []
        # Committed, but not yet noted in Redis: their events take no new batch.
        self._unfinished: list[Decided] = []
        self._leases: list[tuple[int, int]] = []
        # When they may be released again, and whether a flush comes then.
        self._release_at = 0.0
        self._release_told = False
        # When a flush comes that will try again, if noting them failed.
        self._finish_again_at = 0.0
        # In a row, for want of PostgreSQL.
        self._failures = 0
        # A flush that will try what is held again is scheduled.
        self._backing_off = False

    def handle(self, message: Any) -> None:
        """Gather batches; keep leases to be released until the next round trip."""
        if isinstance(message, ReleaseLease):
            self._leases.append((message.event_id, message.epoch))
            self.flush_soon()
        else:
            super().handle(message)

    def leave(self) -> None:
        """Release what came just ahead of the stop, whose flush would have come behind it."""
        self._release_at = 0.0
        self._release_leases()

    def died(self, error: BaseException | None) -> None:
        """Report the crash."""
        self._on_death(error)

    def round_trip(self, gathered: Sequence[HandIn]) -> None:
        """Decide what waits, note the outcomes, tell the events' actors."""
        self._backing_off = False
        batches, self._held = [*self._held, *(message.batch for message in gathered)], []
        if self._patient:
            self._commit_patiently(batches)
        elif batches:
            together, self._held = self._divided(batches)
            self._commit(together)
        self._finish()
        self._release_leases()
        if self._held and not self._backing_off:
            self.flush_soon()

    def _divided(self, batches: Sequence[Batch]) -> tuple[list[Batch], list[Batch]]:
        # What goes into one transaction: at most one batch of each event, and not so many jobs that everybody
        # waits for a huge one. The rest comes next. The same batch handed in twice counts once.
        together: dict[int, Batch] = {}
        room = self._jobs_max
        for batch in batches:
            if batch.event_id not in together:
                room -= len(batch.jobs)
                if together and room < 0:
                    break
                together[batch.event_id] = batch
        taken = {batch.batch_id for batch in together.values()}
        return list(together.values()), [batch for batch in batches if batch.batch_id not in taken]

    def _commit_patiently(self, batches: Sequence[Batch]) -> None:
        # Whose row is free by now waits for nobody else's; of the others, each is waited for in its turn.
        for batch in batches:
            self.get_on()
            self._commit([batch])
        if self._held and not self._backing_off:
            self.get_on()
            self._commit([self._held.pop(0)], waiting=True)

    def _commit(self, batches: Sequence[Batch], *, waiting: bool = False) -> None:
        began_at = time.monotonic()
        try:
            verdicts = self._committing.commit(batches, patient=waiting)
        except (StoreUnavailableError, SchemaError) as error:
            self._switchboard.postgres_failed(error)
            self._try_again(batches)
        except NoConnectionFreeError:
            self._try_again(batches)
        except (DataError, TransientError) as error:
            # Of one event's making: each by itself, so that it harms no other.
            self._failures = 0
            if len(batches) > 1:
                for batch in batches:
                    # Each may take until a time limit.
                    self.get_on()
                    self._commit([batch])
            else:
                self._failed_alone(batches[0], error)
        else:
            self._switchboard.faults.reach("after_commit")
            self._switchboard.metrics.transaction(time.monotonic() - began_at)
            self._failures = 0
            self._switchboard.postgres.close()
            self._switchboard.postgres_writes.close()
            for verdict in verdicts:
                self._apply(verdict)

    def _failed_alone(self, batch: Batch, error: StoreError) -> None:
        if isinstance(error, DataError):
            tell(batch.sender, BatchFailed(batch.batch_id, str(error)))
        elif self._patient and not isinstance(error, LockNotGrantedError):
            self._try_again([batch])
        else:
            self._leave_to_patience(batch)

    def _row_busy(self, batch: Batch) -> None:
        if self._patient or time.monotonic() - batch.handed_in_at > _MOMENT_S:
            self._leave_to_patience(batch)
        else:
            self._held.append(batch)
            self._flush_after(_AFTER_A_MOMENT_S)

    def _leave_to_patience(self, batch: Batch) -> None:
        if self._patient:
            # Behind the others: each has its turn.
            self._held.append(batch)
        else:
            tell(self._switchboard.patient, HandIn(batch))

    def _try_again(self, batches: Sequence[Batch]) -> None:
        self._held = [*batches, *self._held]
        delay_s = min(_BACKOFF_MAX_S, _BACKOFF_MIN_S * 2**self._failures)
        self._failures += 1
        self._flush_after(delay_s)

    def _flush_after(self, delay_s: float) -> None:
        self._backing_off = True
        self._switchboard.scheduler.after(delay_s, self.actor_ref, Flush())

    def _apply(self, verdict: Verdict) -> None:
        batch = verdict.batch
        match verdict:
            case Decided():
                self._unfinished.append(verdict)
            case NoSuchEvent():
                self._unfinished.append(_gone(batch))
            case RowBusy():
                self._row_busy(batch)
            case Paused():
                tell(batch.sender, BatchPaused(batch.batch_id))
            case Fenced():
                tell(batch.sender, BatchFenced(batch.batch_id))
            case Foreign():
                tell(batch.sender, BatchForeign(batch.batch_id))
            case Failed(_, error):
                tell(batch.sender, BatchFailed(batch.batch_id, error))

    def _finish(self) -> None:
        # Repeated until it succeeds: the probe that closes the breaker also tells us to flush.
        if not self._unfinished or self._switchboard.redis.is_open:
            return
        now = time.monotonic()
        try:
            self._jobs.finish([_finish(decided, now) for decided in self._unfinished])
        except StoreError as error:
            self._switchboard.redis_failed(error)
            # Whoever closes the breaker flushes, too; but it may be closed already, or was never open.
            if now >= self._finish_again_at:
                self._finish_again_at = now + _BACKOFF_MAX_S
                self._switchboard.scheduler.after(_BACKOFF_MAX_S, self.actor_ref, Flush())
            return
        self._switchboard.faults.reach("after_finish")
        finished, self._unfinished = self._unfinished, []
        self._switchboard.metrics.decided(finished)
        for decided in finished:
            batch = decided.batch
            tell(batch.sender, BatchDecided(batch.batch_id, decided.epoch, decided.last_queue_number))
            self._switchboard.notices.ring(batch.jobs)
            if batch.poisoned:
                _log_failed(decided)

    def _release_leases(self) -> None:
        if not self._leases:
            return
        now = time.monotonic()
        if now < self._release_at:
            # Where there are more events than actors, every round trip would have a second transaction.
            if not self._release_told:
                self._release_told = True
                self._switchboard.scheduler.after(_RELEASES_APART_S, self.actor_ref, Flush())
            return
        self._release_at, self._release_told = now + _RELEASES_APART_S, False
        leases, self._leases = self._leases, []
        try:
            self._bookings.release_leases(leases)
        except StoreError:
            # They end by themselves.
            return


def _log_failed(decided: Decided) -> None:
    for job, outcome in zip(decided.batch.jobs, decided.outcomes, strict=True):
        if outcome.kind is Kind.FAILED:
            fields = {**job_fields(job), "reason": outcome.reason}
            log.error("event %d: a job has failed for ever; it is a dead letter now", job.event_id, extra=fields)


def _gone(batch: Batch) -> Decided:
    now = datetime.now(UTC)
    outcomes = [
        Outcome(
            job_id=job.job_id,
            kind=Kind.REJECTED,
            reason=Reason.EVENT_GONE,
            booking_id=None,
            decided_at=now,
        )
        for job in batch.jobs
    ]
    return Decided(batch, batch.epoch or 0, batch.jobs[-1].queue_number, outcomes)


def _finish(decided: Decided, now: float) -> Finish:
    batch = decided.batch
    return Finish(
        batch.event_id,
        [FinishedJob(job, outcome, batch.attempts) for job, outcome in zip(batch.jobs, decided.outcomes, strict=True)],
        decided.last_queue_number,
        (now - batch.handed_in_at) / len(batch.jobs),
    )
