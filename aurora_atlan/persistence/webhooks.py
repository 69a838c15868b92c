"""The webhooks: who is told of outcomes over HTTP, as administrators see and change them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.audit_log import Deed, note
from aurora_atlan.persistence.database import Database

# What a webhook may ask for.
OUTCOME_TYPES = ("booking.confirmed", "booking.rejected", "booking.failed", "booking.cancelled")

# Each has a thread of its own while it is sent to.
WEBHOOKS_MAX = 16
# Receivers have so long to learn a new secret.
SECRET_OVERLAP_S = 86_400

# The advisory lock under which webhooks are added; the number is arbitrary.
_ROOM_LOCK = 0x6175_726F_7261_0009
# Small enough to stay far below the statement timeout.
_CLEARED_AT_ONCE = 20_000
_GIVEN_UP_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook without its secret."""

    id: int
    url: str
    types: Sequence[str]
    # False: nothing is sent, and outcomes of that time will never be.
    enabled: bool
    created_at: datetime
    last_success_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A delivery that will not be tried again; event 0 stands for a test."""

    event_id: int
    entry_number: int
    attempts: int
    failed_at: datetime
    error: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A webhook, and what became of its deliveries."""

    webhook: Webhook
    waiting: int
    failed: int
    # The latest of those that failed.
    given_up: Sequence[GivenUp]


class WebhookStore:
    """Webhooks in PostgreSQL. Its methods raise :mod:`aurora_atlan.persistence.errors`.

    Every change is noted in the audit log, in the transaction that makes it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries.load("webhooks")

    def create(self, url: str, types: Sequence[str], secret: bytes, deed: Callable[[Webhook], Deed]) -> Webhook | None:
        """Add a webhook; None when there are ``WEBHOOKS_MAX`` already."""
        parameters = {"url": url, "types": list(types), "secret": secret, "webhooks_max": WEBHOOKS_MAX}
        with self._database.transaction() as connection:
            connection.execute(self._queries["claim_room"], {"key": _ROOM_LOCK})
            row = connection.execute(self._queries["create"], parameters).fetchone()
            if row is None:
                return None
            created = Webhook(*row)
            note(connection, deed(created))
            return created

    def all(self) -> list[Webhook]:
        """Return the webhooks, the oldest first."""
        return [Webhook(*row) for row in self._database.rows(self._queries["all"])]

    def standing(self, webhook_id: int) -> Standing | None:
        """Return a webhook and what became of its deliveries; None when there is none."""
        wanted = {"webhook_id": webhook_id, "limit": _GIVEN_UP_SHOWN_MAX}
        rows = self._database.rows(self._queries["standing"], wanted)
        if not rows:
            return None
        *webhook, waiting, failed = rows[0]
        given_up = [GivenUp(*row) for row in self._database.rows(self._queries["given_up"], wanted)] if failed else []
        return Standing(Webhook(*webhook), waiting, failed, given_up)

    def set_enabled(self, webhook_id: int, deed: Deed, *, enabled: bool) -> Webhook | None:
        """Switch a webhook on or off and return it; None when there is none. As it is already: nothing is noted.

        Switched on, what waits is tried at once.
        """
        with self._database.transaction() as connection:
            row = connection.execute(self._queries["lock"], {"webhook_id": webhook_id}).fetchone()
            if row is None:
                return None
            before = Webhook(*row)
            if before.enabled == enabled:
                return before
            wanted = {"webhook_id": webhook_id, "enabled": enabled}
            after = connection.execute(self._queries["set_enabled"], wanted).fetchone()
            assert after is not None
            if enabled:
                connection.execute(self._queries["begin_anew"], wanted)
            note(connection, deed)
            return Webhook(*after)

    def rotate(self, webhook_id: int, secret: bytes, deed: Deed) -> datetime | None:
        """Give a webhook another secret; return until when the old one signs, too, None when there is no webhook.

        Of two old ones only the later signs.
        """
        parameters = {"webhook_id": webhook_id, "secret": secret, "overlap_s": SECRET_OVERLAP_S}
        with self._database.transaction() as connection:
            row = connection.execute(self._queries["rotate"], parameters).fetchone()
            if row is None:
                return None
            note(connection, deed)
            until: datetime = row[0]
            return until

    def queue_test(self, webhook_id: int, deed: Deed) -> bool:
        """Have a test delivered; False when there is no such webhook."""
        with self._database.transaction() as connection:
            if connection.execute(self._queries["lock"], {"webhook_id": webhook_id}).fetchone() is None:
                return False
            connection.execute(self._queries["queue_test"], {"webhook_id": webhook_id})
            note(connection, deed)
            return True

    def delete(self, webhook_id: int, deed: Deed) -> bool:
        """Remove a webhook and all that waits for it; False when there is none."""
        wanted = {"webhook_id": webhook_id, "limit": _CLEARED_AT_ONCE}
        cleared = _CLEARED_AT_ONCE
        while cleared == _CLEARED_AT_ONCE:
            with self._database.transaction() as connection:
                cleared = connection.execute(self._queries["clear"], wanted).rowcount
        with self._database.transaction() as connection:
            if connection.execute(self._queries["delete"], wanted).rowcount == 0:
                return False
            note(connection, deed)
            return True
