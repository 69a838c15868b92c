"""The outbox: outcomes that wait to be told to receivers, each at least once, per event in order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.database import Connection
from aurora_atlan.persistence.errors import translated
from aurora_atlan.persistence.records import Kind, Reason

# The advisory lock of the one relay per database; the number is arbitrary.
_RELAY_LOCK = 0x6175_726F_7261_0002

_SQL = queries.load("outbox")


@dataclass(frozen=True, slots=True)
class OutcomeNotice:
    """One outcome, as the ledger has it. The pair of event id and entry number is its identity."""

    event_id: int
    entry_number: int
    """Its place in the event's ledger: outcomes of one event are told in this order."""
    kind: Kind
    """CONFIRMED, REJECTED, FAILED or CANCELLED."""
    job_id: UUID | None
    """None when a booking was cancelled."""
    booking_id: int | None
    """The booking that was made or cancelled."""
    user_id: int | None
    quantity: int | None
    """Tickets."""
    reason: Reason | None
    """Why, unless it is confirmed."""
    queue_number: int | None
    """Its place in the event's order of acceptance."""
    at: datetime
    """When it was decided, by PostgreSQL's clock."""


class Outbox:
    """The outbox over a connection of the relay's own, in autocommit mode."""

    def __init__(self, connection: Connection) -> None:
        # Planned each time: the plan that is right while the outbox is empty compares each row with each outcome, and
        # would be kept for the rush that comes.
        connection.prepare_threshold = None
        self._connection = connection

    def claim(self) -> bool:
        """Become the one relay of this database, as long as the connection lives; False if another is."""
        with translated():
            row = self._connection.execute(_SQL["claim_relay"], {"key": _RELAY_LOCK}).fetchone()
        return row is not None and bool(row[0])

    def waiting(self, limit: int, but: Collection[int] = ()) -> list[OutcomeNotice]:
        """Return up to ``limit`` outcomes that wait, ``but`` those of these events; per event in the ledger's order."""
        parameters = {"limit": limit, "but": list(but)}
        with translated():
            return [notice_of_row(row) for row in self._connection.execute(_SQL["waiting"], parameters)]

    def pass_on_oldest(self, limit: int) -> int:
        """Hand up to ``limit`` outcomes, told to nobody here, over to the webhooks; return how many."""
        with translated():
            row = self._connection.execute(_SQL["pass_on_oldest"], {"limit": limit}).fetchone()
        assert row is not None
        return int(row[0])

    def pass_on(self, told: Sequence[OutcomeNotice]) -> None:
        """Hand outcomes that have been told here over to the webhooks.

        They leave the outbox in the statement that notes them for every enabled webhook that wants them.
        """
        parameters = {
            "event_ids": [outcome.event_id for outcome in told],
            "entry_numbers": [outcome.entry_number for outcome in told],
        }
        with translated():
            self._connection.execute(_SQL["pass_on"], parameters)


def notice_of_row(row: Sequence[Any]) -> OutcomeNotice:
    """Make a notice of the columns that every query of outcomes selects, in their order."""
    event_id, entry_number, kind, job_id, booking_id, user_id, quantity, reason, queue_number, at = row
    return OutcomeNotice(
        event_id,
        entry_number,
        Kind(kind),
        job_id,
        booking_id,
        user_id,
        quantity,
        None if reason is None else Reason(reason),
        queue_number,
        at,
    )
