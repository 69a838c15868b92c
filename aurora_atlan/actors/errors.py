"""What a caller of the supervisor may have to deal with. Outcomes of bookings are values, not errors."""

from __future__ import annotations

from uuid import UUID


class BookingError(Exception):
    """The request was not carried out; the message is a sentence for people."""


class UnknownEventError(BookingError):
    """There is no such event."""


class UnknownBookingError(BookingError):
    """There is no such booking, or it is somebody else's."""


class UnknownJobError(BookingError):
    """There is no such job, or it is somebody else's."""


class AlreadyDecidedError(BookingError):
    """The job has its answer and cannot be withdrawn any more."""


class NotFailedError(BookingError):
    """The job is no dead letter: it has another answer, or none yet."""


class CapacityBelowSoldError(BookingError):
    """The capacity asked for is below what is sold already."""

    def __init__(self, message: str, sold: int) -> None:
        super().__init__(message)
        self.sold = sold


class SaleHasBegunError(BookingError):
    """What one user may hold cannot change any more: jobs have been decided by it."""


class EmptyWindowError(BookingError):
    """The sale would close before, or at the moment when, it opens."""


class OutdatedVersionError(BookingError):
    """The event has another version than the caller has seen."""


class EventInUseError(BookingError):
    """Tickets of the event are sold, or jobs wait for it."""

    def __init__(self, message: str, confirmed: int, queued: int) -> None:
        super().__init__(message)
        # Tickets, and jobs.
        self.confirmed = confirmed
        self.queued = queued


class AddressTakenError(BookingError):
    """Another account has this e-mail address."""


class QueueFullError(BookingError):
    """The event has as many jobs waiting as it may have; try again when some are decided."""


class TooManyInFlightError(BookingError):
    """The user has as many jobs waiting for this event as one may have."""


class IdempotencyConflictError(BookingError):
    """The Idempotency-Key was used for a different request."""


class UnavailableError(BookingError):
    """A store that is needed is out of reach, or the service is stopping; try again later.

    With a ``job_id`` the attempt may have been accepted all the same: ask for that job's status.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0, job_id: UUID | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.job_id = job_id


class DurabilityUnmetError(UnavailableError):
    """The stores keep accepted bookings less safely than the operator requires; nothing was accepted."""


class EventQuarantinedError(UnavailableError):
    """Bookings of this event are held back after repeated crashes; its queue is kept."""
