"""Events listed by a text and by a span of time, in a real PostgreSQL, and page by page over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest
from falcon.testing import TestClient

from aurora_atlan.config import Settings
from aurora_atlan.http.app import create_app
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.events import EventFilter, EventStore, NewEvent
from aurora_atlan.supervisor import Supervisor

_TIME = datetime(2027, 6, 1, 20, tzinfo=UTC)
_LIST = "/api/events/view"


@pytest.fixture
def events(database: Database) -> EventStore:
    return EventStore(database)


@pytest.fixture
def client(settings: Settings, database: Database) -> Iterator[TestClient]:
    """The API over a real database, without sockets."""
    supervisor = Supervisor(settings)
    supervisor.database.open()
    yield TestClient(create_app(supervisor))
    supervisor.database.close()


def make(events: EventStore, *names_and_venues: tuple[str, str]) -> None:
    for name, venue in names_and_venues:
        events.create(NewEvent(name, venue, _TIME, 1))


def found(events: EventStore, text: str) -> list[str]:
    return [event.name for event in events.page(100, only=EventFilter(text=text))]


def test_a_text_is_found_in_the_name_or_the_venue(events: EventStore) -> None:
    """Anywhere in them, in upper or lower case."""
    make(events, ("Aurora Night", "Hall"), ("Play", "The Aurora"), ("Play", "Barn"), ("NIGHTLIGHT", "aurora"))

    assert found(events, "auRORA") == ["Aurora Night", "Play", "NIGHTLIGHT"]
    assert found(events, "night") == ["Aurora Night", "NIGHTLIGHT"]
    assert found(events, "a n") == ["Aurora Night"]
    # Not across the two.
    assert found(events, "NightHall") == found(events, "Night Hall") == []


def test_letters_of_every_script_are_found(events: EventStore) -> None:
    """Upper and lower case are the same beyond ASCII, too."""
    texts = {"ÆRØ": "ærø", "zoë": "ZOË", "КОНЦЕРТ": "концерт", "東京ドーム": "京ド", "🎶 Nacht": "🎶 n"}
    make(events, *((name, "Hall") for name in texts))

    assert {name: found(events, text) for name, text in texts.items()} == {name: [name] for name in texts}


def test_no_character_is_a_wildcard(events: EventStore) -> None:
    """What looks like a pattern, or like SQL, is looked for as it is."""
    make(events, *((name, "Hall") for name in ("100% soul", "snake_case", "back\\slash", "it's", "plain")))
    expected: dict[str, list[str]] = {
        "%": ["100% soul"],
        "0%": ["100% soul"],
        "_": ["snake_case"],
        "e_c": ["snake_case"],
        "\\": ["back\\slash"],
        "k\\s": ["back\\slash"],
        "'": ["it's"],
    }
    patterns = ["1%l", "s_a", "%%", "\\%", "\\_", ".*", "[a-z]", "{}", "%(text)s", ":text", "'; DROP TABLE events; --"]

    for text in (*expected, *patterns):
        assert (text, found(events, text)) == (text, expected.get(text, []))


def test_a_span_begins_with_its_first_moment_and_ends_before_its_last(events: EventStore) -> None:
    """To the microsecond, whatever the time zone."""
    moment = timedelta(microseconds=1)
    times = [_TIME - moment, _TIME, _TIME + moment, _TIME + timedelta(days=1)]
    for number, time in enumerate(times):
        events.create(NewEvent(str(number), "Hall", time, 1))
    zone = timezone(timedelta(hours=-9, minutes=-30))

    def between(start: datetime | None, end: datetime | None) -> list[str]:
        return [event.name for event in events.page(100, only=EventFilter(from_time=start, to_time=end))]

    assert between(_TIME, None) == ["1", "2", "3"]
    assert between(None, _TIME) == ["0"]
    assert between(_TIME, _TIME + moment) == ["1"]
    assert between(_TIME.astimezone(zone), (_TIME + 2 * moment).astimezone(zone)) == ["1", "2"]
    assert between(_TIME + timedelta(days=2), None) == []
    assert between(None, None) == ["0", "1", "2", "3"]


def test_what_is_gone_is_not_found(events: EventStore, sql: Any) -> None:
    """Under a filter as without one."""
    make(events, ("Concert", "Hall"), ("Concert", "Barn"))
    sql.execute("UPDATE event_inventory SET gone = true WHERE event_id = (SELECT min(id) FROM events)")

    assert [event.venue for event in events.page(100, only=EventFilter(text="concert"))] == ["Barn"]


def test_the_links_lead_through_all_that_is_found_and_through_nothing_else(
    client: TestClient, events: EventStore
) -> None:
    """Every page has its limit, its filter and its place in the order."""
    text = "50% R&B + 東京"
    for number in range(30):
        name = f"{text} {number}" if number % 3 == 0 else f"50% R&B {number}"
        events.create(NewEvent(name, "Hall", _TIME + timedelta(days=number), 1))
    address = (
        f"{_LIST}?limit=3&q={quote(text.lower(), safe='')}&from=2027-06-04T22:00:00%2B02:00&to=2027-06-28T20:00:00Z"
    )
    pages = []

    while address:
        path, _, query = address.partition("?")
        result = client.simulate_get(path, query_string=query)
        assert result.status_code == 200
        pages.append([int(event["name"].rpartition(" ")[2]) for event in result.json])
        address = result.headers.get("link", "").removeprefix("<").removesuffix(">; rel=next")

    assert pages == [[3, 6, 9], [12, 15, 18], [21, 24]]
