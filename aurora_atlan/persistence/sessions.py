"""Logins: how they begin, go on by refresh tokens, and end.

Whatever changes a user's tokens locks the user's row first, so that no token slips in beside a revocation. The
lock is one that bookings of the same user do not wait for.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from aurora_atlan.persistence import queries, refresh_tokens
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.refresh_tokens import NewRefreshToken
from aurora_atlan.persistence.users import Credentials, User

_SQL = queries.load("users")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Successor:
    """The refresh token that takes the place of a spent one, in its family: its SHA-256."""

    token_hash: bytes
    expires_at: datetime


class SessionStore:
    """Logins in PostgreSQL. Every method is one transaction and raises the errors of ``persistence.errors``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, verified: Credentials, token: NewRefreshToken) -> User | None:
        """Store the first refresh token of a login and return the user as of now.

        None when the password is another one than that which was verified.
        """
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["lock_verified"], _as_verified(verified)).fetchone()
            if row is None:
                return None
            refresh_tokens.add(connection, verified.user.id, token)
            return User(*row)

    def rotate(self, token_hash: bytes, successor: Successor) -> User | None:
        """Exchange a refresh token for its successor and return the user as of now.

        None when it is unknown, expired, revoked or spent; a spent one revokes its family.
        """
        with self._database.transaction() as connection:
            user_id = refresh_tokens.owner_of(connection, token_hash)
            if user_id is None:
                return None
            row = connection.execute(_SQL["lock"], {"user_id": user_id}).fetchone()
            assert row is not None
            family = refresh_tokens.spend(connection, token_hash)
            if family is None:
                ended = refresh_tokens.revoke_if_spent(connection, token_hash)
                if ended:
                    log.warning("a spent refresh token of user %d was sent: all of its login are revoked", user_id)
                return None
            token = NewRefreshToken(successor.token_hash, family, successor.expires_at)
            refresh_tokens.add(connection, user_id, token)
            return User(*row)

    def end_all(self, user_id: int) -> int | None:
        """Void all of a user's access tokens and revoke all refresh tokens; return the new token version.

        None when there is no such user.
        """
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["void_tokens"], {"user_id": user_id}).fetchone()
            if row is None:
                return None
            refresh_tokens.revoke_all(connection, user_id)
            version: int = row[0]
            return version

    def change_password(self, verified: Credentials, password_hash: str, token: NewRefreshToken) -> User | None:
        """Set another password, end all logins, and begin one with this refresh token; return the user.

        None when the password was changed since it was verified.
        """
        with self._database.transaction() as connection:
            parameters = {**_as_verified(verified), "new_hash": password_hash}
            row = connection.execute(_SQL["change_password"], parameters).fetchone()
            if row is None:
                return None
            refresh_tokens.revoke_all(connection, verified.user.id)
            refresh_tokens.add(connection, verified.user.id, token)
            return User(*row)


def _as_verified(verified: Credentials) -> dict[str, object]:
    return {
        "user_id": verified.user.id,
        "token_version": verified.user.token_version,
        "password_hash": verified.password_hash,
    }
