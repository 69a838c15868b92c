"""Where a job stands: Redis while it is young, the ledger for ever."""

from __future__ import annotations

from uuid import UUID

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.estimates import wait_p50_s, wait_p90_s
from aurora_atlan.actors.messages import JobState, JobStatus
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.persistence.bookings import BookingStore, RecordedJob
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.job_ids import is_keyed
from aurora_atlan.persistence.jobs import JobStore, QueuedStatus
from aurora_atlan.persistence.records import Kind


class StatusDesk:
    """Answers where jobs stand. What it tells of a decided job is what the ledger says."""

    def __init__(self, switchboard: Switchboard, jobs: JobStore, bookings: BookingStore, timeout_s: float) -> None:
        self._switchboard = switchboard
        self._jobs = jobs
        self._bookings = bookings
        self._timeout_s = timeout_s

    def status(self, job_id: UUID) -> JobStatus | None:
        """Return where the job stands; None when both stores were asked and know nothing of it.

        Raises UnavailableError while a store that is needed is out of reach.
        """
        queued, redis_error = self._queued(job_id)
        if queued is not None and queued.outcome is None and not is_keyed(job_id):
            return _waiting(queued)
        refused = queued is not None and queued.outcome is not None and queued.outcome.kind is not Kind.CONFIRMED
        if queued is not None and refused and not is_keyed(job_id):
            return _refused(queued)
        # Decided, and the answer includes the booking as it is now; or forgotten by Redis; or a key that
        # Redis has queued again and the ledger may have answered before.
        try:
            recorded = self._bookings.recorded(job_id, self._switchboard.postgres_patience_s(self._timeout_s))
        except StoreError as error:
            raise UnavailableError("the ledger is out of reach; try again") from error
        if recorded is not None:
            return recorded_status(job_id, recorded, queued.attempts if queued is not None else 1)
        if redis_error is not None:
            raise UnavailableError("the booking queue is out of reach; try again") from redis_error
        if queued is None:
            return None
        return _refused(queued) if refused else _waiting(queued)

    def _queued(self, job_id: UUID) -> tuple[QueuedStatus | None, StoreError | None]:
        if self._switchboard.redis.is_open:
            return None, StoreError("the breaker is open")
        try:
            return self._jobs.status(job_id), None
        except StoreError as error:
            return None, error


def _waiting(queued: QueuedStatus) -> JobStatus:
    number = queued.job.queue_number
    position = max(1, number - queued.last_decided)
    processing = queued.last_decided < number <= queued.handed_in
    return JobStatus(
        job_id=queued.job.job_id,
        status=JobState.PROCESSING if processing else JobState.QUEUED,
        queue_position=position,
        reason=None,
        event_id=queued.job.event_id,
        user_id=queued.job.user_id,
        quantity=queued.job.quantity,
        queue_number=number,
        attempts=queued.attempts,
        accepted_at=queued.job.accepted_at,
        finished_at=None,
        booking=None,
        estimated_wait_s=wait_p50_s(position, queued.pace_s),
        estimated_wait_p90_s=wait_p90_s(position, queued.pace_s, queued.jitter_s),
    )


def _refused(queued: QueuedStatus) -> JobStatus:
    assert queued.outcome is not None
    return JobStatus(
        job_id=queued.job.job_id,
        status=JobState.FAILED,
        queue_position=0,
        reason=queued.outcome.reason,
        event_id=queued.job.event_id,
        user_id=queued.job.user_id,
        quantity=queued.job.quantity,
        queue_number=queued.job.queue_number,
        attempts=queued.attempts,
        accepted_at=queued.job.accepted_at,
        finished_at=queued.outcome.decided_at,
        booking=None,
        estimated_wait_s=0.0,
    )


def recorded_status(job_id: UUID, recorded: RecordedJob, attempts: int = 1) -> JobStatus:
    """Return the status of a decided job as the ledger has it."""
    confirmed = recorded.outcome.kind is Kind.CONFIRMED
    return JobStatus(
        job_id=job_id,
        status=JobState.COMPLETED if confirmed else JobState.FAILED,
        queue_position=0,
        reason=recorded.outcome.reason,
        event_id=recorded.event_id,
        user_id=recorded.user_id,
        quantity=recorded.quantity,
        queue_number=recorded.queue_number,
        attempts=attempts,
        accepted_at=recorded.accepted_at,
        finished_at=recorded.outcome.decided_at,
        booking=recorded.booking,
        estimated_wait_s=0.0,
    )
