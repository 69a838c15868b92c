"""Refresh tokens: opaque random strings, of which only a hash is ever stored."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from aurora_atlan.config import Settings
from aurora_atlan.persistence.refresh_tokens import NewRefreshToken
from aurora_atlan.persistence.sessions import Successor

_BYTES = 32


class RefreshTokens:
    """Makes refresh tokens."""

    def __init__(self, settings: Settings) -> None:
        self._lifetime = timedelta(seconds=settings.refresh_token_lifetime_s)

    def new_family(self) -> tuple[str, NewRefreshToken]:
        """Return the token that begins a login, for the client, and the record to store of it."""
        token, token_hash, expires_at = self._new()
        return token, NewRefreshToken(token_hash, uuid4(), expires_at)

    def successor(self) -> tuple[str, Successor]:
        """Return the token that takes the place of a spent one, for the client, and the record to store of it."""
        token, token_hash, expires_at = self._new()
        return token, Successor(token_hash, expires_at)

    def _new(self) -> tuple[str, bytes, datetime]:
        token = secrets.token_urlsafe(_BYTES)
        return token, hash_refresh_token(token), datetime.now(UTC) + self._lifetime


def hash_refresh_token(token: str) -> bytes:
    """Return the form in which a token is stored; 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()
