"""Who sends a request, from its Authorization header (RFC 6750)."""

from __future__ import annotations

import falcon

from aurora_atlan.http.problems import Problem
from aurora_atlan.http.tokens import InvalidTokenError, Principal, TokenVerifier

_SCHEME = "Bearer"
CHALLENGE = f'{_SCHEME} realm="aurora-atlan"'


class Authenticator:
    """Turns bearer tokens into principals."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    def required(self, req: falcon.Request, roles: frozenset[str]) -> Principal:
        """Return the principal; raises a 401 problem without a valid token, a 403 for a role not in ``roles``."""
        principal = self.optional(req)
        if principal is None:
            raise Problem(
                401,
                "unauthenticated",
                "Log in and send the token as Authorization: Bearer <token>.",
                # Without an error code, as RFC 6750, section 3.1, has it for a request without a token.
                headers={"WWW-Authenticate": CHALLENGE},
            )
        if principal.role not in roles:
            raise Problem(
                403,
                "forbidden",
                f"This needs the role {' or '.join(sorted(roles))}; yours is {principal.role}.",
            )
        return principal

    def optional(self, req: falcon.Request) -> Principal | None:
        """Return the principal, None when there is no Authorization header; a bad token is a 401 problem."""
        header: str | None = req.env.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        if scheme != _SCHEME and scheme.lower() != _SCHEME.lower():
            raise Problem(
                401,
                "unauthenticated",
                "The only scheme understood is Authorization: Bearer <token>.",
                headers={"WWW-Authenticate": CHALLENGE},
            )
        try:
            return self._verifier.verify(token.strip(" "))
        except InvalidTokenError as error:
            raise Problem(
                401,
                "invalid-token",
                f"The token was refused: {error}. Log in again.",
                headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token", error_description="{error}"'},
            ) from None
