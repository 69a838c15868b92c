"""What a client would like, from its Prefer header (RFC 7240)."""

from __future__ import annotations

import re

import falcon

WAIT_MAX_S = 20

_HEADER_LENGTH_MAX = 256

# One preference: up to a comma, unless that is in quotes.
_PREFERENCE = re.compile(r'((?:[^,"]|"(?:[^"\\]|\\.)*")*)(?:,|\Z)')
_WAIT = re.compile(r'[ \t]*wait[ \t]*(?:=[ \t]*("?)([0-9]{1,9})\1[ \t]*)?(?:;.*)?', flags=re.ASCII | re.IGNORECASE)


def preferred_wait_s(req: falcon.Request) -> int | None:
    """Return for how many seconds, 1 to 20, the client would rather wait than be told that there is nothing yet.

    A longer wait is cut to 20. Of several the first one counts; None without one, or with one that is malformed or 0.
    """
    header: str | None = req.env.get("HTTP_PREFER")
    if header is None or len(header) > _HEADER_LENGTH_MAX:
        return None
    position = 0
    while position < len(header) and (preference := _PREFERENCE.match(header, position)):
        name = preference[1].partition("=")[0].partition(";")[0].strip(" \t").lower()
        if name == "wait":
            wait = _WAIT.fullmatch(preference[1])
            seconds = 0 if wait is None else int(wait[2] or 0)
            return min(seconds, WAIT_MAX_S) or None
        position = preference.end()
    return None
