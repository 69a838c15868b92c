"""The database behind the service, where the environment leads to it: shortcuts and the proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

from aurora_atlan.commands.rush.history import Buyer, Proof
from aurora_atlan.config import Settings
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.audit import Auditor
from aurora_atlan.persistence.audit_report import EventAudit
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.embedded.data_dir import DataDirectory
from aurora_atlan.persistence.users import UserStore

_SERVICE = "serve"
_TOKEN_LIFETIME_S = 86_400
_POOL_TIMEOUT_S = 10.0


class Installation:
    """A service's database and secret."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._users = UserStore(database)
        self._tokens = TokenIssuer(settings)

    @classmethod
    @contextmanager
    def at_hand(cls, settings: Settings) -> Iterator[Self | None]:
        """Open the database that the settings, or the data directory of a running service, lead to.

        Gives None when neither does, or the secret that tokens are signed with is not known.
        """
        found = _settings(settings)
        if found is None or found.jwt_secret is None:
            yield None
            return
        database = Database(replace(found, pool_min=1, pool_max=2, pool_timeout_s=_POOL_TIMEOUT_S))
        database.open()
        try:
            yield cls(found, database)
        finally:
            database.close()

    def has_user(self, user_id: int, email: str) -> bool:
        """Whether this is the account's database. Raises :mod:`aurora_atlan.persistence.errors`."""
        user = self._users.by_id(user_id)
        return user is not None and user.email == email

    def token(self, user_id: int) -> str:
        """Return a token of a buyer who was registered just now."""
        return self._tokens.issue(user_id, "USER", 1, lifetime_s=_TOKEN_LIFETIME_S)

    def make_buyers(self, count: int) -> Iterator[Buyer]:
        """Make buyers in bulk, who cannot log in."""
        for user_id in self._users.create_synthetic(count):
            yield Buyer(user_id, self.token(user_id))

    @contextmanager
    def temporary_admin(self) -> Iterator[str]:
        """Give the token of an administrator without a password, who is an ordinary user afterwards."""
        user = self._users.by_id(next(self._users.create_synthetic(1)))
        assert user is not None
        try:
            admin = self._users.promote(user.email, "ADMIN")
            assert admin is not None
            yield self._tokens.issue(admin.id, "ADMIN", admin.token_version)
        finally:
            self._users.promote(user.email, "USER")

    def audit(self, event_ids: Sequence[int]) -> list[Proof]:
        """Audit these events from their rows. Raises :mod:`aurora_atlan.persistence.errors`."""
        auditor = Auditor(self._database)
        return [_proof(event) for event_id in event_ids for event in auditor.run(event_id).events]


def _settings(settings: Settings) -> Settings | None:
    directory = DataDirectory(settings.data_dir)
    running = directory.told()
    serving = running is not None and running.purpose == _SERVICE and running.ready
    # A service with a database of its own is not the one that DATABASE_URL is about.
    if running is not None and serving and (settings.database_url is None or running.database_url is None):
        settings = directory.settings(settings, running)
    return None if settings.database_url is None else settings


def _proof(event: EventAudit) -> Proof:
    return Proof(
        event_id=event.event_id,
        entries=event.entries,
        seats_booked=event.seats_booked,
        confirmed=event.kinds.get("confirmed", 0),
        refused=event.kinds.get("rejected", 0) + event.kinds.get("failed", 0),
        queue_restarts=event.queue_restarts,
        violations=tuple(violation.sentence for violation in event.violations),
    )
