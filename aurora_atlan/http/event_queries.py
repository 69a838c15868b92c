"""Which events a list is asked for: ``?limit=&cursor=&q=&from=&to=``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

import falcon

from aurora_atlan.http.paging import LIMIT_DEFAULT, Page, invalid_parameter, next_address, requested_page
from aurora_atlan.http.times import format_optional_time, parse_time
from aurora_atlan.persistence.events import EventFilter

PATH = "/api/events/view"

_TEXT_LENGTH_MAX = 100

# U+FFFD is what falcon makes of bytes that are not UTF-8.
_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ufffd]")


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A page of the events that pass the filter."""

    page: Page
    only: EventFilter

    def address_after(self, last_id: int) -> str:
        """Return the address of the page that follows the event with this id, under the same filter."""
        filters = {
            "q": self.only.text,
            "from": format_optional_time(self.only.from_time),
            "to": format_optional_time(self.only.to_time),
        }
        given = {name: value for name, value in filters.items() if value is not None}
        address = next_address(PATH, self.page, last_id)
        return f"{address}&{urlencode(given, quote_via=quote)}" if given else address


_FIRST_PAGE = EventQuery(Page(LIMIT_DEFAULT, None), EventFilter())


def requested_events(req: falcon.Request) -> EventQuery:
    """Return what the query string asks for; raises a 400 problem when a parameter is not valid.

    Parameters that are empty or unknown are ignored.
    """
    if not req.query_string:
        return _FIRST_PAGE
    page = requested_page(req)
    only = EventFilter(_text(req), _time(req, "from"), _time(req, "to"))
    if only.from_time is not None and only.to_time is not None and only.from_time >= only.to_time:
        raise invalid_parameter("to", "must be later than from")
    return EventQuery(page, only)


def _text(req: falcon.Request) -> str | None:
    text = req.params.get("q")
    if text is None:
        return None
    if (
        isinstance(text, str)
        and len(text) <= _TEXT_LENGTH_MAX
        and not _NOT_TEXT.search(text)
        # Bytes beyond ASCII that were not percent-encoded have been read as Latin-1.
        and req.query_string.isascii()
    ):
        return text
    raise invalid_parameter(
        "q",
        f"must be a text of 1 to {_TEXT_LENGTH_MAX} characters, no control characters, in percent-encoded UTF-8, once",
    )


def _time(req: falcon.Request, name: str) -> datetime | None:
    text = req.params.get(name)
    if text is None:
        return None
    try:
        if isinstance(text, str):
            return parse_time(text)
    except ValueError:
        pass
    raise invalid_parameter(
        name, "must be an RFC 3339 date-time with an offset, such as 2027-06-01T20:00:00%2B02:00 (+ is %2B), once"
    )
