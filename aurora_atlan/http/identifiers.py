"""Ids as clients write them, in a path or a header. Every other spelling of the same number is refused."""

from __future__ import annotations

import re
from urllib.parse import parse_qs
from uuid import UUID

import falcon

from aurora_atlan.http.problems import Problem

# The largest integer that JSON clients which compute in doubles hold exactly (RFC 8259, section 6).
ID_MAX = 2**53 - 1
_ID_DIGITS_MAX = len(str(ID_MAX))

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")


def path_id(req: falcon.Request, value: str) -> int:
    """Return the id in a path: ASCII digits, 1 to 2^53-1, no sign, no leading zero, nothing percent-encoded.

    Raises a 400 problem for anything else.
    """
    if value.isascii() and value.isdigit() and value[0] != "0" and len(value) <= _ID_DIGITS_MAX:
        number = int(value)
        if number <= ID_MAX and not _percent_encoded(req):
            return number
    raise Problem(400, "malformed-id", f"An id is a whole number from 1 to {ID_MAX}, written in plain digits.")


def parameter_id(req: falcon.Request, name: str) -> int | None:
    """Return the id in a query parameter, written as in a path; None without one.

    Raises a 400 problem for anything else, also for an empty one or several: who wrote it did not mean none.
    """
    given = parse_qs(req.query_string, keep_blank_values=True).get(name)
    return None if given is None else path_id(req, given[0] if len(given) == 1 else "")


def path_job_id(req: falcon.Request, value: str) -> UUID:
    """Return the job id in a path, a UUID in its canonical lower-case form; raises a 400 problem otherwise."""
    if _CANONICAL_UUID.fullmatch(value) and not _percent_encoded(req):
        return UUID(value)
    raise Problem(
        400,
        "malformed-id",
        "A job id is a UUID in lower case, such as 2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1, as booking returned it.",
    )


def idempotency_key(req: falcon.Request) -> str | None:
    """Return the request's Idempotency-Key; raises a 400 problem unless it is 1 to 255 visible ASCII characters."""
    key: str | None = req.env.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Problem(
            400,
            "malformed-idempotency-key",
            "An Idempotency-Key is sent once and has 1 to 255 visible ASCII characters, no spaces.",
        )
    return key


def _percent_encoded(req: falcon.Request) -> bool:
    # waitress keeps the target as it was sent in REQUEST_URI, other servers in RAW_URI.
    target: str = req.env.get("REQUEST_URI") or req.env.get("RAW_URI") or ""
    return "%" in target and "%" in target.partition("?")[0]
