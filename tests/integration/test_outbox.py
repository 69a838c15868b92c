"""The outbox and its relay: every outcome is told, per event in order, at least once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors.commit import Committing
from aurora_atlan.actors.messages import Batch, BookTickets
from aurora_atlan.actors.relay import OutboxRelay
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.outbox import Outbox, OutcomeNotice
from aurora_atlan.persistence.records import Job, Kind
from aurora_atlan.supervisor import Supervisor
from harness_sales import wait_decided, wait_until

Sql = psycopg.Connection[Any]


@pytest.fixture
def open_outbox(database: Database) -> Iterator[Callable[[], Outbox]]:
    """Opens the outbox, each time on a connection of its own."""
    connections = []

    def make() -> Outbox:
        connections.append(database.dedicated_connection())
        return Outbox(connections[-1])

    yield make
    for connection in connections:
        connection.close()


@pytest.fixture
def decide(
    bookings: BookingStore, enqueue: Callable[..., Job], batch_of: Callable[..., Batch]
) -> Callable[[int, list[int]], None]:
    """Decides jobs of these users in one batch."""
    committing = Committing(bookings, owner=101, lease_s=60.0, job_age_max=None)

    def run(event_id: int, users: list[int]) -> None:
        committing.commit([batch_of(*(enqueue(event_id, user_id) for user_id in users))], patient=True)

    return run


def _waiting(sql: Sql) -> int:
    row = sql.execute("SELECT count(*) FROM outbox").fetchone()
    assert row is not None
    return int(row[0])


def test_outcomes_wait_in_the_order_of_their_entries(
    open_outbox: Callable[[], Outbox],
    make_event: Callable[..., int],
    decide: Callable[[int, list[int]], None],
    buyers: list[int],
    sql: Sql,
) -> None:
    """Each is what the ledger says; openings and capacity changes are nobody's outcome."""
    event_id = make_event(capacity=2)
    decide(event_id, buyers[:3])
    outbox = open_outbox()

    told = outbox.waiting(10)

    assert [(outcome.entry_number, outcome.kind, outcome.reason) for outcome in told] == [
        (2, "confirmed", None),
        (3, "confirmed", None),
        (4, "rejected", "sold_out"),
    ]
    assert [outcome.user_id for outcome in told] == buyers[:3]
    assert outbox.waiting(1) == told[:1]
    outbox.pass_on(told[:2])
    assert outbox.waiting(10) == told[2:]
    outbox.pass_on(told)
    assert _waiting(sql) == 0


def test_one_relay_per_database(open_outbox: Callable[[], Outbox]) -> None:
    """The second is not it until the first has gone."""
    first, second = open_outbox(), open_outbox()

    assert first.claim()
    assert not second.claim()
    first._connection.close()
    assert wait_until(second.claim, 5, "the lock is free")


def test_every_outcome_is_told_once_in_order(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
    database_url: str,
) -> None:
    """Whatever is decided, cancelled or withdrawn reaches the receiver, per event in the ledger's order."""
    told: list[OutcomeNotice] = []
    supervisor = supervise(on_outcome=told.append)
    events = [make_event(capacity=5) for _ in range(3)]
    jobs = [
        supervisor.submit(BookTickets(events[number % 3], user_id)).job_id for number, user_id in enumerate(buyers[:30])
    ]
    wait_decided(database_url, jobs)
    [(booking_id,)] = sql.execute("SELECT min(id) FROM bookings").fetchall()
    supervisor.cancel(booking_id)

    wait_until(lambda: _waiting(sql) == 0, 10, "the outbox is empty")

    kinds = "('confirmed', 'rejected', 'failed', 'cancelled')"
    for event_id in events:
        expected = sql.execute(
            f"SELECT entry_number, kind, job_id FROM booking_ledger WHERE event_id = %s AND kind IN {kinds}"
            " ORDER BY entry_number".encode(),
            (event_id,),
        ).fetchall()
        assert [
            (outcome.entry_number, outcome.kind, outcome.job_id) for outcome in told if outcome.event_id == event_id
        ] == expected
    assert len(told) == 31


def test_without_a_receiver_outcomes_are_dropped(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], sql: Sql, database_url: str
) -> None:
    """Nothing piles up that nobody wants."""
    wait_decided(database_url, [supervisor.submit(BookTickets(make_event(), buyers[0])).job_id])

    wait_until(lambda: _waiting(sql) == 0, 10, "the outbox is empty")


