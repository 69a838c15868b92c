"""Keyset paging: a page is what follows an id, or a key; the next page's address travels in a Link header."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import falcon

from aurora_atlan.http.addresses import prefix
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


@dataclass(frozen=True, slots=True)
class KeyPage:
    """The part of a list whose order is that of a key of several numbers."""

    limit: int
    # The last key of the page before; None asks for the first page.
    cursor: tuple[int, ...] | None


def requested_page(req: falcon.Request) -> Page:
    """Return the page that ``?limit=&cursor=`` ask for; raises a 400 problem when they are not valid."""
    limit = whole_number(req, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT)
    cursor = req.params.get("cursor")
    return Page(limit, None if cursor is None else _decode(cursor, "id", 1)[0])


def requested_key_page(req: falcon.Request, kind: str, numbers: int) -> KeyPage:
    """Return the same of a list whose keys have so many numbers; ``kind`` sets its cursors apart from others'."""
    limit = whole_number(req, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT)
    cursor = req.params.get("cursor")
    return KeyPage(limit, None if cursor is None else _decode(cursor, kind, numbers))


def whole_number(req: falcon.Request, name: str, least: int, most: int, default: int) -> int:
    """Return a query parameter, or the default without one; raises a 400 problem unless it lies in these limits."""
    value = req.params.get(name)
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(most)):
        number = int(value)
        if least <= number <= most:
            return number
    raise invalid_parameter(name, f"must be a whole number from {least} to {most}, once")


def next_address(path: str, page: Page, last_id: int) -> str:
    """Return the address, relative to the server, of the page that follows ``last_id``."""
    return f"{path}?limit={page.limit}&cursor={_encode('id', last_id)}"


def link_next(req: falcon.Request, resp: falcon.Response, page: Page, last_id: int) -> None:
    """Tell the address of the page that follows ``last_id``."""
    resp.append_link(next_address(prefix(req) + req.path, page, last_id), "next")


def link_next_key(
    req: falcon.Request,
    resp: falcon.Response,
    page: KeyPage,
    kind: str,
    last_key: tuple[int, ...],
    others: Mapping[str, object] | None = None,
) -> None:
    """Tell the address of the page that follows ``last_key``, under the same other parameters."""
    query = {"limit": page.limit, "cursor": _encode(kind, *last_key), **(others or {})}
    resp.append_link(f"{prefix(req)}{req.path}?{urlencode(query)}", "next")


def invalid_parameter(name: str, detail: str) -> Problem:
    """Return the 400 problem for a query parameter that is not as ``detail`` says."""
    return Problem(400, "invalid-query", f"The query parameter {name} {detail}.")


def _encode(kind: str, *numbers: int) -> str:
    text = ":".join((kind, *map(str, numbers)))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str | list[str], kind: str, count: int) -> tuple[int, ...]:
    if isinstance(cursor, str):
        try:
            decoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        _, *digits = decoded.split(b":", count + 1)
        if len(digits) == count and all(part.isdigit() and len(part) <= len(str(ID_MAX)) for part in digits):
            numbers = tuple(map(int, digits))
            # Only what we gave out: base64 has several spellings of the same bytes.
            if max(numbers) <= ID_MAX and cursor == _encode(kind, *numbers):
                return numbers
    raise invalid_parameter("cursor", "must be taken, unchanged, from the Link header of the page before")
