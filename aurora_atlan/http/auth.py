"""Resources: registering and logging in."""

from __future__ import annotations

from collections.abc import Callable

import falcon

from aurora_atlan.http import schemas
from aurora_atlan.http.bodies import read_json
from aurora_atlan.http.passwords import Passwords
from aurora_atlan.http.problems import Problem
from aurora_atlan.http.rate_limits import RateLimits
from aurora_atlan.http.refresh_tokens import RefreshTokens
from aurora_atlan.http.representations import respond, user_json
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.http.validation import Validator, invalid
from aurora_atlan.persistence.accounts import canonical_email, normalise_name, normalise_password
from aurora_atlan.persistence.sessions import SessionStore
from aurora_atlan.persistence.users import NewUser, User, UserStore


class Register:
    """POST /api/auth/register."""

    def __init__(
        self,
        users: UserStore,
        passwords: Passwords,
        issuer: TokenIssuer,
        refresh_tokens: RefreshTokens,
        limits: RateLimits,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._issuer = issuer
        self._refresh_tokens = refresh_tokens
        self._limits = limits
        self._validator = Validator(schemas.REGISTER)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make an account with the role USER and log it in."""
        self._limits.registration(req)
        body = self._validator.check(read_json(req))
        name, email, password = _canonical(body)
        user = NewUser(name=name, email=email, password_hash=self._passwords.hash(password))
        refresh_token, record = self._refresh_tokens.new_family()
        created = self._users.create(user, record)
        if created is None:
            raise Problem(400, "email-in-use", "An account with this e-mail address exists already.")
        respond_logged_in(resp, created, self._issuer, refresh_token)


class Login:
    """POST /api/auth/login."""

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        passwords: Passwords,
        issuer: TokenIssuer,
        refresh_tokens: RefreshTokens,
        limits: RateLimits,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._issuer = issuer
        self._refresh_tokens = refresh_tokens
        self._limits = limits
        self._validator = Validator(schemas.LOGIN)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Log in; an unknown address and a wrong password get the same answer after the same time."""
        self._limits.login(req)
        body = self._validator.check(read_json(req))
        # What cannot be an address or a password is looked up and verified all the same, for the time it takes.
        email = or_unknown(canonical_email, body["email"])
        self._limits.login_to(email)
        password = or_unknown(normalise_password, body["password"])
        credentials = self._users.credentials(email)
        stored = credentials.password_hash if credentials else None
        if not self._passwords.verify(stored, password) or credentials is None or stored is None:
            raise _wrong()
        if self._passwords.is_outdated(stored):
            self._users.replace_password_hash(credentials.user.id, stored, self._passwords.hash(password))
        refresh_token, record = self._refresh_tokens.new_family()
        user = self._sessions.begin(credentials, record)
        if user is None:
            # Changed while it was verified.
            raise _wrong()
        respond_logged_in(resp, user, self._issuer, refresh_token)


def _canonical(body: dict[str, str]) -> tuple[str, str, str]:
    values, errors = [], []
    for member, form in (("name", normalise_name), ("email", canonical_email), ("password", normalise_password)):
        try:
            values.append(form(body[member]))
        except ValueError as error:
            errors.append((f"/{member}", f"is not accepted: {str(error).rstrip('.')}"))
    if errors:
        raise invalid(errors)
    name, email, password = values
    return name, email, password


def _wrong() -> Problem:
    return Problem(400, "invalid-credentials", "The e-mail address or the password is wrong.")


def or_unknown(form: Callable[[str], str], text: str) -> str:
    """Return the canonical form of a text, or one that no account has where it has none."""
    try:
        return form(text)
    except ValueError:
        # Neither an address nor a password of any account: both are longer.
        return "?"


def respond_logged_in(resp: falcon.Response, user: User, issuer: TokenIssuer, refresh_token: str) -> None:
    """Answer with a user and new tokens, which were just given out."""
    respond(
        resp,
        {
            "user": user_json(user),
            "token": issuer.issue(user.id, user.role, user.token_version),
            "refreshToken": refresh_token,
            "expiresIn": issuer.lifetime_s,
        },
    )
