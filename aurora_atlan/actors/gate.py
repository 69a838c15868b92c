"""The gate: every change to a sale that is not a booking, under the same row lock as bookings.

It runs in the caller's thread and in any process: the row's lock orders it among the decisions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from aurora_atlan.actors.errors import (
    AlreadyDecidedError,
    UnavailableError,
    UnknownBookingError,
    UnknownEventError,
    UnknownJobError,
)
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.errors import TransientError
from aurora_atlan.persistence.inventory import Change, Draft, UnitOfWork, encode
from aurora_atlan.persistence.jobs import Finish, FinishedJob, JobStore
from aurora_atlan.persistence.records import Booking, Inventory, Job, Kind, Outcome, Reason

T = TypeVar("T")

# A lock that is not granted in its second is asked for so often in all.
_TRIES = 3


class Gate:
    """Cancel, withdraw, pause and resume."""

    def __init__(self, bookings: BookingStore, jobs: JobStore) -> None:
        self._bookings = bookings
        self._jobs = jobs

    def cancel(self, booking_id: int, user_id: int | None) -> Booking:
        """Cancel a booking and free its seats, exactly once; repeating it returns the same booking.

        With ``user_id`` only this user's booking is found. Raises UnknownBookingError, UnavailableError.
        """
        found = retried(lambda: self._bookings.get(booking_id, user_id))
        if found is None:
            raise UnknownBookingError("there is no such booking")
        return retried(lambda: self._cancel(found))

    def withdraw(self, job_id: UUID, user_id: int | None) -> None:
        """Take a job that waits out of the queue: its answer is ``cancelled``; repeating it changes nothing.

        With ``user_id`` only this user's job is found. Raises UnknownJobError, AlreadyDecidedError,
        UnavailableError.
        """
        queued = retried(lambda: self._jobs.status(job_id))
        if queued is None:
            recorded = retried(lambda: self._bookings.recorded(job_id))
            if recorded is None or user_id not in (None, recorded.user_id):
                raise UnknownJobError("there is no such job")
            if recorded.outcome.kind is Kind.CANCELLED:
                return
            raise AlreadyDecidedError(f"the job is decided: {recorded.outcome.reason or 'completed'}")
        if user_id not in (None, queued.job.user_id):
            raise UnknownJobError("there is no such job")
        outcome = retried(lambda: self._withdraw(queued.job))
        # It moves neither end of the queue: those ahead of it are still ahead of those behind it.
        finish = Finish(queued.job.event_id, [FinishedJob(queued.job, outcome, 0)], 0, 0.0)
        retried(lambda: self._jobs.finish([finish]))

    def pause(self, event_id: int | None, *, paused: bool, deed: Deed | None = None) -> None:
        """Pause or resume one event, or all: nothing is decided between a pause's return and the resume.

        A ``deed`` is noted in the audit log with it. Raises UnknownEventError, UnavailableError.
        """

        def write() -> bool:
            with self._bookings.unit_of_work() as work:
                found = work.pause(event_id, paused=paused)
                if found and deed is not None:
                    work.note(deed)
                return found

        if not retried(write):
            raise UnknownEventError("there is no such event")

    def _cancel(self, booking: Booking) -> Booking:
        with self._bookings.unit_of_work() as work:
            inventory = locked(work, booking.event_id)
            at = work.read([], 0).now
            if work.cancel_booking(booking.id, at):
                sold = inventory.sold - booking.quantity
                entry = given_back(booking, sold, inventory.capacity)
                work.record([encode(Change(inventory._replace(sold=sold), [entry]), at)])
        cancelled = self._bookings.get(booking.id)
        assert cancelled is not None
        return cancelled

    def _withdraw(self, job: Job) -> Outcome:
        with self._bookings.unit_of_work() as work:
            inventory = locked(work, job.event_id)
            read = work.read([job], 0)
            known, at = read.outcomes.get(job.job_id), read.now
            if known is not None and known.kind is not Kind.CANCELLED:
                raise AlreadyDecidedError(f"the job is decided: {known.reason or 'completed'}")
            if known is not None:
                return known
            entry = Draft(
                Kind.CANCELLED,
                inventory.sold,
                inventory.capacity,
                job_id=job.job_id,
                user_id=job.user_id,
                quantity=job.quantity,
                reason=Reason.CANCELLED,
                queue_number=job.queue_number,
                accepted_at=job.accepted_at,
            )
            work.record([encode(Change(inventory, [entry]), at)])
        return Outcome(job_id=job.job_id, kind=Kind.CANCELLED, reason=Reason.CANCELLED, booking_id=None, decided_at=at)


def retried(step: Callable[[], T]) -> T:
    """Do the step, up to three times while it fails for reasons that pass; raises UnavailableError."""
    for _ in range(_TRIES - 1):
        try:
            return step()
        except TransientError:
            continue
    try:
        return step()
    except TransientError as error:
        raise UnavailableError("the sale is busy or a store is out of reach; try again") from error


def locked(work: UnitOfWork, event_id: int) -> Inventory:
    """Lock an event's row; raises UnknownEventError."""
    row = work.lock(event_id)
    if row is None:
        raise UnknownEventError("there is no such event")
    return row.inventory


def given_back(booking: Booking, sold_after: int, capacity: int) -> Draft:
    """Return the ledger entry of a booking that is cancelled."""
    return Draft(
        Kind.CANCELLED,
        sold_after,
        capacity,
        booking_id=booking.id,
        user_id=booking.user_id,
        quantity=booking.quantity,
        reason=Reason.CANCELLED,
    )
