"""The users and their refresh tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.database import Connection, Database

# Bulk insertion: small enough to stay far below the statement timeout.
_SYNTHETIC_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    id: int
    name: str
    # in canonical form
    email: str
    # "USER", "ADMIN" or "OPS"
    role: str
    # raised to revoke every access token issued before
    token_version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account about to be made; ``email`` in canonical form, ``password_hash`` in PHC string format."""

    name: str
    email: str
    password_hash: str
    role: str = "USER"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What login compares; only login may have it."""

    user: User
    # None: an account that cannot log in
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class NewRefreshToken:
    """A refresh token about to be stored: its SHA-256, and the login it descends from."""

    token_hash: bytes
    family: UUID
    expires_at: datetime


class UserStore:
    """Accounts in PostgreSQL. Every method is one transaction and raises the errors of ``persistence.errors``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries.load("users")

    def create(self, user: NewUser, refresh_token: NewRefreshToken | None = None) -> User | None:
        """Add a user, and with it the first refresh token if there is one; None when the address is taken."""
        with self._database.transaction() as connection:
            row = connection.execute(
                self._queries["create"],
                {
                    "name": user.name,
                    "email": user.email,
                    "password_hash": user.password_hash,
                    "role": user.role,
                },
            ).fetchone()
            if row is None:
                return None
            created = User(*row)
            if refresh_token is not None:
                self._add_refresh_token(connection, created.id, refresh_token)
            return created

    def by_id(self, user_id: int) -> User | None:
        """Return a user, None when there is none."""
        rows = self._database.rows(self._queries["by_id"], {"user_id": user_id})
        return User(*rows[0]) if rows else None

    def credentials(self, email: str) -> Credentials | None:
        """Return the user with this address and the password hash; for login alone."""
        rows = self._database.rows(self._queries["credentials"], {"email": email})
        return Credentials(User(*rows[0][:-1]), rows[0][-1]) if rows else None

    def replace_password_hash(self, user_id: int, old_hash: str, new_hash: str) -> None:
        """Replace a hash by one of the same password; without effect when the password has changed since."""
        with self._database.transaction() as connection:
            connection.execute(
                self._queries["replace_password_hash"],
                {"user_id": user_id, "old_hash": old_hash, "new_hash": new_hash},
            )

    def promote(self, email: str, role: str) -> User | None:
        """Give the user with this address a role, which voids the tokens issued before; None when there is none."""
        with self._database.transaction() as connection:
            return _user(connection.execute(self._queries["promote"], {"email": email, "role": role}).fetchone())

    def create_synthetic(self, count: int) -> Iterator[int]:
        """Make ``count`` buyers who cannot log in and yield their ids, batch by batch, each batch committed."""
        # One domain per call: the addresses of two calls never meet.
        domain = f"synthetic-{uuid4().hex}"
        for first in range(1, count + 1, _SYNTHETIC_BATCH):
            last = min(first + _SYNTHETIC_BATCH - 1, count)
            with self._database.transaction() as connection:
                rows = connection.execute(
                    self._queries["create_synthetic"], {"batch": domain, "first": first, "last": last}
                ).fetchall()
            yield from (row[0] for row in rows)

    def add_refresh_token(self, user_id: int, refresh_token: NewRefreshToken) -> None:
        """Store a refresh token of a user."""
        with self._database.transaction() as connection:
            self._add_refresh_token(connection, user_id, refresh_token)

    def _add_refresh_token(self, connection: Connection, user_id: int, refresh_token: NewRefreshToken) -> None:
        connection.execute(
            self._queries["add_refresh_token"],
            {
                "user_id": user_id,
                "token_hash": refresh_token.token_hash,
                "family": refresh_token.family,
                "expires_at": refresh_token.expires_at,
            },
        )


def _user(row: tuple[Any, ...] | None) -> User | None:
    return None if row is None else User(*row)
