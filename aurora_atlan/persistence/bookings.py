"""Bookings and the recorded outcomes of jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.event_work import EventWork
from aurora_atlan.persistence.events import Event, event_of_row
from aurora_atlan.persistence.records import Booking, Kind, Outcome, Reason

_SQL = queries.load("bookings")


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One of a user's bookings and the event it is for."""

    booking: Booking
    event: Event


@dataclass(frozen=True, slots=True)
class RecordedJob:
    """A job's outcome as the ledger has it, for ever."""

    event_id: int
    user_id: int
    quantity: int
    queue_number: int | None
    accepted_at: datetime | None
    outcome: Outcome
    booking: Booking | None


class BookingStore:
    """Bookings in PostgreSQL. Its methods raise :mod:`aurora_atlan.persistence.errors`."""

    def __init__(self, database: Database, owner: int) -> None:
        self._database = database
        self._owner = owner

    @contextmanager
    def unit_of_work(self) -> Iterator[EventWork]:
        """One transaction over inventory rows; see :mod:`aurora_atlan.persistence.inventory`."""
        with self._database.transaction() as connection:
            yield EventWork(connection, self._owner)

    def last_queue_numbers(self, event_ids: Sequence[int], within_s: float | None = None) -> dict[int, int]:
        """Return the highest queue number decided for each of the events that there are and that are not gone."""
        return dict(self._database.rows(_SQL["last_queue_numbers"], {"event_ids": list(event_ids)}, within_s))

    def installation_key(self) -> bytes:
        """Return the key that all processes over this database share."""
        [(key,)] = self._database.rows(_SQL["installation_key"])
        return bytes(key)

    def all_paused(self, within_s: float | None = None) -> bool:
        """Tell whether the decisions of all events are paused."""
        [(paused,)] = self._database.rows(_SQL["installation_paused"], within_s=within_s)
        return bool(paused)

    def resumed(self, event_ids: Sequence[int], within_s: float | None = None) -> list[int]:
        """Return those of the events whose decisions are not paused, neither alone nor with all others."""
        rows = self._database.rows(_SQL["resumed"], {"event_ids": event_ids}, within_s)
        return [event_id for (event_id,) in rows]

    def get(self, booking_id: int, user_id: int | None = None) -> Booking | None:
        """Return a booking; with ``user_id``, only if it is this user's."""
        rows = self._database.rows(_SQL["booking"], {"booking_id": booking_id, "user_id": user_id})
        return Booking(*rows[0]) if rows else None

    def recorded(self, job_id: UUID, within_s: float | None = None) -> RecordedJob | None:
        """Return what the ledger says of a job; None while it is undecided or unknown."""
        rows = self._database.rows(_SQL["recorded_job"], {"job_id": job_id}, within_s)
        return _recorded(job_id, rows[0]) if rows else None

    def history(self, user_id: int, limit: int, before_id: int | None = None) -> list[HistoryEntry]:
        """Return up to ``limit`` of a user's bookings, newest first, those with an id below ``before_id``."""
        parameters = {"user_id": user_id, "limit": limit, "before_id": before_id}
        rows = self._database.rows(_SQL["history"], parameters)
        return [HistoryEntry(Booking(*row[:8]), event_of_row(row[8:])) for row in rows]

    def release_leases(self, leases: Sequence[tuple[int, int]]) -> None:
        """Give up (event, epoch) pairs, so that another process need not wait for the lease to end."""
        parameters = {
            "event_ids": [event_id for event_id, _ in leases],
            "epochs": [epoch for _, epoch in leases],
            "owner": self._owner,
        }
        with self._database.transaction() as connection:
            connection.execute(_SQL["release_leases"], parameters)


def _recorded(job_id: UUID, row: tuple[Any, ...]) -> RecordedJob:
    event_id, user_id, quantity, queue_number, accepted_at, kind, reason, at, *booking = row
    booking_id, status, created_at, cancelled_at = booking
    outcome = Outcome(
        job_id=job_id,
        kind=Kind(kind),
        reason=None if reason is None else Reason(reason),
        booking_id=booking_id,
        decided_at=at,
    )
    held = None
    if booking_id is not None:
        held = Booking(booking_id, job_id, event_id, user_id, quantity, status, created_at, cancelled_at)
    return RecordedJob(event_id, user_id, quantity, queue_number, accepted_at, outcome, held)
