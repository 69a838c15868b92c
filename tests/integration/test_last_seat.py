"""One last seat and sixty-four who want it at the same moment: one winner, every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors.commit import Committing, Decided
from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.config import Settings
from aurora_atlan.persistence.records import Kind, Outcome, Reason
from aurora_atlan.supervisor import Supervisor
from harness_crowd import CONNECTIONS, a_wish, at_a_barrier, crowd
from harness_sales import check_audit, check_rows, make_buyers, wait_decided

_REPETITIONS_BY_HAND = 60
_REPETITIONS = 140
_EVENTS_AT_ONCE = 35

Sql = psycopg.Connection[Any]


def test_sixty_four_connections_for_the_last_seat(
    settings: Settings, make_event: Callable[..., int], database_url: str, sql: Sql
) -> None:
    """Each drives the unit of work itself, and the row's lock lets exactly one of them have the seat."""
    events = [make_event(capacity=1) for _ in range(_REPETITIONS_BY_HAND)]
    users = make_buyers(database_url, CONNECTIONS)
    [(now,)] = sql.execute("SELECT now()").fetchall()
    answers: list[list[Outcome]] = [[] for _ in events]

    with crowd(settings) as bookings:
        committing = Committing(bookings, owner=1, lease_s=60.0, job_age_max=None)

        def book(number: int, turn: int) -> None:
            [verdict] = committing.commit([a_wish(events[turn], users[number], now)], patient=True)
            assert isinstance(verdict, Decided), verdict
            answers[turn].extend(verdict.outcomes)

        at_a_barrier(CONNECTIONS, _REPETITIONS_BY_HAND, book)

    for told in answers:
        kinds = [outcome.kind for outcome in told]
        assert kinds.count(Kind.CONFIRMED) == 1
        assert [outcome.reason for outcome in told].count(Reason.SOLD_OUT) == CONNECTIONS - 1
    assert sql.execute("SELECT count(*), min(sold), max(sold) FROM event_inventory").fetchone() == (
        _REPETITIONS_BY_HAND,
        1,
        1,
    )
    assert sql.execute("SELECT count(*) FROM bookings").fetchone() == (_REPETITIONS_BY_HAND,)


def test_two_supervisors_for_the_last_seat(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    settings: Settings,
    database_url: str,
    sql: Sql,
) -> None:
    """Through two processes' worth of actors there is one winner, and it is the one who was accepted first."""
    supervisors = [supervise(), supervise()]
    users = make_buyers(database_url, CONNECTIONS)
    events = [make_event(capacity=1) for _ in range(_REPETITIONS)]
    accepted = []

    for first in range(0, _REPETITIONS, _EVENTS_AT_ONCE):

        def book(number: int, turn: int, first: int = first) -> None:
            attempt = BookTickets(events[first + turn], users[number])
            accepted.append(supervisors[number % 2].submit(attempt))

        at_a_barrier(CONNECTIONS, _EVENTS_AT_ONCE, book)
        wait_decided(database_url, [receipt.job_id for receipt in accepted], timeout_s=30.0)

    assert len(accepted) == _REPETITIONS * CONNECTIONS
    check_rows(database_url, accepted=[receipt.job_id for receipt in accepted])
    check_audit(settings)
    winners = dict(sql.execute("SELECT event_id, job_id FROM bookings").fetchall())
    for event_id in events:
        first_come = min(
            (receipt for receipt in accepted if receipt.event_id == event_id), key=lambda receipt: receipt.queue_number
        )
        assert winners[event_id] == first_come.job_id
    assert len(winners) == _REPETITIONS


def test_the_crowd_fails_when_somebody_in_it_does() -> None:
    """What goes wrong in one of many threads fails the test: nothing is swallowed."""

    def act(number: int, turn: int) -> None:
        if number == 3:
            raise ValueError("a surprise")

    with pytest.raises(AssertionError, match="a surprise"):
        at_a_barrier(8, 3, act)
