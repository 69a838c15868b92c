"""Refresh tokens: opaque random strings, of which only a hash is ever stored."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from aurora_atlan.config import Settings
from aurora_atlan.persistence.users import NewRefreshToken

_BYTES = 32


class RefreshTokens:
    """Makes the refresh tokens of new logins."""

    def __init__(self, settings: Settings) -> None:
        self._lifetime = timedelta(seconds=settings.refresh_token_lifetime_s)

    def new_family(self) -> tuple[str, NewRefreshToken]:
        """Return the token that begins a login, for the client, and the record to store of it."""
        token = secrets.token_urlsafe(_BYTES)
        record = NewRefreshToken(
            token_hash=hash_refresh_token(token), family=uuid4(), expires_at=datetime.now(UTC) + self._lifetime
        )
        return token, record


def hash_refresh_token(token: str) -> bytes:
    """Return the form in which a token is stored; 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()
