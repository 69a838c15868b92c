"""The id that ties a request to its log lines and its job: the client's if it sends a proper one, else ours."""

from __future__ import annotations

import os
import re

import falcon

HEADER = "X-Request-Id"

_ACCEPTED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")


def new_request_id() -> str:
    """Make a random id of 32 hexadecimal digits."""
    return os.urandom(16).hex()


def request_id_of(req: falcon.Request) -> str:
    """Return the request's id: X-Request-Id if it is up to 128 letters, digits and ``._:/+=@-``, or a new one."""
    context = req.context
    try:
        known: str = context.request_id
    except AttributeError:
        sent = req.env.get("HTTP_X_REQUEST_ID")
        known = sent if sent is not None and _ACCEPTED.fullmatch(sent) else new_request_id()
        context.request_id = known
    return known
