"""Negative controls: without the lock, the last seat is fought over, and without the schema's guards it is sold twice.

The code that runs is the product's own; only the words FOR UPDATE are taken out of its query, and for the
second control the guards out of the test's database. If these tests fail, those of the last seat prove nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors.commit import Committing, Decided
from aurora_atlan.config import Settings
from aurora_atlan.persistence import inventory
from aurora_atlan.persistence.audit import Auditor
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.errors import DataError
from aurora_atlan.persistence.records import Kind
from harness_crowd import CONNECTIONS, a_wish, at_a_barrier, crowd
from harness_sales import make_buyers

_EVENTS = 6
_UNIQUE_KEYS = """
    ALTER TABLE booking_ledger DROP CONSTRAINT booking_ledger_pkey;
    DROP INDEX booking_ledger_one_outcome;
    ALTER TABLE outbox DROP CONSTRAINT outbox_pkey;
"""
_GUARDS = _UNIQUE_KEYS + "ALTER TABLE event_inventory DROP CONSTRAINT event_inventory_never_oversold;"

Sql = psycopg.Connection[Any]


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the lock away."""
    query = inventory._SQL["lock_inventory"]
    assert query.count(b"FOR UPDATE OF inventory") == 1
    unlocked = query.replace(b"FOR UPDATE OF inventory", b"")
    monkeypatch.setattr(inventory, "_SQL", {**inventory._SQL, "lock_inventory": unlocked})


def _fight(settings: Settings, events: list[int], users: list[int], now: Any) -> Counter[str]:
    """Let everybody want each event's last seat at once; count what they are told."""
    told: Counter[str] = Counter()
    lock = threading.Lock()
    with crowd(settings) as bookings:
        committing = Committing(bookings, owner=1, lease_s=60.0, job_age_max=None)

        def book(number: int, turn: int) -> None:
            try:
                [verdict] = committing.commit([a_wish(events[turn], users[number], now)], patient=True)
            except DataError as error:
                answer = error.constraint or "?"
            else:
                assert isinstance(verdict, Decided)
                answer = verdict.outcomes[0].kind
            with lock:
                told[answer] += 1

        at_a_barrier(CONNECTIONS, len(events), book)
    return told


@pytest.fixture
def last_seats(
    settings: Settings, make_event: Callable[..., int], database_url: str, sql: Sql
) -> Callable[[], Counter[str]]:
    events = [make_event(capacity=1) for _ in range(_EVENTS)]
    users = make_buyers(database_url, CONNECTIONS)
    [(now,)] = sql.execute("SELECT now()").fetchall()
    return lambda: _fight(settings, events, users, now)


def _seats(sql: Sql) -> list[int]:
    """Return, per event with one seat, how many are booked."""
    rows = sql.execute("SELECT sum(quantity) FROM bookings WHERE status = 'confirmed' GROUP BY event_id")
    return [int(seats) for (seats,) in rows.fetchall()]


def test_with_the_lock_there_are_no_violations(last_seats: Callable[[], Counter[str]], sql: Sql) -> None:
    """The same fight with the product as it is: everybody has an answer, and one has the seat."""
    told = last_seats()

    assert told == {Kind.CONFIRMED: _EVENTS, Kind.REJECTED: _EVENTS * (CONNECTIONS - 1)}
    assert _seats(sql) == [1] * _EVENTS


@pytest.mark.usefixtures("unlocked")
def test_without_the_lock_the_schema_refuses_and_nothing_is_oversold(
    last_seats: Callable[[], Counter[str]], sql: Sql
) -> None:
    """Control (a): constraints are violated, so the fight is real, and they alone keep the seat from a second sale."""
    told = last_seats()

    violations = {answer: count for answer, count in told.items() if answer not in set(Kind)}
    assert sum(violations.values()) > 0, told
    assert set(violations) <= {"booking_ledger_pkey", "event_inventory_never_oversold", "outbox_pkey"}
    assert _seats(sql) == [1] * _EVENTS
    assert sql.execute("SELECT max(sold) FROM event_inventory").fetchone() == (1,)


@pytest.mark.usefixtures("unlocked")
def test_the_check_alone_keeps_a_seat_from_being_sold_twice(last_seats: Callable[[], Counter[str]], sql: Sql) -> None:
    """Without the lock and without the ledger's keys, the constraint on the sum still refuses."""
    sql.execute(_UNIQUE_KEYS.encode())

    told = last_seats()

    assert told["event_inventory_never_oversold"] > 0
    assert _seats(sql) == [1] * _EVENTS


@pytest.mark.usefixtures("unlocked")
def test_without_the_lock_and_the_guards_a_seat_is_sold_twice(
    last_seats: Callable[[], Counter[str]], sql: Sql, settings: Settings
) -> None:
    """Control (b): an oversell is seen, so these tests can see one."""
    sql.execute(_GUARDS.encode())

    told = last_seats()

    assert told[Kind.CONFIRMED] > _EVENTS
    assert max(_seats(sql)) > 1
    report = Auditor(Database(settings)).run()
    assert not report.ok
    assert any(event.seats_booked > (event.capacity or 0) for event in report.events)


@pytest.mark.usefixtures("unlocked")
def test_the_audit_names_an_oversell_however_much_else_is_wrong(
    last_seats: Callable[[], Counter[str]], sql: Sql, settings: Settings
) -> None:
    """The worst violation is among those that are told, also when hundreds of others come before it."""
    sql.execute(_GUARDS.encode())
    last_seats()

    report = Auditor(Database(settings)).run()

    oversold = {event.event_id for event in report.events if event.seats_booked > (event.capacity or 0)}
    named = {
        violation.event_id for event in report.events for violation in event.violations if violation.rule == "oversold"
    }
    assert named == oversold
