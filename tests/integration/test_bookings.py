"""Bookings and outcomes as they are read back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors.commit import Committing, Decided
from aurora_atlan.actors.messages import Batch
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.job_ids import random_job_id
from aurora_atlan.persistence.records import Job, Kind, Outcome, Reason

Decide = Callable[..., Outcome]


@pytest.fixture
def decide_one(bookings: BookingStore, enqueue: Callable[..., Job], batch_of: Callable[..., Batch]) -> Decide:
    """Puts a wish into the queue and decides it."""
    committing = Committing(bookings, owner=101, lease_s=60.0, job_age_max=None)

    def decide(event_id: int, user_id: int, quantity: int = 1) -> Outcome:
        job = enqueue(event_id, user_id, quantity)
        [verdict] = committing.commit([batch_of(job)], patient=True)
        assert isinstance(verdict, Decided)
        return verdict.outcomes[0]

    return decide


def test_a_users_history_is_his_own_newest_first_with_each_event(
    bookings: BookingStore, make_event: Callable[..., int], buyers: list[int], decide_one: Decide
) -> None:
    """Only his bookings are listed, with the event as it is now."""
    events = [make_event(capacity=5 + number) for number in range(4)]
    mine = [decide_one(event_id, buyers[0], quantity=2).booking_id for event_id in events]
    decide_one(events[0], buyers[1])

    history = bookings.history(buyers[0], limit=10)

    assert [entry.booking.id for entry in history] == list(reversed(mine))
    assert [entry.event.id for entry in history] == list(reversed(events))
    assert [entry.event.booked for entry in history] == [2, 2, 2, 3]
    assert all((entry.booking.user_id, entry.booking.quantity) == (buyers[0], 2) for entry in history)
    assert bookings.history(buyers[2], limit=10) == []


def test_a_history_can_be_read_page_by_page(
    bookings: BookingStore, make_event: Callable[..., int], buyers: list[int], decide_one: Decide
) -> None:
    """Each page goes on below the last id of the one before."""
    for _ in range(5):
        decide_one(make_event(), buyers[0])

    pages, before = [], None
    while page := bookings.history(buyers[0], 2, before):
        pages.append([entry.booking.id for entry in page])
        before = pages[-1][-1]

    assert [len(page) for page in pages] == [2, 2, 1]
    ids = [booking_id for page in pages for booking_id in page]
    assert ids == sorted(set(ids), reverse=True)


def test_the_ledger_remembers_a_confirmed_job_with_its_booking(
    bookings: BookingStore, make_event: Callable[..., int], buyers: list[int], decide_one: Decide
) -> None:
    """What was decided can be told for ever."""
    event_id = make_event()
    outcome = decide_one(event_id, buyers[0], quantity=3)

    recorded = bookings.recorded(outcome.job_id)

    assert recorded is not None
    assert recorded.outcome == outcome
    assert (recorded.event_id, recorded.user_id, recorded.quantity) == (event_id, buyers[0], 3)
    assert recorded.queue_number == 1
    assert recorded.booking == bookings.get(outcome.booking_id or 0)
    assert recorded.booking is not None
    assert (recorded.booking.status, recorded.booking.cancelled_at) == ("confirmed", None)


def test_the_ledger_remembers_a_refused_job_with_its_reason(
    bookings: BookingStore, make_event: Callable[..., int], buyers: list[int], decide_one: Decide
) -> None:
    """A refusal has no booking."""
    outcome = decide_one(make_event(capacity=1), buyers[0], quantity=2)

    recorded = bookings.recorded(outcome.job_id)

    assert recorded is not None
    assert (recorded.outcome.kind, recorded.outcome.reason) == (Kind.REJECTED, Reason.SOLD_OUT)
    assert recorded.booking is None


def test_what_was_never_decided_is_not_recorded(bookings: BookingStore) -> None:
    """An unknown job has no outcome."""
    assert bookings.recorded(random_job_id(7)) is None


def test_a_booking_can_be_asked_for_as_its_owner(
    bookings: BookingStore, make_event: Callable[..., int], buyers: list[int], decide_one: Decide
) -> None:
    """With a user's id, everybody else's bookings do not exist."""
    booking_id = decide_one(make_event(), buyers[0]).booking_id
    assert booking_id is not None

    assert bookings.get(booking_id) == bookings.get(booking_id, buyers[0]) is not None
    assert bookings.get(booking_id, buyers[1]) is None
    assert bookings.get(booking_id + 1) is None


def test_where_an_events_numbers_stand_is_known_and_whether_it_exists(
    bookings: BookingStore,
    make_event: Callable[..., int],
    buyers: list[int],
    decide_one: Decide,
    sql: psycopg.Connection[Any],
) -> None:
    """A new event stands at 0, a sold one at its last decided number, one that is unknown or gone nowhere."""
    event_id = make_event()
    assert bookings.last_queue_numbers([event_id]) == {event_id: 0}
    for user_id in buyers[:3]:
        decide_one(event_id, user_id)

    assert bookings.last_queue_numbers([event_id, event_id + 1, -1, 2**70]) == {event_id: 3}
    sql.execute("UPDATE event_inventory SET gone = true")
    assert bookings.last_queue_numbers([event_id]) == {}
    assert bookings.last_queue_numbers([]) == {}


def test_all_processes_share_the_installations_key(bookings: BookingStore, database: Database) -> None:
    """Any store over the database reads the same 32 bytes."""
    key = bookings.installation_key()

    assert len(key) == 32
    assert len(set(key)) > 10
    assert BookingStore(database, 999).installation_key() == key


def test_two_databases_have_different_keys(bookings: BookingStore, databases: Any) -> None:
    """The key is made by the first migration, by chance."""
    with databases.empty() as url:
        from aurora_atlan.persistence.migrate import migrate  # noqa: PLC0415 - of use here alone

        migrate(url)
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT key FROM installation").fetchone()

    assert row is not None
    assert bytes(row[0]) != bookings.installation_key()


def test_a_reading_whose_connection_was_cut_is_done_on_another(
    database: Database, bookings: BookingStore, sql: psycopg.Connection[Any]
) -> None:
    """A restarted server, or a firewall that forgets, costs the reader nothing."""
    key = bookings.installation_key()
    for _ in range(3):
        cut = sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
        assert cut
        assert bookings.installation_key() == key
