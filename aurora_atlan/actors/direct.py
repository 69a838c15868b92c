"""Deciding a booking at once under the row's lock: what is done while Redis is away, if the operator wants it.

The order of acceptance is suspended meanwhile: what waits in Redis is decided later. Nothing else is: the
ledger has one outcome for each job, whichever way it came.
"""

from __future__ import annotations

from aurora_atlan.actors.decide import Facts, decide
from aurora_atlan.actors.errors import IdempotencyConflictError, UnavailableError
from aurora_atlan.actors.gate import locked, retried
from aurora_atlan.actors.messages import JobStatus
from aurora_atlan.actors.status import recorded_status
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.inventory import encode
from aurora_atlan.persistence.records import Job, NewJob

_PAUSED_RETRY_S = 5.0


class DirectBooking:
    """Books in the caller's thread, without the queue."""

    def __init__(self, bookings: BookingStore) -> None:
        self._bookings = bookings

    def book(self, job: NewJob) -> tuple[JobStatus, bool]:
        """Decide the job, unless it has its answer, and return that, and whether it had it before.

        Raises UnknownEventError, IdempotencyConflictError, UnavailableError.
        """
        known = retried(lambda: self._decide(job))
        recorded = retried(lambda: self._bookings.recorded(job.job_id))
        assert recorded is not None
        if recorded.quantity != job.quantity:
            raise IdempotencyConflictError("this Idempotency-Key was used for a different request")
        return recorded_status(job.job_id, recorded), known

    def _decide(self, job: NewJob) -> bool:
        with self._bookings.unit_of_work() as work:
            work.hold_off_pause()
            inventory = locked(work, job.event_id)
            read = work.read([job], 1)
            if read.outcomes:
                return True
            if inventory.paused:
                raise UnavailableError("bookings of this event are paused; try again later", _PAUSED_RETRY_S)
            facts = Facts(
                now=read.now,
                outcomes={},
                held_slots=read.held_slots.get(job.event_id, {}),
                booking_ids=read.booking_ids,
                poisoned=frozenset(),
                age_max=None,
            )
            unqueued = Job(job.job_id, job.event_id, job.user_id, job.quantity, 0, read.now, job.request_id)
            work.record([encode(decide(inventory, [unqueued], facts).change, read.now)])
        return False
