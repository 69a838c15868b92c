"""The records that travel between Redis, the actors and PostgreSQL. All are immutable values.

Those that each booking makes are named tuples: a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

# Tickets of one event; the table refuses more.
CAPACITY_MAX = 10_000_000
# Bookings of one event that one user may be allowed to hold.
CAP_PER_USER_MAX = 100
# Tickets of one booking.
QUANTITY_MAX = 10
# Ids are numbers that JavaScript holds exactly.
ID_MAX = 2**53 - 1


class Reason(StrEnum):
    """Why a job failed; told to clients and written in the ledger in these very words."""

    SOLD_OUT = "sold_out"
    """Fewer tickets were left than were asked for."""
    ALREADY_BOOKED = "already_booked"
    """The user holds a booking of the event, and one may hold one."""
    LIMIT_REACHED = "limit_reached"
    """The user holds as many bookings of the event as one may."""
    EVENT_CLOSED = "event_closed"
    """Its sale had not begun, or had ended."""
    EVENT_GONE = "event_gone"
    """The event was deleted meanwhile."""
    CANCELLED = "cancelled"
    """It was withdrawn before it was decided, or the booking was cancelled."""
    EXPIRED = "expired"
    """It waited longer than ``job_max_age_s``."""
    POISON = "poison"
    """It could not be decided in several tries; it is a dead letter now."""


class Kind(StrEnum):
    """What a ledger entry records."""

    OPENED = "opened"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CAPACITY_CHANGED = "capacity_changed"
    QUEUE_RESTARTED = "queue_restarted"


class NewJob(NamedTuple):
    """A booking attempt about to be accepted."""

    job_id: UUID
    event_id: int
    user_id: int
    quantity: int
    request_id: str | None


class Job(NamedTuple):
    """An accepted booking attempt, as it stands in the event's stream."""

    job_id: UUID
    event_id: int
    user_id: int
    quantity: int
    # Its place in the event's order of acceptance; rises, may have gaps. 0: it was never queued.
    queue_number: int
    accepted_at: datetime
    request_id: str | None


class Inventory(NamedTuple):
    """An event's locked inventory row: all that a decision needs."""

    event_id: int
    capacity: int
    sold: int
    # As it was read; what is written is the difference, so that the database's CHECK judges the true sum even if
    # the lock had failed.
    sold_at_lock: int
    cap_per_user: int
    opens_at: datetime | None
    closes_at: datetime | None
    gone: bool
    # This event's pause or the pause of all events.
    paused: bool
    last_queue_number: int
    last_entry: int
    ledger_head: bytes
    owner: int | None
    epoch: int
    lease_until: datetime | None


class Outcome(NamedTuple):
    """A job's one and final answer, as the ledger holds it."""

    job_id: UUID
    kind: Kind
    reason: Reason | None
    booking_id: int | None
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Booking:
    """A seat, or several, held by a user."""

    id: int
    job_id: UUID
    """The attempt that made it."""
    event_id: int
    user_id: int
    quantity: int
    """Tickets."""
    status: str
    """"confirmed" or "cancelled"."""
    created_at: datetime
    cancelled_at: datetime | None
