"""The parameters of requests and the headers of answers that the API's description names."""

from __future__ import annotations

from typing import Final

from aurora_atlan.http.paging import LIMIT_DEFAULT, LIMIT_MAX
from aurora_atlan.http.preferences import WAIT_MAX_S
from aurora_atlan.http.schemas import Schema
from aurora_atlan.persistence.records import ID_MAX

_ID: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": ID_MAX}
_JOB_ID: Final[Schema] = {
    "type": "string",
    "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_TEXT: Final[Schema] = {"type": "string"}


def _path(description: str, schema: Schema, name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _query(description: str, schema: Schema, name: str) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _header(description: str, schema: Schema, name: str) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _whole(least: int, most: int, default: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


PATH_PARAMETERS: Final[dict[str, Schema]] = {
    "id": _path("an id, in plain digits", _ID, "id"),
    "eventId": _path("an event's id, in plain digits", _ID, "eventId"),
    "jobId": _path("a job's id: a UUID in lower case", _JOB_ID, "jobId"),
    "file": _path("a file of the page", _TEXT, "file"),
}

PARAMETERS: Final[dict[str, Schema]] = {
    "limit": _query("the longest page", _whole(1, LIMIT_MAX, LIMIT_DEFAULT), "limit"),
    "cursor": _query("where the page begins: from the `Link` of the page before, unchanged", _TEXT, "cursor"),
    "q": _query(
        "a text that is somewhere in the name or the venue", {"type": "string", "minLength": 1, "maxLength": 100}, "q"
    ),
    "from": _query("events at or after it", _TIME, "from"),
    "to": _query("events before it; later than `from`", _TIME, "to"),
    "force": _query("cancel all confirmed bookings", {"type": "boolean", "default": False}, "force"),
    "eventId": _query("only this event; all of them without it", _ID, "eventId"),
    "state": _query("which jobs; both without it", {"type": "string", "enum": ["completed", "failed"]}, "state"),
    "olderThan": _query("only what was decided at least so many seconds ago", _whole(0, 31_536_000, 0), "olderThan"),
    "cleanLimit": _query("at most so many", _whole(1, 10_000, 1_000), "limit"),
    "Idempotency-Key": _header(
        "the same key by the same user for the same event is the same attempt, for ever",
        {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "Idempotency-Key",
    ),
    "If-Match": _header("change only the version of this `ETag`; a list of them, or `*`", _TEXT, "If-Match"),
    "If-None-Match": _header("an `ETag` that is known: while it holds the answer is 304", _TEXT, "If-None-Match"),
    "Prefer": _header(
        f"`wait=N`: answer when the job is decided, or after N seconds, 1 to {WAIT_MAX_S}", _TEXT, "Prefer"
    ),
}

HEADERS: Final[dict[str, Schema]] = {
    "X-Request-Id": {"description": "mention it when you ask for help", "schema": _TEXT},
    "Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1, "maximum": 60}},
    "RateLimit": {"description": "what is left of which limit, and for how long", "schema": _TEXT},
    "RateLimit-Policy": {"description": "that limit", "schema": _TEXT},
    "WWW-Authenticate": {"description": "the challenge (RFC 6750)", "schema": _TEXT},
    "Location": {"description": "where the result is, or will be", "schema": _TEXT},
    "Link": {"description": "with `rel=next`: the next page, while there is one", "schema": _TEXT},
    "ETag": {"description": "the entity tag of what is shown", "schema": _TEXT},
    "Idempotent-Replayed": {"description": "the queue knew the key", "schema": {"type": "string", "const": "true"}},
    "Preference-Applied": {"description": "the wait that was granted", "schema": _TEXT},
}
