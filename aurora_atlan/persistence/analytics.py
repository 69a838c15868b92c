"""What has been sold, from the counters beside the sales: no booking is looked at."""

from __future__ import annotations

from dataclasses import dataclass

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.events import Event, event_of_row

_SQL = queries.load("analytics")


@dataclass(frozen=True, slots=True)
class SalesFigures:
    """How all events that are not gone sell, at one instant."""

    # Confirmed bookings.
    bookings: int
    # Tickets there are, and tickets sold.
    capacity: int
    sold: int
    # Those with the most tickets sold, most first, the older of two that are equal.
    popular: list[Event]


class Analytics:
    """The figures in PostgreSQL. Its methods raise :mod:`aurora_atlan.persistence.errors`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def figures(self, popular_max: int) -> SalesFigures:
        """Return the figures, with up to ``popular_max`` events; waits for no sale."""
        rows = self._database.rows(_SQL["figures"], {"limit": popular_max})
        bookings, capacity, sold = rows[0][:3]
        # Without any event there is one row, without an event in it.
        return SalesFigures(bookings, capacity, sold, [event_of_row(row[3:]) for row in rows if row[3] is not None])
