"""Events in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.errors import DataError
from aurora_atlan.persistence.events import EventStore, NewEvent

_TIME = datetime(2027, 6, 1, 20, 30, tzinfo=UTC)


@pytest.fixture
def events(database: Database) -> EventStore:
    return EventStore(database)


def test_a_created_event_is_read_back_as_it_was_given(events: EventStore) -> None:
    """All that was asked for is there, nothing is sold and nobody has looked."""
    opens_at, closes_at = _TIME - timedelta(days=30), _TIME - timedelta(hours=1)
    new = NewEvent("Ærø — “Nacht” 🎶", "Großer Saal", _TIME, 500, 3, opens_at, closes_at)

    event = events.create(new)

    assert events.get(event.id) == event
    assert (event.name, event.venue, event.time) == (new.name, new.venue, new.time)
    assert (event.capacity, event.booked, event.available, event.impressions) == (500, 0, 500, 0)
    assert (event.cap_per_user, event.opens_at, event.closes_at) == (3, opens_at, closes_at)
    assert event.version == 1
    assert event.created_at == event.updated_at


def test_a_time_keeps_its_instant_whatever_its_zone(events: EventStore) -> None:
    """A time with an offset is the same moment when it is read."""
    moment = _TIME.astimezone(timezone(timedelta(hours=-9, minutes=-30)))

    assert events.create(NewEvent("A", "B", moment, 1)).time == _TIME


def test_an_events_ledger_begins_with_its_opening(events: EventStore, sql: psycopg.Connection[Any]) -> None:
    """Entry 1 says with how many seats it was opened, and is not told to anybody."""
    event = events.create(NewEvent("A", "B", _TIME, 42))

    rows = sql.execute("SELECT event_id, entry_number, kind, sold_after, capacity_after, at FROM booking_ledger")
    assert rows.fetchall() == [(event.id, 1, "opened", 0, 42, event.created_at)]
    assert sql.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


def test_events_are_listed_by_id_page_by_page(events: EventStore) -> None:
    """Each page goes on after the last id of the one before."""
    ids = [events.create(NewEvent(f"Event {number}", "B", _TIME, 1)).id for number in range(5)]

    first = events.page(2)
    second = events.page(2, first[-1].id)
    third = events.page(2, second[-1].id)

    assert [event.id for event in (*first, *second, *third)] == ids
    assert events.page(2, ids[-1]) == []
    assert events.page(10) == [events.get(event_id) for event_id in ids]


def test_an_event_that_does_not_exist_is_none(events: EventStore) -> None:
    """Any number may be asked for."""
    assert [events.get(event_id) for event_id in (0, -1, 999_999, 2**63, 2**70)] == [None] * 5


def test_an_event_that_is_gone_is_not_shown(events: EventStore, sql: psycopg.Connection[Any]) -> None:
    """It is neither found nor listed, and its rows stay."""
    gone, kept = (events.create(NewEvent("A", "B", _TIME, 1)).id for _ in range(2))
    sql.execute("UPDATE event_inventory SET gone = true WHERE event_id = %s", (gone,))

    assert events.get(gone) is None
    assert [event.id for event in events.page(10)] == [kept]


def _unchecked(values: dict[str, Any]) -> NewEvent:
    # What its own checks would refuse before the schema sees it.
    new = object.__new__(NewEvent)
    for field in fields(NewEvent):
        object.__setattr__(new, field.name, values.get(field.name, field.default))
    return new


def test_an_impossible_event_leaves_nothing(events: EventStore, sql: psycopg.Connection[Any]) -> None:
    """What the schema refuses is refused whole: no event, no row, no entry."""
    values: dict[str, Any] = {"name": "A", "venue": "B", "time": _TIME, "capacity": 1}
    impossible: list[dict[str, Any]] = [
        {"capacity": -1},
        {"capacity": 10_000_001},
        {"capacity": 2**40},
        {"cap_per_user": 0},
        {"cap_per_user": 101},
        {"name": ""},
        {"name": "x" * 201},
        {"venue": "\0"},
        {"name": "\ud800"},
        {"opens_at": _TIME, "closes_at": _TIME},
    ]

    for change in impossible:
        with pytest.raises(DataError):
            events.create(_unchecked(values | change))

    for table in ("events", "event_inventory", "booking_ledger"):
        assert sql.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)


def test_an_event_without_seats_may_be_opened(events: EventStore, audit_clean: None) -> None:
    """Capacity 0 is an event that is announced and not yet sold."""
    event = events.create(NewEvent("A", "B", _TIME, 0))

    assert event.available == 0


def test_events_made_at_once_get_different_ids(events: EventStore, make_event: Callable[..., int]) -> None:
    """Ids are never given twice."""
    assert len({make_event() for _ in range(20)}) == 20
