"""Resource: changing one's password."""

from __future__ import annotations

import falcon

from aurora_atlan.http import schemas
from aurora_atlan.http.auth import or_unknown, respond_logged_in
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.bodies import read_json
from aurora_atlan.http.passwords import Passwords
from aurora_atlan.http.problems import Problem
from aurora_atlan.http.rate_limits import RateLimits
from aurora_atlan.http.refresh_tokens import RefreshTokens
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.http.validation import Validator, invalid
from aurora_atlan.persistence.accounts import normalise_password
from aurora_atlan.persistence.sessions import SessionStore
from aurora_atlan.persistence.token_versions import TokenVersions
from aurora_atlan.persistence.users import ROLES, Credentials, UserStore


class ChangePassword:
    """POST /api/auth/password."""

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        passwords: Passwords,
        issuer: TokenIssuer,
        refresh_tokens: RefreshTokens,
        limits: RateLimits,
        versions: TokenVersions,
        authenticator: Authenticator,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._issuer = issuer
        self._refresh_tokens = refresh_tokens
        self._limits = limits
        self._versions = versions
        self._authenticator = authenticator
        self._validator = Validator(schemas.CHANGE_PASSWORD)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Set a new password for who knows the present one; all other logins of the account end."""
        caller = self._authenticator.required(req, ROLES)
        # Whoever found a token may not guess faster than whoever logs in.
        self._limits.login(req)
        body = self._validator.check(read_json(req))
        new = _new_password(body)
        verified = self._verified(caller.user_id, or_unknown(normalise_password, body["currentPassword"]))
        refresh_token, record = self._refresh_tokens.new_family()
        user = self._sessions.change_password(verified, self._passwords.hash(new), record)
        if user is None:
            # Changed while it was verified.
            raise _wrong()
        self._versions.note(user.id, user.token_version)
        respond_logged_in(resp, user, self._issuer, refresh_token)

    def _verified(self, user_id: int, password: str) -> Credentials:
        user = self._users.by_id(user_id)
        if user is None:
            raise _wrong()
        self._limits.login_to(user.email)
        credentials = self._users.credentials(user.email)
        stored = credentials.password_hash if credentials else None
        if not self._passwords.verify(stored, password) or credentials is None:
            raise _wrong()
        return credentials


def _new_password(body: dict[str, str]) -> str:
    try:
        return normalise_password(body["newPassword"])
    except ValueError as error:
        raise invalid([("/newPassword", f"is not accepted: {str(error).rstrip('.')}")]) from None


def _wrong() -> Problem:
    return Problem(400, "invalid-credentials", "The current password is wrong.")
