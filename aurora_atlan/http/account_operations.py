"""The description of /api/auth."""

from __future__ import annotations

from typing import Final

from aurora_atlan.http.operations import LOGGED_IN, Body, Operation, Success
from aurora_atlan.http.response_schemas import ref

_TAG: Final = "accounts"
_SESSION: Final = {200: Success("The account, and tokens.", ref("Session"))}

ACCOUNT_OPERATIONS: Final = (
    Operation(
        name="register",
        method="POST",
        path="/api/auth/register",
        summary="Make an account with the role USER and log it in",
        tag=_TAG,
        body=Body.REQUIRED,
        schema="REGISTER",
        answers=_SESSION,
        problems=("email-in-use", "too-many-requests", "busy", "unavailable"),
    ),
    Operation(
        name="login",
        method="POST",
        path="/api/auth/login",
        summary="Log in",
        tag=_TAG,
        body=Body.REQUIRED,
        schema="LOGIN",
        answers=_SESSION,
        problems=("invalid-credentials", "too-many-requests", "busy", "unavailable"),
    ),
    Operation(
        name="refresh",
        method="POST",
        path="/api/auth/refresh",
        summary="Exchange a refresh token, once, for new tokens",
        tag=_TAG,
        body=Body.REQUIRED,
        schema="REFRESH",
        answers=_SESSION,
        problems=("invalid-refresh-token", "too-many-requests", "unavailable"),
    ),
    Operation(
        name="logout",
        method="POST",
        path="/api/auth/logout",
        summary="Void all tokens of the account, on all devices",
        tag=_TAG,
        roles=LOGGED_IN,
        answers={200: Success("Logged out.", ref("Message"))},
        problems=("unavailable",),
    ),
    Operation(
        name="changePassword",
        method="POST",
        path="/api/auth/password",
        summary="Change the password; all other tokens of the account are void",
        tag=_TAG,
        roles=LOGGED_IN,
        body=Body.REQUIRED,
        schema="CHANGE_PASSWORD",
        answers=_SESSION,
        problems=("invalid-credentials", "too-many-requests", "busy", "unavailable"),
    ),
)
