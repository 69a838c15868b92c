"""Times on the wire: RFC 3339, accepted with any offset, always emitted in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})", flags=re.ASCII | re.IGNORECASE
)

# Inside what PostgreSQL and Python can both shift to any time zone.
_YEARS = range(1900, 9999)


def parse_time(text: str) -> datetime:
    """Return the time in UTC, to the microsecond.

    Raises ValueError unless it is an RFC 3339 date-time with an offset, in the years 1900 to 9998.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError("not an RFC 3339 date-time")
    try:
        time = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None
    if time.year not in _YEARS:
        raise ValueError("out of range")
    return time


def format_time(time: datetime) -> str:
    """Return the time as RFC 3339 with ``Z``."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def format_optional_time(time: datetime | None) -> str | None:
    """Return the time as RFC 3339 with ``Z``, None for None."""
    return None if time is None else format_time(time)
