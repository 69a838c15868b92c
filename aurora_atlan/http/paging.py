"""Keyset paging: a page is what follows an id; the next page's address travels in a Link header."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import falcon

from aurora_atlan.http.identifiers import ID_MAX
from aurora_atlan.http.problems import Problem

LIMIT_DEFAULT = 100
LIMIT_MAX = 200


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a list that was asked for."""

    limit: int
    # The last id of the page before; None asks for the first page.
    cursor: int | None


def requested_page(req: falcon.Request) -> Page:
    """Return the page that ``?limit=&cursor=`` ask for; raises a 400 problem when they are not valid."""
    params = req.params
    limit = params.get("limit", LIMIT_DEFAULT)
    if not isinstance(limit, int):
        if not (isinstance(limit, str) and limit.isascii() and limit.isdigit() and len(limit) <= len(str(LIMIT_MAX))):
            raise invalid_parameter("limit", f"must be a whole number from 1 to {LIMIT_MAX}, once")
        limit = int(limit)
        if not 1 <= limit <= LIMIT_MAX:
            raise invalid_parameter("limit", f"must be a whole number from 1 to {LIMIT_MAX}, once")
    cursor = params.get("cursor")
    return Page(limit, None if cursor is None else _decode(cursor))


def next_address(path: str, page: Page, last_id: int) -> str:
    """Return the address, relative to the server, of the page that follows ``last_id``."""
    return f"{path}?limit={page.limit}&cursor={_encode(last_id)}"


def link_next(req: falcon.Request, resp: falcon.Response, page: Page, last_id: int) -> None:
    """Tell the address of the page that follows ``last_id``."""
    resp.append_link(next_address(req.path, page, last_id), "next")


def invalid_parameter(name: str, detail: str) -> Problem:
    """Return the 400 problem for a query parameter that is not as ``detail`` says."""
    return Problem(400, "invalid-query", f"The query parameter {name} {detail}.")


def _encode(last_id: int) -> str:
    return base64.urlsafe_b64encode(b"id:%d" % last_id).decode().rstrip("=")


def _decode(cursor: str | list[str]) -> int:
    if isinstance(cursor, str):
        try:
            decoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        digits = decoded.removeprefix(b"id:")
        if digits != decoded and digits.isdigit() and len(digits) <= len(str(ID_MAX)):
            last_id = int(digits)
            # Only what we gave out: base64 has several spellings of the same bytes.
            if last_id <= ID_MAX and cursor == _encode(last_id):
                return last_id
    raise invalid_parameter("cursor", "must be taken, unchanged, from the Link header of the page before")
