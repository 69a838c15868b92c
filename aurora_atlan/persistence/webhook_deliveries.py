"""What webhooks are yet to be told, each at least once, per event in order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.audit_log import Deed, note
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.outbox import OutcomeNotice, notice_of_row


@dataclass(frozen=True, slots=True)
class Lane:
    """One event's deliveries to one webhook: they are sent one after the other. Event 0 stands for a test."""

    webhook_id: int
    event_id: int


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send, and with what to sign."""

    url: str
    secret: bytes = field(repr=False)
    # The one before the last rotation, while it signs, too.
    previous_secret: bytes | None = field(repr=False)
    last_success_at: datetime | None

    @property
    def secrets(self) -> list[bytes]:
        """All that sign, the newest first."""
        return [self.secret] if self.previous_secret is None else [self.secret, self.previous_secret]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that waits."""

    message_id: UUID
    entry_number: int
    created_at: datetime
    # That failed.
    attempts: int
    failing_since: datetime | None
    # None: a test.
    outcome: OutcomeNotice | None


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed, and what follows."""

    delivery: Delivery
    # For administrators to read.
    error: str
    # Until the next attempt.
    wait_s: float
    # There is no next one.
    given_up: bool = False
    # The webhook is switched off, which is noted as this.
    disabling: Deed | None = None


class WebhookDeliveryStore:
    """Deliveries in PostgreSQL. Its methods raise :mod:`aurora_atlan.persistence.errors`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries.load("webhook_deliveries")

    def claim(self, busy: Collection[int], claim_s: float) -> list[Lane]:
        """Take a lane that is due of each enabled webhook that is not ``busy``.

        Nobody else gets it for ``claim_s`` seconds, or until it is settled.
        """
        with self._database.transaction() as connection:
            parameters = {"busy": list(busy), "claim_s": claim_s}
            return [Lane(*row) for row in connection.execute(self._queries["claim"], parameters)]

    def waiting(self, lane: Lane, limit: int) -> tuple[Target, list[Delivery]] | None:
        """Return where a lane leads and the first that wait there, in order; None when its webhook is off or gone."""
        wanted = {"webhook_id": lane.webhook_id, "event_id": lane.event_id, "limit": limit}
        with self._database.transaction() as connection:
            target = connection.execute(self._queries["target"], wanted).fetchone()
            if target is None:
                return None
            rows = connection.execute(self._queries["waiting"], wanted).fetchall()
        return Target(*target), [_delivery(row) for row in rows]

    def settle(self, lane: Lane, delivered: Sequence[Delivery], rest: Failure | Delivery | None) -> None:
        """Note what became of a claimed lane: what was delivered, and what came after that.

        That is a failure, or a delivery that was not tried and is due at once; None when there was none.
        """
        key = {"webhook_id": lane.webhook_id, "event_id": lane.event_id}
        # The webhook's row first: whoever deletes it locks in this order, too.
        with self._database.transaction() as connection:
            if delivered:
                connection.execute(self._queries["succeeded"], key)
            if isinstance(rest, Failure):
                disabled = rest.disabling is not None
                connection.execute(self._queries["note_error"], {**key, "error": rest.error, "disabled": disabled})
            if delivered:
                parameters = {
                    "entry_numbers": [delivery.entry_number for delivery in delivered],
                    "message_ids": [delivery.message_id for delivery in delivered],
                }
                connection.execute(self._queries["delivered"], {**key, **parameters})
            match rest:
                case Delivery():
                    connection.execute(self._queries["release"], {**key, **_place(rest)})
                case Failure():
                    follows = {"error": rest.error, "wait_s": rest.wait_s, "given_up": rest.given_up}
                    connection.execute(self._queries["failed"], {**key, **_place(rest.delivery), **follows})
                    if rest.disabling is not None:
                        note(connection, rest.disabling)


def _delivery(row: tuple[Any, ...]) -> Delivery:
    message_id, entry_number, created_at, attempts, failing_since, *entry = row
    outcome = None if entry[0] is None else notice_of_row(entry)
    return Delivery(message_id, entry_number, created_at, attempts, failing_since, outcome)


def _place(delivery: Delivery) -> dict[str, Any]:
    return {"entry_number": delivery.entry_number, "message_id": delivery.message_id}
