"""The ledger's entries: their canonical bytes and the hash that chains them.

``docs/ledger.md`` states the format for verifiers written in other languages.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import orjson

# The hash before an event's first entry.
GENESIS = bytes(32)


@dataclass(slots=True, kw_only=True)
class LedgerEntry:
    """One row of ``booking_ledger``; the fields are its columns, but for the last.

    Made without its hash, which follows from all the others: see :func:`seal`.
    """

    event_id: int
    entry_number: int
    kind: str
    job_id: UUID | None
    booking_id: int | None
    user_id: int | None
    quantity: int | None
    reason: str | None
    queue_number: int | None
    accepted_at: datetime | None
    sold_after: int
    capacity_after: int
    at: datetime
    prev_hash: bytes
    hash: bytes = b""
    # Of the booking that it makes, if it makes one: no column, and nothing that is hashed.
    slot: int | None = None


# A batch's jobs were mostly accepted at one time, and are all decided at one.
@functools.lru_cache(maxsize=1024)
def canonical_time(moment: datetime) -> str:
    """Return the time in the one spelling that is hashed and signed: UTC with six decimals and ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def canonical(entry: LedgerEntry) -> bytes:
    """Return the bytes that are hashed: every column but ``hash``, as one compact JSON array in UTF-8.

    Times are UTC with six decimals and ``Z``, hashes lower-case hex, UUIDs lower-case, NULL is ``null``.
    """
    return orjson.dumps(
        [
            entry.event_id,
            entry.entry_number,
            entry.kind,
            entry.job_id,
            entry.booking_id,
            entry.user_id,
            entry.quantity,
            entry.reason,
            entry.queue_number,
            None if entry.accepted_at is None else canonical_time(entry.accepted_at),
            entry.sold_after,
            entry.capacity_after,
            canonical_time(entry.at),
            entry.prev_hash.hex(),
        ]
    )


def entry_hash(entry: LedgerEntry) -> bytes:
    """Return the SHA-256 of the entry's canonical bytes."""
    return hashlib.sha256(canonical(entry)).digest()


def seal(entry: LedgerEntry) -> bytes:
    """Give the entry its hash, and return that: the next entry's ``prev_hash``."""
    entry.hash = entry_hash(entry)
    return entry.hash
