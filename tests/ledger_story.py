"""Tells an event's story as ledger entries and bookings, for tests of the audit.

It shares no code with what writes ledgers or audits them: the bytes are made with the standard library,
as docs/ledger.md states them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

COLUMNS = (
    "event_id",
    "entry_number",
    "kind",
    "job_id",
    "booking_id",
    "user_id",
    "quantity",
    "reason",
    "queue_number",
    "accepted_at",
    "sold_after",
    "capacity_after",
    "at",
    "prev_hash",
    "hash",
)
_BEGIN = datetime(2026, 11, 22, 19, 26, 28, 123456)  # noqa: DTZ001 -- written with a Z below

Row = dict[str, Any]


def seal(row: Row) -> bytes:
    """Hash an entry as docs/ledger.md says."""
    columns = [row[name] for name in COLUMNS[:13]] + [row["prev_hash"].hex()]
    return hashlib.sha256(json.dumps(columns, separators=(",", ":"), ensure_ascii=False).encode()).digest()


def reseal(rows: list[Row]) -> None:
    """Rebuild the whole chain, as somebody would who changes rows and knows the format."""
    head = bytes(32)
    for row in rows:
        row["prev_hash"] = head
        row["hash"] = head = seal(row)


@dataclass
class LedgerStory:
    """An event's entries and bookings; `sold` and `capacity` follow from what is told."""

    event_id: int = 7
    capacity: int = 3
    sold: int = 0
    entries: list[Row] = field(default_factory=list)
    bookings: dict[int, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.add("opened")

    def add(self, kind: str, **columns: Any) -> Row:
        """Append any entry, sealed."""
        number = len(self.entries) + 1
        row = dict.fromkeys(COLUMNS) | {
            "event_id": self.event_id,
            "entry_number": number,
            "kind": kind,
            "sold_after": self.sold,
            "capacity_after": self.capacity,
            "at": (_BEGIN + timedelta(milliseconds=number)).isoformat(timespec="microseconds") + "Z",
            "prev_hash": self.entries[-1]["hash"] if self.entries else bytes(32),
            **columns,
        }
        row["hash"] = seal(row)
        self.entries.append(row)
        return row

    def confirmed(self, queue_number: int | None, user_id: int = 0, quantity: int = 1, slot: int = 1) -> Row:
        """Confirm a job; by default each queue number is a user of its own."""
        self.sold += quantity
        booking_id = self.event_id * 1000 + len(self.bookings) + 1
        row = self._decided("confirmed", queue_number, user_id, quantity, booking_id=booking_id)
        self.bookings[booking_id] = {
            "id": booking_id,
            "job_id": row["job_id"],
            "event_id": self.event_id,
            "user_id": row["user_id"],
            "quantity": quantity,
            "slot": slot,
            "status": "confirmed",
            "queue_number": queue_number,
            "created_at": row["at"],
            "cancelled_at": None,
        }
        return row

    def rejected(self, queue_number: int | None, reason: str = "sold_out", user_id: int = 0, quantity: int = 1) -> Row:
        """Refuse a job."""
        return self._decided("rejected", queue_number, user_id, quantity, reason=reason)

    def cancelled(self, booking_id: int) -> Row:
        """Cancel a booking, which gives its seats back."""
        booking = self.bookings[booking_id]
        self.sold -= booking["quantity"]
        row = self.add("cancelled", booking_id=booking_id, user_id=booking["user_id"], quantity=booking["quantity"])
        booking |= {"status": "cancelled", "cancelled_at": row["at"]}
        return row

    def capacity_changed(self, capacity: int) -> Row:
        """Set another capacity."""
        self.capacity = capacity
        return self.add("capacity_changed")

    def counters(self) -> Row:
        """Return what the inventory row says at the end of the story."""
        numbers = [row["queue_number"] or 0 for row in self.entries]
        return {
            "event_id": self.event_id,
            "capacity": self.capacity,
            "sold": self.sold,
            "last_queue_number": max(numbers),
            "last_entry": len(self.entries),
            "ledger_head": self.entries[-1]["hash"],
            "bookings": sum(booking["status"] == "confirmed" for booking in self.bookings.values()),
        }

    def _decided(self, kind: str, queue_number: int | None, user_id: int, quantity: int, **columns: Any) -> Row:
        number = len(self.entries) + 1
        return self.add(
            kind,
            job_id=str(UUID(int=(self.event_id << 64) + number, version=4)),
            user_id=user_id or queue_number,
            quantity=quantity,
            queue_number=queue_number,
            accepted_at=_BEGIN.isoformat(timespec="microseconds") + "Z",
            **columns,
        )


def busy_story(event_id: int = 7) -> LedgerStory:
    """Tell a story in which everything happens that may happen."""
    story = LedgerStory(event_id, capacity=3)
    story.confirmed(1)
    first = story.confirmed(2)
    story.rejected(3, reason="already_booked", user_id=2)
    story.rejected(4, quantity=2)
    story.confirmed(6)
    story.rejected(7)
    story.add("cancelled", job_id=str(UUID(int=event_id, version=4)), user_id=8, quantity=1, queue_number=5)
    story.cancelled(first["booking_id"])
    story.confirmed(9, user_id=2)
    story.rejected(10)
    story.capacity_changed(5)
    story.confirmed(11, user_id=5, quantity=2)
    story.add("queue_restarted")
    story.rejected(4, user_id=4)
    story._decided("failed", 8, 9, 1, reason="poison")
    story.rejected(None, reason="event_closed", user_id=4)
    return story


def write(connection: psycopg.Connection[Any], *stories: LedgerStory) -> None:
    """Insert the stories' events, users, counters, bookings and entries, and commit."""
    users = {row["user_id"] for story in stories for row in story.entries if row["user_id"] is not None}
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO users (id, name, email) OVERRIDING SYSTEM VALUE VALUES (%s, 'Buyer', %s) "
            "ON CONFLICT DO NOTHING",
            [(user_id, f"buyer-{user_id}@example.com") for user_id in sorted(users)],
        )
        for story in stories:
            cursor.execute(
                "INSERT INTO events (id, name, venue, time) OVERRIDING SYSTEM VALUE "
                "VALUES (%s, 'Aurora Night', 'Hall', now())",
                (story.event_id,),
            )
            _insert(cursor, "event_inventory", [story.counters()])
            _insert(cursor, "bookings", list(story.bookings.values()))
            _insert(cursor, "booking_ledger", story.entries)
    connection.commit()


def _insert(cursor: psycopg.Cursor[Any], table: str, rows: list[Row]) -> None:
    columns = list(rows[0])
    values = ", ".join(f"%({name})s" for name in columns)
    cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})".encode(), rows)
