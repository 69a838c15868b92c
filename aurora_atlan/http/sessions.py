"""Resources: going on with a login, and ending all of them."""

from __future__ import annotations

import falcon

from aurora_atlan.http import schemas
from aurora_atlan.http.auth import respond_logged_in
from aurora_atlan.http.authentication import CHALLENGE, Authenticator
from aurora_atlan.http.bodies import read_json
from aurora_atlan.http.problems import Problem
from aurora_atlan.http.rate_limits import RateLimits
from aurora_atlan.http.refresh_tokens import RefreshTokens, hash_refresh_token
from aurora_atlan.http.representations import respond
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.http.validation import Validator
from aurora_atlan.persistence.sessions import SessionStore
from aurora_atlan.persistence.token_versions import TokenVersions
from aurora_atlan.persistence.users import ROLES


class Refresh:
    """POST /api/auth/refresh."""

    def __init__(
        self, sessions: SessionStore, issuer: TokenIssuer, refresh_tokens: RefreshTokens, limits: RateLimits
    ) -> None:
        self._sessions = sessions
        self._issuer = issuer
        self._refresh_tokens = refresh_tokens
        self._limits = limits
        self._validator = Validator(schemas.REFRESH)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Exchange a refresh token, once, for new tokens; a second time ends the login that it belongs to."""
        self._limits.login(req)
        body = self._validator.check(read_json(req))
        refresh_token, successor = self._refresh_tokens.successor()
        user = self._sessions.rotate(hash_refresh_token(body["refreshToken"]), successor)
        if user is None:
            # Unknown, expired, revoked or spent: who holds a stolen one learns nothing.
            raise Problem(
                401,
                "invalid-refresh-token",
                "The refresh token is not valid any more. Log in again.",
                headers={"WWW-Authenticate": CHALLENGE},
            )
        respond_logged_in(resp, user, self._issuer, refresh_token)


class Logout:
    """POST /api/auth/logout."""

    def __init__(self, sessions: SessionStore, versions: TokenVersions, authenticator: Authenticator) -> None:
        self._sessions = sessions
        self._versions = versions
        self._authenticator = authenticator

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Void all of the caller's tokens, on all devices."""
        caller = self._authenticator.required(req, ROLES)
        version = self._sessions.end_all(caller.user_id)
        if version is not None:
            self._versions.note(caller.user_id, version)
        respond(resp, {"message": "You are logged out everywhere."})
