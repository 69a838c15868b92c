"""A unit of work that also changes what is shown of events."""

from __future__ import annotations

from datetime import datetime

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.events import Event, event_of_row
from aurora_atlan.persistence.inventory import UnitOfWork
from aurora_atlan.persistence.records import Booking

_EVENTS = queries.load("events")
_BOOKINGS = queries.load("bookings")


class EventWork(UnitOfWork):
    """The steps of one transaction. An event's inventory row is locked before its row in ``events`` is touched."""

    def event(self, event_id: int) -> Event:
        """Read an event that is not gone, and whose inventory row is locked."""
        row = self._connection.execute(_EVENTS["event"], {"event_id": event_id}).fetchone()
        assert row is not None
        return event_of_row(row)

    def revise(self, event: Event, at: datetime) -> None:
        """Write an event's name, venue, time, window and cap as its next version; :meth:`record` writes the rest."""
        parameters = {
            "event_id": event.id,
            "name": event.name,
            "venue": event.venue,
            "time": event.time,
            "cap_per_user": event.cap_per_user,
            "opens_at": event.opens_at,
            "closes_at": event.closes_at,
            "at": at,
        }
        self._connection.execute(_EVENTS["set_terms"], parameters)
        self._connection.execute(_EVENTS["revise_event"], parameters)

    def has_outcomes(self, event_id: int) -> bool:
        """Tell whether any job of the event has its answer."""
        return self._connection.execute(_BOOKINGS["first_outcome"], {"event_id": event_id}).fetchone() is not None

    def cancel_some(self, event_id: int, limit: int, at: datetime) -> list[Booking]:
        """Mark up to ``limit`` confirmed bookings of the event cancelled; return them in the order of their ids."""
        parameters = {"event_id": event_id, "limit": limit, "at": at}
        rows = self._connection.execute(_BOOKINGS["cancel_some"], parameters).fetchall()
        return sorted((Booking(*row) for row in rows), key=lambda booking: booking.id)
