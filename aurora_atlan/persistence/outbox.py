"""The outbox: outcomes that wait to be told to receivers, each at least once, per event in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.database import Connection
from aurora_atlan.persistence.errors import translated

# The advisory lock of the one relay per database; the number is arbitrary.
_RELAY_LOCK = 0x6175_726F_7261_0002

_SQL = queries.load("outbox")


@dataclass(frozen=True, slots=True)
class Told:
    """One outcome, as the ledger has it."""

    event_id: int
    entry_number: int
    # "confirmed", "rejected", "failed" or "cancelled"
    kind: str
    job_id: UUID | None
    booking_id: int | None
    user_id: int | None
    quantity: int | None
    reason: str | None
    queue_number: int | None
    at: datetime


class Outbox:
    """The outbox over a connection of the relay's own, in autocommit mode."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def claim(self) -> bool:
        """Become the one relay of this database, as long as the connection lives; False if another is."""
        with translated():
            row = self._connection.execute(_SQL["claim_relay"], {"key": _RELAY_LOCK}).fetchone()
        return row is not None and bool(row[0])

    def waiting(self, limit: int) -> list[Told]:
        """Return up to ``limit`` outcomes that wait, per event in the order of the ledger."""
        with translated():
            return [Told(*row) for row in self._connection.execute(_SQL["waiting"], {"limit": limit})]

    def pass_on_oldest(self, limit: int) -> int:
        """Hand up to ``limit`` outcomes, told to nobody here, over to the webhooks; return how many."""
        with translated():
            row = self._connection.execute(_SQL["pass_on_oldest"], {"limit": limit}).fetchone()
        assert row is not None
        return int(row[0])

    def pass_on(self, told: Sequence[Told]) -> None:
        """Hand outcomes that have been told here over to the webhooks.

        They leave the outbox in the statement that notes them for every enabled webhook that wants them.
        """
        parameters = {
            "event_ids": [outcome.event_id for outcome in told],
            "entry_numbers": [outcome.entry_number for outcome in told],
        }
        with translated():
            self._connection.execute(_SQL["pass_on"], parameters)
