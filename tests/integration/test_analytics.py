"""The figures of all sales and of one: from counters, equal to a recount, and never waiting for a sale."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from aurora_atlan.actors.errors import CapacityBelowSoldError, EventInUseError, UnknownEventError
from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.config import Settings
from aurora_atlan.persistence.analytics import Analytics, SalesFigures
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.events import EventEdit, EventStore, Seats
from aurora_atlan.persistence.records import Booking
from aurora_atlan.supervisor import Supervisor
from harness_crowd import at_a_barrier
from harness_sales import wait_decided

Sql = psycopg.Connection[Any]

_RECOUNT = """
    SELECT event_id, bookings, (SELECT count(*) FROM bookings AS booking
                                 WHERE booking.event_id = inventory.event_id AND status = 'confirmed') AS counted
      FROM event_inventory AS inventory"""
_TOTALS = """
    SELECT (SELECT count(*) FROM bookings JOIN event_inventory USING (event_id)
             WHERE status = 'confirmed' AND NOT gone),
           (SELECT coalesce(sum(capacity), 0) FROM event_inventory WHERE NOT gone),
           (SELECT coalesce(sum(quantity), 0) FROM bookings JOIN event_inventory USING (event_id)
             WHERE status = 'confirmed' AND NOT gone)"""


@pytest.fixture
def analytics(database: Database) -> Analytics:
    """The figures."""
    return Analytics(database)


def test_without_events_there_is_nothing_to_sell(analytics: Analytics) -> None:
    """Zeroes and no event."""
    assert analytics.figures(10) == SalesFigures(0, 0, 0, [])


def test_the_most_booked_come_first_and_those_that_are_gone_not_at_all(
    analytics: Analytics,
    book: Callable[..., Booking],
    make_event: Callable[..., int],
    buyers: list[int],
    database: Database,
    sql: Sql,
) -> None:
    """By tickets, not bookings; equal ones by age. Each is the event as it is shown."""
    few, many, none, gone, equal = (make_event(capacity=10, cap_per_user=5) for _ in range(5))
    for event_id, quantities in ((few, (1, 1, 1)), (many, (5,)), (gone, (9,)), (equal, (3,))):
        for quantity in quantities:
            book(event_id, buyers[0], quantity)
    sql.execute("INSERT INTO event_impressions VALUES (%s, 12)", (many,))
    sql.execute("UPDATE event_inventory SET gone = true WHERE event_id = %s", (gone,))

    figures = analytics.figures(10)

    assert (figures.bookings, figures.capacity, figures.sold) == (5, 40, 11)
    store = EventStore(database)
    assert figures.popular == [store.get(event_id) for event_id in (many, few, equal, none)]
    assert figures.popular[0].impressions == 12
    assert analytics.figures(2) == replace(figures, popular=figures.popular[:2])


def test_the_counters_equal_a_recount_after_everything_at_once(
    supervisor: Supervisor,
    analytics: Analytics,
    make_event: Callable[..., int],
    buyers: list[int],
    database_url: str,
    sql: Sql,
    audit_clean: None,
) -> None:
    """Bookings, cancellations, edits and deletions from eight threads: no booking is counted twice or forgotten."""
    events = [make_event(capacity=15, cap_per_user=3) for _ in range(3)]
    doomed = make_event(capacity=40, cap_per_user=3)
    accepted: list[UUID] = []
    chances = [random.Random(seed) for seed in range(8)]

    def cancel_any() -> None:
        with psycopg.connect(database_url) as connection:
            row = connection.execute("SELECT id FROM bookings ORDER BY random() LIMIT 1").fetchone()
        if row is not None:
            supervisor.cancel(row[0])

    def act(number: int, turn: int) -> None:
        chance = chances[number]
        with contextlib.suppress(CapacityBelowSoldError, UnknownEventError, EventInUseError):
            attempt = BookTickets(chance.choice([*events, doomed]), chance.choice(buyers), chance.randint(1, 3))
            accepted.append(supervisor.submit(attempt).job_id)
            match chance.randint(0, 4):
                case 0:
                    capacity = chance.randint(5, 60)
                    supervisor.edit_event(chance.choice(events), EventEdit(name=f"{turn}", capacity=capacity))
                case 1 | 2:
                    cancel_any()
                case 3 if turn > 10:
                    supervisor.delete_event(doomed, force=True)

    at_a_barrier(8, 20, act)
    wait_decided(database_url, accepted)

    rows = sql.execute(_RECOUNT).fetchall()
    assert all(counter == counted for _, counter, counted in rows), rows
    assert sum(counter for _, counter, _ in rows) > 0
    figures = analytics.figures(10)
    assert (figures.bookings, figures.capacity, figures.sold) == sql.execute(_TOTALS).fetchone()
    assert {event.id for event in figures.popular} == set(events)
    assert [event.booked for event in figures.popular] == sorted(
        (event.booked for event in figures.popular), reverse=True
    )


def test_the_figures_wait_for_no_sale(
    settings: Settings,
    make_event: Callable[..., int],
    hold_row: Callable[[int], Sql],
) -> None:
    """While a sale's row is locked and changed, what was committed last is told, and no lock asked for."""
    event_id = make_event(capacity=10)
    holder = hold_row(event_id)
    holder.execute("UPDATE event_inventory SET sold = 4, bookings = 2 WHERE event_id = %s", (event_id,))
    database = Database(replace(settings, lock_timeout_s=0.05))
    database.open()
    try:
        began = time.monotonic()
        figures = Analytics(database).figures(10)
        seats = EventStore(database).seats(event_id)
        assert time.monotonic() - began < 1.0
    finally:
        database.close()

    assert (figures.bookings, figures.capacity, figures.sold) == (0, 10, 0)
    assert seats == Seats(10, 0)


def test_the_figures_look_at_no_booking(analytics: Analytics, make_event: Callable[..., int], sql: Sql) -> None:
    """Not even the table need be there to be read."""
    make_event()
    sql.execute("REVOKE SELECT ON bookings, booking_ledger FROM aurora_app")

    assert analytics.figures(10).capacity == 10
