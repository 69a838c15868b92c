"""Access tokens: JWTs as RFC 9068 and RFC 8725 want them, signed with HS256."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jwt
import orjson

from aurora_atlan.config import ConfigurationError, Settings
from aurora_atlan.http.identifiers import ID_MAX
from aurora_atlan.persistence.mac import Mac
from aurora_atlan.persistence.users import ROLES

_ISSUER = "aurora-atlan"
_AUDIENCE = "aurora-atlan"
_TYPE = "at+jwt"
_HEADER_MEMBERS = frozenset({"alg", "kid", "typ"})
_CLAIMS = ["exp", "iat", "sub", "jti", "iss", "aud"]
_ISSUED_CLAIMS = frozenset({*_CLAIMS, "role", "ver"})
_ALGORITHM = "HS256"
_KEY_BYTES_MIN = 32
_TOKEN_LENGTH_MAX = 2048
# How far the clocks of two machines may be apart.
_CLOCK_SKEW_S = 60
_CACHED_MAX = 10_000
_HEADERS_MAX = 100
_NOTHING_VOIDED: Mapping[int, int] = MappingProxyType({})


class InvalidTokenError(Exception):
    """The token is not one of ours, or no longer valid; the message is a phrase for the client."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who sends a request, as their token says."""

    user_id: int
    # "USER", "ADMIN" or "OPS"
    role: str
    token_version: int


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret, the only algorithm it is used with, and the id by which tokens name it."""

    key_id: str
    secret: bytes
    algorithm: str = _ALGORITHM


def signing_key(settings: Settings) -> SigningKey:
    """Return the key made of JWT_SECRET; raises :class:`ConfigurationError` unless that has 32 bytes or more."""
    secret = (settings.jwt_secret or "").encode()
    if len(secret) < _KEY_BYTES_MIN:
        raise ConfigurationError(f"JWT_SECRET must be a secret of at least {_KEY_BYTES_MIN} bytes")
    key_id = hmac.digest(secret, b"aurora-atlan key id", hashlib.sha256)[:6].hex()
    return SigningKey(key_id, secret)


class TokenIssuer:
    """Signs access tokens."""

    def __init__(self, settings: Settings) -> None:
        self._key = signing_key(settings)
        self.lifetime_s = settings.access_token_lifetime_s

    def issue(self, user_id: int, role: str, token_version: int, *, lifetime_s: int | None = None) -> str:
        """Return a token for a user, valid from now for ``lifetime_s`` (default: the configured lifetime)."""
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(user_id),
            "jti": secrets.token_hex(16),
            "iat": now,
            "exp": now + (self.lifetime_s if lifetime_s is None else lifetime_s),
            "role": role,
            "ver": token_version,
        }
        headers = {"typ": _TYPE, "kid": self._key.key_id}
        return jwt.encode(claims, self._key.secret, algorithm=self._key.algorithm, headers=headers)


class TokenVerifier:
    """Verifies access tokens signed with any of the given keys; remembers those it saw last.

    Refuses those that were voided: ``least_versions`` has, as it is now, the least version that a user's token must
    have, if that is not any. Thread-safe; a remembered token costs two looks into dicts.
    """

    def __init__(
        self, *keys: SigningKey, least_versions: Mapping[int, int] = _NOTHING_VOIDED, cached_max: int = _CACHED_MAX
    ) -> None:
        self._keys = {key.key_id: key for key in keys}
        self._macs = {key.key_id: Mac(key.secret) for key in keys}
        # Encoded headers of valid tokens: all tokens of one key share theirs, and reading it is half of the work.
        self._headers: dict[str, SigningKey] = {}
        self._jwt = jwt.PyJWT(
            # iat is compared below, with some tolerance.
            options={
                "require": _CLAIMS,
                "enforce_minimum_key_length": True,
                "strict_aud": True,
                "verify_iat": False,
            }
        )
        self._least_versions = least_versions
        # The newer half of what is remembered, and the older, which is forgotten as a whole: to find and to free the
        # oldest one at each new token costs more, since no cache of the processor holds it any more.
        self._newer: dict[str, tuple[Principal, int]] = {}
        self._older: dict[str, tuple[Principal, int]] = {}
        self._half = max(1, cached_max // 2)
        # Held by writers only: reading a dict is atomic, and a missed entry is merely verified again.
        self._lock = threading.Lock()

    def verify(self, token: str) -> Principal:
        """Return who a token speaks for; raises :class:`InvalidTokenError`."""
        known = self._newer.get(token) or self._older.get(token)
        if known is None:
            known = self._verify(token)
            self._remember(token, known)
        principal, expires_at = known
        if expires_at <= time.time():
            raise InvalidTokenError("the token has expired")
        if principal.token_version < self._least_versions.get(principal.user_id, 0):
            raise InvalidTokenError("the token was revoked")
        return principal

    def _remember(self, token: str, known: tuple[Principal, int]) -> None:
        with self._lock:
            if len(self._newer) >= self._half:
                self._newer, self._older = {}, self._newer
            self._newer[token] = known

    def _verify(self, token: str) -> tuple[Principal, int]:
        if len(token) > _TOKEN_LENGTH_MAX or not token.isascii():
            raise InvalidTokenError("the token is malformed")
        encoded_header = token.partition(".")[0]
        key = self._headers.get(encoded_header)
        if key is not None and (issued := _claims_as_issued(token, self._macs[key.key_id])):
            return _principal(issued), issued["exp"]
        try:
            key = key or self._key_named_by(token)
            claims = self._jwt.decode(token, key.secret, algorithms=[key.algorithm], audience=_AUDIENCE, issuer=_ISSUER)
        except jwt.ExpiredSignatureError:
            raise InvalidTokenError("the token has expired") from None
        except jwt.PyJWTError:
            raise InvalidTokenError("the token is malformed or was not issued by this service") from None
        if len(self._headers) < _HEADERS_MAX:
            self._headers[encoded_header] = key
        return _principal(claims), claims["exp"]

    def _key_named_by(self, token: str) -> SigningKey:
        header = jwt.get_unverified_header(token)
        # Nothing in the header but the name of a key we hold is believed before the signature is; a token that
        # brings its own key (jku, jwk, x5u), or wants something understood (crit), is not one of ours.
        key = self._keys.get(header.get("kid", ""))
        if key is None or header.get("typ") != _TYPE or not header.keys() <= _HEADER_MEMBERS:
            raise InvalidTokenError("the token was not issued by this service")
        return key


def _claims_as_issued(token: str, mac: Mac) -> dict[str, Any] | None:
    # The claims of a token exactly as TokenIssuer makes them, whose header the key's tokens are known to have; a
    # sixth of the time PyJWT takes. None for any other, good or bad: PyJWT judges that.
    signed, _, signature = token.rpartition(".")
    code = mac.digest(signed.encode())
    # Compared as text: an encoding has more than one spelling.
    if not hmac.compare_digest(base64.urlsafe_b64encode(code).rstrip(b"="), signature.encode()):
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
    except ValueError:
        return None
    usual = (
        type(claims) is dict
        and claims.keys() == _ISSUED_CLAIMS
        and (claims["iss"], claims["aud"]) == (_ISSUER, _AUDIENCE)
        and type(claims["sub"]) is type(claims["jti"]) is str
        and type(claims["exp"]) is int
        and claims["exp"] > time.time()
    )
    return claims if usual else None


def _principal(claims: dict[str, Any]) -> Principal:
    subject, role, version = claims["sub"], claims.get("role"), claims.get("ver")
    user_id = int(subject) if subject.isascii() and subject.isdigit() and len(subject) <= len(str(ID_MAX)) else 0
    if (
        str(user_id) == subject
        and 1 <= user_id <= ID_MAX
        and isinstance(role, str)
        and role in ROLES
        and type(version) is int
        and type(claims["iat"]) is int
        and type(claims["exp"]) is int
        and claims["iat"] <= time.time() + _CLOCK_SKEW_S
    ):
        return Principal(user_id, role, version)
    raise InvalidTokenError("the token is malformed")
