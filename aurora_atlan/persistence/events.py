"""Events as they are shown, and their making."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Any, Final

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.audit_log import Deed, note
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.inventory import Change, Draft, UnitOfWork, encode
from aurora_atlan.persistence.records import CAP_PER_USER_MAX, CAPACITY_MAX, Kind

_SQL = queries.load("events")

NAME_LENGTH_MAX = 200

# Nobody: creating an event takes no lease.
_NO_OWNER = 0


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be created.

    Raises ValueError, with a sentence, for what no event can have.
    """

    name: str
    """1 to 200 characters."""
    venue: str
    """1 to 200 characters."""
    time: datetime
    """When it begins, with its time zone; may lie in the past."""
    capacity: int
    """Tickets, 1 to 10,000,000."""
    cap_per_user: int = 1
    """Bookings that one user may hold, 1 to 100."""
    opens_at: datetime | None = None
    """When its sale begins; None: it has begun."""
    closes_at: datetime | None = None
    """When its sale ends; None: never."""

    def __post_init__(self) -> None:
        for field, text in (("name", self.name), ("venue", self.venue)):
            if not 1 <= len(text.strip()) <= NAME_LENGTH_MAX:
                raise ValueError(f"an event's {field} has 1 to {NAME_LENGTH_MAX} characters")
        if not 1 <= self.capacity <= CAPACITY_MAX:
            raise ValueError(f"an event has 1 to {CAPACITY_MAX:,} tickets, not {self.capacity:,}")
        if not 1 <= self.cap_per_user <= CAP_PER_USER_MAX:
            raise ValueError(f"a user may hold 1 to {CAP_PER_USER_MAX} bookings of an event, not {self.cap_per_user}")
        for field, time in (("time", self.time), ("opens_at", self.opens_at), ("closes_at", self.closes_at)):
            if time is not None and time.tzinfo is None:
                raise ValueError(f"{field} has no time zone: make it with datetime(..., tzinfo=...)")
        if self.opens_at is not None and self.closes_at is not None and self.opens_at >= self.closes_at:
            raise ValueError("closes_at must be later than opens_at")


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is shown."""

    id: int
    name: str
    venue: str
    time: datetime
    """When it begins."""
    capacity: int
    """Tickets in all."""
    booked: int
    """Tickets of confirmed bookings."""
    impressions: int
    """How often it was shown."""
    version: int
    """Rises with every change."""
    cap_per_user: int
    """Bookings that one user may hold."""
    opens_at: datetime | None
    """When its sale begins; None: it has begun."""
    closes_at: datetime | None
    """When its sale ends; None: never."""
    created_at: datetime
    updated_at: datetime

    @property
    def available(self) -> int:
        """Tickets that are left."""
        return self.capacity - self.booked


class Keep(Enum):
    """Stands where nothing is to be changed; None opens a bound of the sales window."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP
"""Stands in an :class:`EventEdit` where nothing is to be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventEdit:
    """What shall be changed of an event; the fields are those of :class:`Event`."""

    name: str | Keep = KEEP
    venue: str | Keep = KEEP
    time: datetime | Keep = KEEP
    capacity: int | Keep = KEEP
    cap_per_user: int | Keep = KEEP
    opens_at: datetime | Keep | None = KEEP
    closes_at: datetime | Keep | None = KEEP

    def changes_of(self, event: Event) -> dict[str, Any]:
        """Return the fields that are not yet so, with their new values."""
        wanted = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in wanted.items() if value is not KEEP and value != getattr(event, name)}


@dataclass(frozen=True, slots=True)
class Seats:
    """How many tickets an event has, and how many of them are sold."""

    capacity: int
    sold: int


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Conditions that an event must meet to be listed; None makes no condition."""

    # Somewhere in the name or in the venue, in upper or lower case; no character has a meaning of its own.
    text: str | None = None
    # The event takes place at or after the first and before the second.
    from_time: datetime | None = None
    to_time: datetime | None = None


_ANY_EVENT = EventFilter()


def event_of_row(row: tuple[Any, ...]) -> Event:
    """Make an event of the columns that every query of events selects, in their order."""
    return Event(*row)


class EventStore:
    """Events in PostgreSQL. Its methods raise :mod:`aurora_atlan.persistence.errors`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, new: NewEvent, deed: Callable[[Event], Deed] | None = None) -> Event:
        """Create an event with its inventory and the first entry of its ledger.

        What ``deed`` makes of the new event, if given, is noted in the audit log.
        """
        with self._database.transaction() as connection:
            parameters: dict[str, Any] = {"name": new.name, "venue": new.venue, "time": new.time}
            created = connection.execute(_SQL["create_event"], parameters).fetchone()
            assert created is not None
            event_id, created_at = created
            connection.execute(
                _SQL["create_inventory"],
                {
                    "event_id": event_id,
                    "capacity": new.capacity,
                    "cap_per_user": new.cap_per_user,
                    "opens_at": new.opens_at,
                    "closes_at": new.closes_at,
                },
            )
            work = UnitOfWork(connection, _NO_OWNER)
            locked = work.lock(event_id)
            assert locked is not None
            opened = Draft(Kind.OPENED, sold_after=0, capacity_after=new.capacity)
            work.record([encode(Change(locked.inventory, [opened]), created_at)])
            row = connection.execute(_SQL["event"], {"event_id": event_id}).fetchone()
            assert row is not None
            event = event_of_row(row)
            if deed is not None:
                note(connection, deed(event))
            return event

    def get(self, event_id: int) -> Event | None:
        """Return the event; None when there is none, or it is gone."""
        rows = self._database.rows(_SQL["event"], {"event_id": event_id})
        return event_of_row(rows[0]) if rows else None

    def seats(self, event_id: int) -> Seats | None:
        """Return how the sale stands; None when there is no such event, or it is gone."""
        rows = self._database.rows(_SQL["seats"], {"event_id": event_id})
        return Seats(*rows[0]) if rows else None

    def page(self, limit: int, after_id: int | None = None, only: EventFilter = _ANY_EVENT) -> list[Event]:
        """Return up to ``limit`` events in the order of their ids, those after ``after_id`` that meet ``only``."""
        parameters: dict[str, Any] = {"limit": limit, "after_id": after_id or 0}
        if only == _ANY_EVENT:
            rows = self._database.rows(_SQL["page_of_events"], parameters)
        else:
            rows = self._database.rows(_SQL["page_of_matching_events"], parameters | asdict(only))
        return [event_of_row(row) for row in rows]
