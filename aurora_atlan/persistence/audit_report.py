"""What an audit found: values, ready for people and for JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise, and the row that breaks it."""

    rule: str
    """Which rule, in a word that programs may compare."""
    event_id: int
    entry_number: int | None
    """The ledger entry, or the neighbour of one that is missing."""
    sentence: str
    """One sentence for people; it names the event and the entry, the booking or the counter."""
    booking_id: int | None = None
    job_id: str | None = None

    def document(self) -> dict[str, object]:
        """Return the violation as JSON has it."""
        return {
            "rule": self.rule,
            "sentence": self.sentence,
            "eventId": self.event_id,
            "entryNumber": self.entry_number,
            "bookingId": self.booking_id,
            "jobId": self.job_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EventAudit:
    """One event's ledger replayed: what it adds up to, and what does not add up."""

    event_id: int
    name: str | None
    capacity: int | None
    """As the inventory row has it; None without one."""
    sold: int | None
    """Likewise."""
    seats_booked: int
    """Tickets of the confirmed bookings."""
    bookings_confirmed: int
    bookings_cancelled: int
    entries: int
    """How many ledger entries were replayed."""
    kinds: dict[str, int]
    """How many of them are of each kind."""
    violations_found: int
    """Found in all; ``violations`` holds the first of them."""
    violations: tuple[Violation, ...]

    @property
    def queue_restarts(self) -> int:
        """How often Redis lost its place and the order of acceptance began anew."""
        return self.kinds.get("queue_restarted", 0)

    def document(self) -> dict[str, object]:
        """Return the event's audit as JSON has it."""
        return {
            "eventId": self.event_id,
            "name": self.name,
            "capacity": self.capacity,
            "sold": self.sold,
            "seatsBooked": self.seats_booked,
            "bookingsConfirmed": self.bookings_confirmed,
            "bookingsCancelled": self.bookings_cancelled,
            "entries": self.entries,
            "kinds": self.kinds,
            "queueRestarts": self.queue_restarts,
            "violationsFound": self.violations_found,
            "violations": [violation.document() for violation in self.violations],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """The audit of one event or of all of them, at one instant."""

    at: datetime
    """The instant of the snapshot, by the database's clock."""
    duration_s: float
    """How long the audit took."""
    events: tuple[EventAudit, ...]
    """Each with what it adds up to and its violations."""

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return self.violations_found == 0

    @property
    def violations_found(self) -> int:
        """How many violations there are in all events together."""
        return sum(event.violations_found for event in self.events)

    @property
    def entries(self) -> int:
        """How many ledger entries were replayed."""
        return sum(event.entries for event in self.events)

    @property
    def queue_restarts(self) -> int:
        """How often the order of acceptance began anew, in all events together."""
        return sum(event.queue_restarts for event in self.events)

    def document(self) -> dict[str, object]:
        """Return the report as JSON has it; ``at`` is left a datetime."""
        return {
            "ok": self.ok,
            "at": self.at,
            "durationS": round(self.duration_s, 3),
            "entries": self.entries,
            "queueRestarts": self.queue_restarts,
            "violationsFound": self.violations_found,
            "events": [event.document() for event in self.events],
        }


@dataclass(frozen=True, slots=True)
class AuditProgress:
    """How far a running audit has come."""

    event_id: int
    entries_read: int
    entries_expected: int


ProgressCallback = Callable[[AuditProgress], None]
