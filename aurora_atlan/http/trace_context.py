"""The caller's place in a distributed trace (W3C Trace Context), as the traceparent header tells it."""

from __future__ import annotations

import re

import falcon

HEADER = "traceparent"

# Version 00. Ids of nothing but zeros are invalid (sections 3.2.2.3 and 3.2.2.4).
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(req: falcon.Request) -> str | None:
    """Return the request's traceparent as it was sent; None without one, or when it is not valid."""
    sent: str | None = req.env.get("HTTP_TRACEPARENT")
    return sent if sent is not None and _TRACEPARENT.fullmatch(sent) else None


def trace_id_of(req: falcon.Request) -> str | None:
    """Return the id of the trace that the request belongs to, 32 hexadecimal digits; None when there is none."""
    sent: str | None = req.env.get("HTTP_TRACEPARENT")
    if sent is None:
        return None
    found = _TRACEPARENT.fullmatch(sent)
    return None if found is None else found[1]
