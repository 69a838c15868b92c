"""Times: RFC 3339 in with any offset, out in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aurora_atlan.http.times import format_optional_time, format_time, parse_time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-22T19:26:28Z", datetime(2026, 11, 22, 19, 26, 28, tzinfo=UTC)),
        ("2026-11-22t19:26:28.5z", datetime(2026, 11, 22, 19, 26, 28, 500_000, tzinfo=UTC)),
        ("2026-11-22T19:26:28.123456789+02:00", datetime(2026, 11, 22, 17, 26, 28, 123_456, tzinfo=UTC)),
        ("2026-11-22T00:26:28-00:00", datetime(2026, 11, 22, 0, 26, 28, tzinfo=UTC)),
        ("2026-12-31T23:00:00-12:30", datetime(2027, 1, 1, 11, 30, tzinfo=UTC)),
    ],
)
def test_any_offset_is_accepted(text: str, time: datetime):
    assert parse_time(text) == time
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T19:26:28",
        "2026-11-22 19:26:28Z",
        "2026-11-22T19:26Z",
        "2026-11-22T19:26:28+0200",
        "2026-11-22T19:26:28Z\n",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-22T24:00:01Z",
        "2026-11-22T19:26:60Z",
        "2026-11-22T19:26:28+25:00",
        "\uff12026-11-22T19:26:28Z",
        "0001-01-01T00:00:00+14:00",
        "1899-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "9998-12-31T23:59:59-01:00",
        "20261122T192628Z",
    ],
)
def test_everything_else_is_refused(text: str):
    with pytest.raises(ValueError, match=r".*"):
        parse_time(text)


def test_times_leave_in_utc():
    time = datetime(2026, 11, 22, 21, 26, 28, 5, tzinfo=timezone(timedelta(hours=2)))

    assert format_time(time) == "2026-11-22T19:26:28.000005Z"
    assert format_optional_time(time.replace(microsecond=0)) == "2026-11-22T19:26:28Z"
    assert format_optional_time(None) is None