def test_a_receiver_that_fails_is_told_again(
    database: Database,
    make_event: Callable[..., int],
    decide: Callable[[int, list[int]], None],
    buyers: list[int],
    sql: Sql,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is forgotten before it was told, and what was told is not repeated with what failed."""
    monkeypatch.setattr("aurora_atlan.actors.relay._PAUSE_AFTER_ERROR_S", 0.01)
    decide(make_event(), buyers[:3])
    told: list[int] = []

    def receive(outcome: OutcomeNotice) -> None:
        told.append(outcome.entry_number)
        if told.count(3) == 1 and outcome.entry_number == 3:
            raise RuntimeError("the receiver is away")

    relay = OutboxRelay(database, receive)
    relay.start()
    wait_until(lambda: _waiting(sql) == 0, 10, "the outbox is empty")
    relay.stop(5)

    assert told == [2, 3, 3, 4]


def test_a_receiver_that_fails_for_one_event_is_told_of_the_others(
    database: Database,
    make_event: Callable[..., int],
    decide: Callable[[int, list[int]], None],
    buyers: list[int],
    sql: Sql,
) -> None:
    """In their order; the one that fails keeps its own in order, too."""
    cursed, other = make_event(), make_event()
    decide(cursed, buyers[:2])
    decide(other, buyers[:2])
    told: list[tuple[int, int]] = []

    def receive(outcome: OutcomeNotice) -> None:
        if outcome.event_id == cursed:
            raise RuntimeError("the receiver cannot take this event's")
        told.append((outcome.event_id, outcome.entry_number))

    relay = OutboxRelay(database, receive)
    relay.start()
    wait_until(lambda: _waiting(sql) == 2, 10, "the other's are told")
    relay.stop(5)

    assert told == [(other, 2), (other, 3)]


def test_what_was_decided_before_a_stop_is_told_before_it_ends(
    database: Database,
    make_event: Callable[..., int],
    decide: Callable[[int, list[int]], None],
    buyers: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopping relays what waits: a receiver is not kept waiting for the next start."""
    event_id = make_event(capacity=50)
    told: list[int] = []
    first = threading.Event()

    def receive(outcome: OutcomeNotice) -> None:
        told.append(outcome.entry_number)
        first.set()

    monkeypatch.setattr("aurora_atlan.actors.relay._PAUSE_S", 60.0)
    decide(event_id, buyers[:1])
    relay = OutboxRelay(database, receive)
    relay.start()
    assert first.wait(5)
    decide(event_id, buyers[1:3])

    relay.stop(5)

    assert told == [2, 3, 4]


def test_a_lost_connection_is_replaced(
    database: Database,
    make_event: Callable[..., int],
    decide: Callable[[int, list[int]], None],
    buyers: list[int],
    sql: Sql,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The relay goes on after PostgreSQL ended its session."""
    monkeypatch.setattr("aurora_atlan.actors.relay._PAUSE_AFTER_ERROR_S", 0.01)
    monkeypatch.setattr("aurora_atlan.actors.relay._PAUSE_S", 0.01)
    event_id = make_event(capacity=50)
    told: list[int] = []
    relay = OutboxRelay(database, lambda outcome: told.append(outcome.entry_number))
    relay.start()
    decide(event_id, buyers[:1])
    wait_until(lambda: told == [2], 5, "the first is told")

    ended = sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
    )
    assert ended.rowcount == 1
    decide(event_id, buyers[1:2])

    wait_until(lambda: told == [2, 3], 5, "the second is told")
    relay.stop(5)


def test_with_two_supervisors_one_tells(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
    database_url: str,
) -> None:
    """When it stops, the other takes over where it left off."""
    first_told: list[OutcomeNotice] = []
    second_told: list[OutcomeNotice] = []
    first = supervise(on_outcome=first_told.append)
    event_id = make_event(capacity=50)
    wait_decided(database_url, [first.submit(BookTickets(event_id, user_id)).job_id for user_id in buyers[:5]])
    wait_until(lambda: len(first_told) == 5, 10, "the first supervisor tells")
    second = supervise(on_outcome=second_told.append)
    first.stop()

    wait_decided(database_url, [second.submit(BookTickets(event_id, user_id)).job_id for user_id in buyers[5:10]])
    wait_until(lambda: _waiting(sql) == 0, 10, "the outbox is empty")

    numbers = [outcome.entry_number for outcome in (*first_told, *second_told)]
    assert numbers == list(range(2, 12))


def _notice(event_id: int, entry_number: int) -> OutcomeNotice:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    return OutcomeNotice(event_id, entry_number, Kind.CONFIRMED, None, None, None, None, None, None, at)


@pytest.mark.parametrize("hook", [False, True], ids=["without a hook", "with a hook"])
def test_a_rush_after_a_quiet_time_is_not_read_over_and_over(database: Database, sql: Sql, hook: bool) -> None:
    """The plan that suits an empty outbox compares each row with each outcome; it must not be kept."""

    def pass_on(outbox: Outbox, count: int) -> None:
        if hook:
            outbox.pass_on([_notice(7, number) for number in range(1, count + 1)])
        else:
            outbox.pass_on_oldest(count)

    with database.dedicated_connection() as connection:
        outbox = Outbox(connection)
        sql.execute("VACUUM (ANALYZE) outbox")
        for _ in range(20):
            pass_on(outbox, 1000)
        sql.execute("INSERT INTO outbox SELECT 7, number FROM generate_series(1, 50000) AS number")
        # Some hundredths of that are enough; comparing each with each takes several seconds.
        connection.execute("SET statement_timeout = '1s'")
        pass_on(outbox, 1000)

    assert _waiting(sql) == 49_000
