"""One transaction over events' inventory rows: lock, read what a decision needs, record, commit.

Whatever changes ``sold`` or ``capacity`` comes through here: bookings, cancellations, withdrawals,
capacity edits, new events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from aurora_atlan.persistence import audit_log, queries
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.database import Connection
from aurora_atlan.persistence.ledger import LedgerEntry, seal
from aurora_atlan.persistence.records import Inventory, Job, Kind, NewJob, Outcome, Reason

# The advisory lock that a pause takes and every deciding transaction shares; the number is arbitrary.
_PAUSE_LOCK = 0x6175_726F_7261_0001

_SQL = queries.load("bookings")


class Locked(NamedTuple):
    """A locked inventory row."""

    inventory: Inventory
    # No other process owns the event now.
    takeable: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What a decision needs to know, read after the lock."""

    # PostgreSQL's clock.
    now: datetime
    booking_ids: Sequence[int]
    # The answers that jobs have already; a replay must not answer again.
    outcomes: Mapping[UUID, Outcome]
    # By event and user the slots held with confirmed bookings.
    held_slots: Mapping[int, Mapping[int, set[int]]]


@dataclass(slots=True)
class Draft:
    """A ledger entry before it gets its number, its time and its place in the chain."""

    kind: Kind
    sold_after: int
    capacity_after: int
    job_id: UUID | None = None
    booking_id: int | None = None
    user_id: int | None = None
    quantity: int | None = None
    reason: Reason | None = None
    queue_number: int | None = None
    accepted_at: datetime | None = None
    # Which of the user's slots of this event its booking takes; None: it makes no booking.
    slot: int | None = None


class Change(NamedTuple):
    """What happens to one locked event: its new row, and the entries that lead there, in order."""

    # As it shall be, except last_entry and ledger_head, which follow from the entries.
    inventory: Inventory
    entries: Sequence[Draft]


class EncodedChange(NamedTuple):
    """A change as the database takes it: members of JSON arrays, without the brackets."""

    inventory: bytes
    entries: bytes


def encode(change: Change, at: datetime) -> EncodedChange:
    """Chain the change's entries, all of the time ``at``, and encode it.

    Apart from recording, so that what cannot be encoded harms no other event of the transaction. Raises
    TypeError for a value that JSON cannot hold.
    """
    chain = _chained(change, at)
    return EncodedChange(
        orjson.dumps(_inventory_row(change.inventory, chain)),
        orjson.dumps(chain, default=bytes.hex)[1:-1],
    )


