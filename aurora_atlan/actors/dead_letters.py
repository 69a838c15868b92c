"""Dead letters and what becomes of them: a new job each time that an operator tries one again."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from aurora_atlan.actors.errors import NotFailedError, UnknownJobError
from aurora_atlan.actors.gate import retried
from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.actors.status import StatusDesk
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.dead_letters import DeadLetter, DeadLetterStore
from aurora_atlan.persistence.records import Kind


class DeadLetters:
    """The jobs that failed for ever."""

    def __init__(self, store: DeadLetterStore, bookings: BookingStore, desk: StatusDesk) -> None:
        self._store = store
        self._bookings = bookings
        self._desk = desk

    def page(self, limit: int, before: tuple[datetime, int, int] | None = None) -> list[DeadLetter]:
        """Return up to ``limit``, newest first; see :meth:`DeadLetterStore.page`. Raises UnavailableError."""
        return retried(lambda: self._store.page(limit, before))

    def attempt_again(self, job_id: UUID, request_id: str | None = None) -> BookTickets:
        """Return what the dead letter wanted, as a new wish without a key: the old job keeps its own.

        Raises UnknownJobError, NotFailedError, UnavailableError.
        """
        recorded = retried(lambda: self._bookings.recorded(job_id))
        if recorded is None:
            if self._desk.status(job_id) is None:
                raise UnknownJobError("there is no such job")
            raise NotFailedError("the job is not decided yet")
        if recorded.outcome.kind is not Kind.FAILED:
            raise NotFailedError(f"the job is decided: {recorded.outcome.reason or 'completed'}")
        return BookTickets(recorded.event_id, recorded.user_id, recorded.quantity, request_id=request_id)
