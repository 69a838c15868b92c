"""Says in sentences what the audit's comparing queries find; each row of theirs is a violation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aurora_atlan.persistence.audit_findings import Findings

_Match = Callable[[Mapping[int, Findings], tuple[Any, ...]], None]

_COMPARED = ("event", "booking id", "user", "quantity", "queue number")


def _booking(findings: Mapping[int, Findings], row: tuple[Any, ...]) -> None:
    event_id, entry_number, job_id = row[:3]
    entry, booking = row[3:8], row[8:13]
    found = findings[event_id]
    if booking[0] is None:
        sentence = f"it confirmed booking {entry[1]}, but there is no booking of job {job_id}"
        found.add("booking", sentence, entry_number=entry_number, booking_id=entry[1], job_id=job_id)
    elif entry[0] is None:
        sentence = f"booking {booking[1]} of job {job_id} has no `confirmed` entry in the ledger"
        found.add("booking", sentence, booking_id=booking[1], job_id=job_id)
    else:
        different = ", ".join(
            f"{what} {_told(booked)} instead of {_told(entered)}"
            for what, entered, booked in zip(_COMPARED, entry, booking, strict=True)
            if entered != booked
        )
        sentence = f"booking {booking[1]} differs from the entry that confirmed it: {different}"
        found.add("booking", sentence, entry_number=entry_number, booking_id=booking[1], job_id=job_id)


def _cancellation(findings: Mapping[int, Findings], row: tuple[Any, ...]) -> None:
    event_id, entry_number, booking_id, entries, cancelled = row
    if entries == 0:
        sentence = f"booking {booking_id} is cancelled, but the ledger has no `cancelled` entry for it"
    elif not cancelled:
        sentence = f"it cancelled booking {booking_id}, but no such booking is cancelled"
    elif entries > 1:
        sentence = f"booking {booking_id} was cancelled {entries} times, first here"
    else:
        sentence = f"it cancelled booking {booking_id} for another user or quantity than the booking has"
    findings[event_id].add("cancellation", sentence, entry_number=entry_number, booking_id=booking_id)


def _repeated_outcome(findings: Mapping[int, Findings], row: tuple[Any, ...]) -> None:
    job_id, count, first, last = row
    where = f"entry {first[1]}" + (f" of event {first[0]}" if first[0] != last[0] else "")
    sentence = f"job {job_id} has {count} outcomes; the first is {where}"
    findings[last[0]].add("outcome", sentence, entry_number=last[1], job_id=job_id)


def _holding(findings: Mapping[int, Findings], row: tuple[Any, ...]) -> None:
    event_id, entry_number, kind, reason, user_id, held, cap = row
    if held < 0:
        sentence = f"it cancelled a booking of user {user_id} who held none"
    elif kind == "confirmed":
        sentence = f"it gave user {user_id} booking number {held}, but one may hold {cap}"
    else:
        sentence = f"it refused user {user_id} as `{reason}`, who held {held} bookings of the {cap} allowed"
    findings[event_id].add("cap", sentence, entry_number=entry_number)


def _slot(findings: Mapping[int, Findings], row: tuple[Any, ...]) -> None:
    event_id, user_id, slot, count, first, last, cap = row
    if count > 1:
        sentence = f"bookings {first} and {last} of user {user_id} share slot {slot}"
    else:
        sentence = f"booking {last} of user {user_id} has slot {slot}, but one may hold {cap}"
    findings[event_id].add("cap", sentence, booking_id=last)


def _told(value: int | None) -> str:
    return "none" if value is None else str(value)


# By the names of the queries in audit.sql.
MATCHES: Mapping[str, _Match] = {
    "bookings_against_ledger": _booking,
    "cancellations_against_ledger": _cancellation,
    "repeated_outcomes": _repeated_outcome,
    "holdings": _holding,
    "slots": _slot,
}
