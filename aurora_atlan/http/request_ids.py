"""The id that ties a request to its log lines and its job: the client's or its trace's if there is one, else ours."""

from __future__ import annotations

import itertools
import os
import re

import falcon

from aurora_atlan.http.trace_context import trace_id_of

HEADER = "X-Request-Id"

_ACCEPTED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")


# Random bytes for each request would let go of the interpreter's lock in each.
_PROCESS = os.urandom(8).hex()
_count = itertools.count(int.from_bytes(os.urandom(4)))


def new_request_id() -> str:
    """Make an id of 32 hexadecimal digits that no other request has: a random half per process, and a count."""
    return f"{_PROCESS}{next(_count):016x}"


def request_id_of(req: falcon.Request) -> str:
    """Return the request's id.

    X-Request-Id if it is up to 128 letters, digits and ``._:/+=@-``; else the id of the trace that the request
    belongs to; else a new one.
    """
    context = req.context
    try:
        known: str = context.request_id
    except AttributeError:
        sent = req.env.get("HTTP_X_REQUEST_ID")
        known = sent if sent is not None and _ACCEPTED.fullmatch(sent) else trace_id_of(req) or new_request_id()
        context.request_id = known
    return known
