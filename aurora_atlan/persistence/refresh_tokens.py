"""Refresh tokens as they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.database import Connection

_SQL = queries.load("refresh_tokens")


@dataclass(frozen=True, slots=True)
class NewRefreshToken:
    """A refresh token about to be stored: its SHA-256, and the login it descends from."""

    token_hash: bytes
    family: UUID
    expires_at: datetime


def add(connection: Connection, user_id: int, token: NewRefreshToken) -> None:
    """Store a user's token, in the transaction of whatever it is given out for, and remove some expired ones."""
    connection.execute(_SQL["forget_expired"], {"user_id": user_id})
    connection.execute(
        _SQL["add"],
        {
            "user_id": user_id,
            "token_hash": token.token_hash,
            "family": token.family,
            "expires_at": token.expires_at,
        },
    )


def spend(connection: Connection, token_hash: bytes) -> UUID | None:
    """Use a token up and return its family; None unless it is alive and was never used."""
    row = connection.execute(_SQL["spend"], {"token_hash": token_hash}).fetchone()
    return None if row is None else row[0]


def owner_of(connection: Connection, token_hash: bytes) -> int | None:
    """Return the id of the user whose token this is or was; None when it is unknown."""
    row = connection.execute(_SQL["owner"], {"token_hash": token_hash}).fetchone()
    return None if row is None else row[0]


def revoke_if_spent(connection: Connection, token_hash: bytes) -> int:
    """Revoke the family of a token that was used before; return how many tokens that ended."""
    return connection.execute(_SQL["revoke_family_if_spent"], {"token_hash": token_hash}).rowcount


def revoke_all(connection: Connection, user_id: int) -> None:
    """Revoke all families of a user."""
    connection.execute(_SQL["revoke_all"], {"user_id": user_id})
