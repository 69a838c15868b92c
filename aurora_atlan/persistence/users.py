"""The users: accounts, passwords, roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import uuid4

from aurora_atlan.persistence import queries, refresh_tokens
from aurora_atlan.persistence.audit_log import Deed, note
from aurora_atlan.persistence.database import Connection, Database
from aurora_atlan.persistence.refresh_tokens import NewRefreshToken

ROLES = frozenset({"USER", "ADMIN", "OPS"})

# The advisory lock under which roles are changed; the number is arbitrary.
_ROLES_LOCK = 0x6175_726F_7261_0007

# Bulk insertion: small enough to stay far below the statement timeout.
_SYNTHETIC_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class User:
    """The account of somebody who may book."""

    id: int
    name: str
    email: str
    """In canonical form."""
    role: str
    """USER, ADMIN or OPS."""
    token_version: int
    """Raised to revoke every access token issued before."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account about to be made; ``email`` in canonical form, ``password_hash`` in PHC string format.

    Without a hash nobody can log in.
    """

    name: str
    email: str
    password_hash: str | None
    role: str = "USER"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What login, or a change of password, compares; nobody else may have it."""

    user: User
    # None: an account that cannot log in
    password_hash: str | None


class RoleRefusal(Enum):
    """Why a role was not changed."""

    UNKNOWN_USER = "unknown user"
    # Nobody else who can log in is an administrator.
    LAST_ADMIN = "last admin"


class UserStore:
    """Accounts in PostgreSQL. Every method is one transaction and raises the errors of ``persistence.errors``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries.load("users")

    def create(
        self,
        user: NewUser,
        refresh_token: NewRefreshToken | None = None,
        deed: Callable[[User], Deed] | None = None,
    ) -> User | None:
        """Add a user, and with it the first refresh token if there is one; None when the address is taken.

        What ``deed`` makes of the new user, if given, is noted in the audit log.
        """
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
                refresh_tokens.add(connection, created.id, refresh_token)
            if deed is not None:
                note(connection, deed(created))
            return created

    def by_id(self, user_id: int) -> User | None:
        """Return a user, None when there is none."""
        rows = self._database.rows(self._queries["by_id"], {"user_id": user_id})
        return User(*rows[0]) if rows else None

    def by_email(self, email: str) -> User | None:
        """Return the user with this address, None when there is none."""
        rows = self._database.rows(self._queries["by_email"], {"email": email})
        return User(*rows[0]) if rows else None

    def credentials(self, email: str) -> Credentials | None:
        """Return the user with this address and the password hash; for login and a change of password."""
        rows = self._database.rows(self._queries["credentials"], {"email": email})
        return Credentials(User(*rows[0][:-1]), rows[0][-1]) if rows else None

    def replace_password_hash(self, user_id: int, old_hash: str, new_hash: str) -> None:
        """Replace a hash by one of the same password; without effect when the password has changed since."""
        with self._database.transaction() as connection:
            connection.execute(
                self._queries["replace_password_hash"],
                {"user_id": user_id, "old_hash": old_hash, "new_hash": new_hash},
            )

    def change_role(
        self, user_id: int, role: str, deed: Callable[[User, User], Deed] | None = None
    ) -> User | RoleRefusal:
        """Give a user a role, which voids the access tokens issued before, and return the user as of then.

        The last administrator who can log in stays one, however many ask at once. What ``deed`` makes of the user
        before and after is noted in the audit log. The role that the user has already changes and notes nothing.
        """
        with self._database.transaction() as connection:
            connection.execute(self._queries["claim_roles"], {"key": _ROLES_LOCK})
            before = _user(connection.execute(self._queries["lock"], {"user_id": user_id}).fetchone())
            if before is None:
                return RoleRefusal.UNKNOWN_USER
            if before.role == role:
                return before
            if before.role == "ADMIN" and not self._has_other_admin(connection, user_id):
                return RoleRefusal.LAST_ADMIN
            after = self._set_role(connection, user_id, role)
            if deed is not None:
                note(connection, deed(before, after))
            return after

    def promote(self, email: str, role: str) -> User | None:
        """Give the user with this address a role, also the last administrator; None when there is no such user.

        Voids the access tokens issued before.
        """
        with self._database.transaction() as connection:
            found = _user(connection.execute(self._queries["by_email"], {"email": email}).fetchone())
            return None if found is None else self._set_role(connection, found.id, role)

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

    def _has_other_admin(self, connection: Connection, user_id: int) -> bool:
        row = connection.execute(self._queries["has_other_admin"], {"user_id": user_id}).fetchone()
        return row is not None and bool(row[0])

    def _set_role(self, connection: Connection, user_id: int, role: str) -> User:
        user = _user(connection.execute(self._queries["set_role"], {"user_id": user_id, "role": role}).fetchone())
        assert user is not None
        return user


def _user(row: tuple[Any, ...] | None) -> User | None:
    return None if row is None else User(*row)