class UnitOfWork:
    """The steps of one transaction; leaving the block that gave it commits, an exception rolls back.

    READ COMMITTED, and everything is read after locking: under REPEATABLE READ the snapshot would be
    older than the lock, and the lock would still oversell.
    """

    def __init__(self, connection: Connection, owner: int) -> None:
        self._connection = connection
        self._owner = owner

    def hold_off_pause(self) -> None:
        """Let no pause answer while this transaction decides."""
        self._connection.execute(_SQL["share_pause"], {"key": _PAUSE_LOCK})

    def lock_free(self, event_ids: Collection[int]) -> dict[int, Locked]:
        """Lock the events' rows, leaving out those that somebody else holds."""
        parameters = {"event_ids": _array(sorted(event_ids)), "owner": self._owner}
        rows = self._connection.execute(_SQL["lock_free_inventories"], parameters).fetchall()
        return {row[0]: _locked(row) for row in rows}

    def lock(self, event_id: int) -> Locked | None:
        """Lock one event's row, waiting up to the lock timeout; None when there is no such event.

        Raises :class:`~aurora_atlan.persistence.errors.LockNotGrantedError`.
        """
        parameters = {"event_id": event_id, "owner": self._owner}
        row = self._connection.execute(_SQL["lock_inventory"], parameters).fetchone()
        return None if row is None else _locked(row)

    def read(self, jobs: Sequence[Job | NewJob], bookings_max: int) -> Reading:
        """Read what a decision of these jobs needs, and take new booking ids; unused ones leave gaps."""
        parameters = {
            "count": bookings_max,
            "job_ids": _array([job.job_id for job in jobs]),
            "event_ids": _array([job.event_id for job in jobs]),
            "user_ids": _array([job.user_id for job in jobs]),
        }
        (now, booking_ids, *_), *rows = self._connection.execute(_SQL["read"], parameters).fetchall()
        outcomes: dict[UUID, Outcome] = {}
        held: dict[int, dict[int, set[int]]] = {}
        for at, _, job_id, kind, reason, booking_id, event_id, user_id, slot in rows:
            if job_id is not None:
                outcomes[job_id] = Outcome(
                    job_id=job_id,
                    kind=Kind(kind),
                    reason=None if reason is None else Reason(reason),
                    booking_id=booking_id,
                    decided_at=at,
                )
            else:
                held.setdefault(event_id, {}).setdefault(user_id, set()).add(slot)
        return Reading(now, booking_ids, outcomes, held)

    def record(self, changes: Sequence[EncodedChange]) -> None:
        """Write the changes of locked events: bookings, chained ledger entries, outbox, inventory rows."""
        parameters = {
            "entries": _joined(change.entries for change in changes),
            "inventories": _joined(change.inventory for change in changes),
        }
        self._connection.execute(_SQL["record"], parameters)

    def cancel_booking(self, booking_id: int, at: datetime) -> bool:
        """Mark a confirmed booking cancelled; False when it is not confirmed."""
        cursor = self._connection.execute(_SQL["cancel_booking"], {"booking_id": booking_id, "at": at})
        return cursor.rowcount == 1

    def pause(self, event_id: int | None, *, paused: bool) -> bool:
        """Write the pause of one event, or of all; nothing is decided between this and COMMIT.

        Returns False when there is no such event.
        """
        self._connection.execute(_SQL["claim_pause"], {"key": _PAUSE_LOCK})
        if event_id is None:
            cursor = self._connection.execute(_SQL["pause_installation"], {"paused": paused})
        else:
            cursor = self._connection.execute(_SQL["pause_event"], {"paused": paused, "event_id": event_id})
        return cursor.rowcount == 1

    def note(self, deed: Deed) -> None:
        """Write to the audit log what this transaction does."""
        audit_log.note(self._connection, deed)


def _array(values: Sequence[int] | Sequence[UUID]) -> str:
    # As PostgreSQL spells an array of numbers or UUIDs. psycopg would take twenty times as long to spell it.
    return "{" + orjson.dumps(values)[1:-1].decode() + "}"


def _joined(members: Iterable[bytes]) -> str:
    return (b"[" + b",".join(member for member in members if member) + b"]").decode()


def _locked(row: tuple[Any, ...]) -> Locked:
    # The columns are Inventory's fields in their order, but for what was sold at the lock.
    event_id, capacity, sold, *others, takeable = row
    return Locked(Inventory(event_id, capacity, sold, sold, *others), takeable)


def _chained(change: Change, at: datetime) -> list[LedgerEntry]:
    number, head = change.inventory.last_entry, change.inventory.ledger_head
    chain = []
    for draft in change.entries:
        number += 1
        entry = LedgerEntry(
            event_id=change.inventory.event_id,
            entry_number=number,
            kind=draft.kind,
            job_id=draft.job_id,
            booking_id=draft.booking_id,
            user_id=draft.user_id,
            quantity=draft.quantity,
            reason=draft.reason,
            queue_number=draft.queue_number,
            accepted_at=draft.accepted_at,
            slot=draft.slot,
            sold_after=draft.sold_after,
            capacity_after=draft.capacity_after,
            at=at,
            prev_hash=head,
        )
        head = seal(entry)
        chain.append(entry)
    return chain


def _bookings_added(entry: LedgerEntry) -> int:
    if entry.kind == Kind.CONFIRMED:
        return 1
    # Without a booking a job was withdrawn.
    return -1 if entry.kind == Kind.CANCELLED and entry.booking_id is not None else 0


def _inventory_row(inventory: Inventory, chain: Sequence[LedgerEntry]) -> Mapping[str, Any]:
    return {
        "event_id": inventory.event_id,
        "capacity": inventory.capacity,
        "tickets": inventory.sold - inventory.sold_at_lock,
        "bookings": sum(map(_bookings_added, chain)),
        "gone": inventory.gone,
        "last_queue_number": inventory.last_queue_number,
        "last_entry": inventory.last_entry + len(chain),
        "ledger_head": (chain[-1].hash if chain else inventory.ledger_head).hex(),
        "owner": inventory.owner,
        "epoch": inventory.epoch,
        "lease_until": inventory.lease_until,
    }
