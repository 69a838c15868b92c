"""The gate: cancel and withdraw, in the caller's thread, under the sale's own lock."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from aurora_atlan.actors.errors import (
    AlreadyDecidedError,
    CapacityBelowSoldError,
    UnavailableError,
    UnknownBookingError,
    UnknownJobError,
)
from aurora_atlan.actors.gate import Gate
from aurora_atlan.actors.messages import BookTickets, JobState
from aurora_atlan.config import Settings
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.job_ids import random_job_id
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.records import Booking, Job, Kind, Outcome, Reason
from aurora_atlan.supervisor import Supervisor
from harness_crowd import at_a_barrier
from harness_sales import wait_decided, wait_until

Sql = psycopg.Connection[Any]
Enqueue = Callable[..., Job]


@pytest.fixture
def gate(bookings: BookingStore, jobs: JobStore, audit_clean: None) -> Gate:
    """The gate; whatever passes it, the audit finds nothing afterwards."""
    return Gate(bookings, jobs)


@pytest.fixture
def busy_gate(settings: Settings, jobs: JobStore) -> Iterator[Gate]:
    """A gate that waits for rows only a moment."""
    database = Database(replace(settings, lock_timeout_s=0.05))
    database.open()
    yield Gate(BookingStore(database, 101), jobs)
    database.close()


def _sold(sql: Sql, event_id: int) -> tuple[int, int]:
    row = sql.execute("SELECT sold, capacity FROM event_inventory WHERE event_id = %s", (event_id,)).fetchone()
    assert row is not None
    return row[0], row[1]


def _kinds(sql: Sql, event_id: int) -> list[str]:
    rows = sql.execute("SELECT kind FROM booking_ledger WHERE event_id = %s ORDER BY entry_number", (event_id,))
    return [kind for (kind,) in rows.fetchall()]


# Cancelling.


def test_a_cancelled_booking_gives_its_seats_back(
    gate: Gate, book: Callable[..., Booking], make_event: Callable[..., int], buyers: list[int], sql: Sql
) -> None:
    """The booking says so, sold falls by its quantity, and the ledger has it."""
    event_id = make_event()
    booking = book(event_id, buyers[0], quantity=3)

    cancelled = gate.cancel(booking.id, buyers[0])

    assert (cancelled.status, cancelled.quantity) == ("cancelled", 3)
    assert cancelled.cancelled_at is not None
    assert replace(cancelled, status="confirmed", cancelled_at=None) == booking
    assert _sold(sql, event_id) == (0, 10)
    assert _kinds(sql, event_id) == ["opened", "confirmed", "cancelled"]


def test_two_hundred_cancellations_at_once_free_one_seat(
    gate: Gate,
    book: Callable[..., Booking],
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
    settings: Settings,
    jobs: JobStore,
) -> None:
    """However often and at once it is asked for, a booking is cancelled once, and all are told the same."""
    event_id = make_event(capacity=2)
    booking, other = book(event_id, buyers[0]), book(event_id, buyers[1])
    database = Database(replace(settings, pool_max=50, pool_timeout_s=30.0, pool_waiting_max=200, lock_timeout_s=3.5))
    database.open()
    crowded = Gate(BookingStore(database, 101), jobs)
    barrier = threading.Barrier(200)
    answers: list[Booking] = []

    def cancel() -> None:
        barrier.wait(30)
        answers.append(crowded.cancel(booking.id, buyers[0]))

    threads = [threading.Thread(target=cancel) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    database.close()

    assert len(answers) == 200
    assert len(set(answers)) == 1
    assert _sold(sql, event_id) == (1, 2)
    assert _kinds(sql, event_id).count("cancelled") == 1
    assert sql.execute("SELECT status FROM bookings WHERE id = %s", (other.id,)).fetchone() == ("confirmed",)


def test_a_freed_seat_is_sold_again(
    gate: Gate, book: Callable[..., Booking], make_event: Callable[..., int], buyers: list[int], sql: Sql
) -> None:
    """Also to the one who gave it back."""
    event_id = make_event(capacity=1)
    first = book(event_id, buyers[0])
    gate.cancel(first.id, buyers[0])
    second = book(event_id, buyers[0])
    gate.cancel(second.id, None)

    third = book(event_id, buyers[1])

    assert len({first.id, second.id, third.id}) == 3
    assert _sold(sql, event_id) == (1, 1)


def test_nobody_cancels_what_is_not_his(
    gate: Gate, book: Callable[..., Booking], make_event: Callable[..., int], buyers: list[int]
) -> None:
    """Another's booking does not exist for him, like one that nobody made."""
    booking = book(make_event(), buyers[0])

    with pytest.raises(UnknownBookingError):
        gate.cancel(booking.id, buyers[1])
    with pytest.raises(UnknownBookingError):
        gate.cancel(booking.id + 1, None)
    with pytest.raises(UnknownBookingError):
        gate.cancel(2**70, None)


def test_a_sale_that_is_busy_too_long_is_told_and_nothing_is_half_done(
    busy_gate: Gate,
    book: Callable[..., Booking],
    make_event: Callable[..., int],
    buyers: list[int],
    hold_row: Callable[[int], Sql],
    sql: Sql,
) -> None:
    """While a stranger holds the row every change is refused, to be tried again."""
    event_id = make_event()
    booking = book(event_id, buyers[0])
    stranger = hold_row(event_id)

    with pytest.raises(UnavailableError):
        busy_gate.cancel(booking.id, buyers[0])
    with pytest.raises(UnavailableError):
        busy_gate.pause(event_id, paused=True)

    stranger.rollback()
    assert _kinds(sql, event_id) == ["opened", "confirmed"]
    assert busy_gate.cancel(booking.id, buyers[0]).status == "cancelled"


def test_a_moments_wait_for_the_row_is_not_told(
    gate: Gate,
    book: Callable[..., Booking],
    make_event: Callable[..., int],
    buyers: list[int],
    hold_row: Callable[[int], Sql],
    sql: Sql,
) -> None:
    """The gate waits its turn and then does what it was asked."""
    event_id = make_event()
    booking = book(event_id, buyers[0])
    stranger = hold_row(event_id)
    thread = threading.Thread(target=gate.cancel, args=(booking.id, buyers[0]))
    thread.start()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    wait_until(lambda: sql.execute(waiting).fetchone() == (1,), 5, "the gate waits for the row")

    stranger.rollback()
    thread.join(10)

    assert _sold(sql, event_id) == (0, 10)


# Withdrawing.


def test_a_withdrawn_job_is_not_sold(
    gate: Gate,
    enqueue: Enqueue,
    decide: Callable[..., list[Outcome]],
    jobs: JobStore,
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
) -> None:
    """It leaves the queue with its one answer, and the batch that holds it already gets that answer."""
    event_id = make_event()
    ahead, mine, behind = (enqueue(event_id, user_id) for user_id in buyers[:3])

    gate.withdraw(mine.job_id, buyers[1])
    outcomes = decide(ahead, mine, behind)

    assert [(outcome.kind, outcome.reason) for outcome in outcomes] == [
        (Kind.CONFIRMED, None),
        (Kind.CANCELLED, Reason.CANCELLED),
        (Kind.CONFIRMED, None),
    ]
    assert _sold(sql, event_id) == (2, 10)
    assert _kinds(sql, event_id) == ["opened", "cancelled", "confirmed", "confirmed"]
    status = jobs.status(mine.job_id)
    assert status is not None
    assert status.outcome == outcomes[1]
    assert jobs.read_pending(event_id, after=0, count=9, highest_number=0).jobs == [ahead, behind]


def test_a_withdrawal_does_not_move_the_queue(
    gate: Gate, enqueue: Enqueue, jobs: JobStore, make_event: Callable[..., int], buyers: list[int], sql: Sql
) -> None:
    """Those ahead are still ahead: neither Redis's nor PostgreSQL's last decided number changes."""
    event_id = make_event()
    _, last = enqueue(event_id, buyers[0]), enqueue(event_id, buyers[1])

    gate.withdraw(last.job_id, None)

    status = jobs.status(last.job_id)
    assert status is not None
    assert status.last_decided == 0
    assert sql.execute("SELECT last_queue_number FROM event_inventory").fetchone() == (0,)


def test_withdrawing_twice_is_withdrawing_once(
    gate: Gate, enqueue: Enqueue, make_event: Callable[..., int], buyers: list[int], sql: Sql
) -> None:
    """A repetition changes nothing and is no error."""
    event_id = make_event()
    job = enqueue(event_id, buyers[0])

    gate.withdraw(job.job_id, buyers[0])
    gate.withdraw(job.job_id, buyers[0])

    assert _kinds(sql, event_id) == ["opened", "cancelled"]


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_decided_job_cannot_be_withdrawn(
    gate: Gate,
    enqueue: Enqueue,
    decide: Callable[..., list[Outcome]],
    make_event: Callable[..., int],
    buyers: list[int],
    redis_client: Any,
    sql: Sql,
    *,
    forgotten: bool,
) -> None:
    """Its answer stands, whether Redis still knows the job or only the ledger does."""
    event_id = make_event()
    job = enqueue(event_id, buyers[0])
    decide(job)
    if forgotten:
        redis_client.flushall()

    with pytest.raises(AlreadyDecidedError):
        gate.withdraw(job.job_id, buyers[0])

    assert _kinds(sql, event_id) == ["opened", "confirmed"]


def test_nobody_withdraws_what_is_not_his(
    gate: Gate,
    enqueue: Enqueue,
    decide: Callable[..., list[Outcome]],
    make_event: Callable[..., int],
    buyers: list[int],
    redis_client: Any,
) -> None:
    """Another's job does not exist for him, waiting or decided, like one that nobody made."""
    event_id = make_event()
    job = enqueue(event_id, buyers[0])

    with pytest.raises(UnknownJobError):
        gate.withdraw(job.job_id, buyers[1])
    with pytest.raises(UnknownJobError):
        gate.withdraw(random_job_id(event_id), None)
    decide(job)
    redis_client.flushall()
    with pytest.raises(UnknownJobError):
        gate.withdraw(job.job_id, buyers[1])


def test_a_withdrawal_that_races_with_the_decision_leaves_one_answer(
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
    settings: Settings,
    sql: Sql,
    audit_clean: None,
) -> None:
    """Withdrawn or decided, never both: who lost the race is told so, and the seats agree."""
    event_id = make_event(capacity=100)
    withdrawn, refused = set(), set()
    receipts = []
    for user_id in buyers[:40]:
        receipt = supervisor.submit(BookTickets(event_id, user_id))
        receipts.append(receipt.job_id)
        try:
            supervisor.withdraw(receipt.job_id, user_id)
        except AlreadyDecidedError:
            refused.add(receipt.job_id)
        else:
            withdrawn.add(receipt.job_id)

    assert settings.database_url is not None
    wait_decided(settings.database_url, receipts)

    for job_id in receipts:
        status = wait_until(lambda job_id=job_id: _final(supervisor, job_id), 5, "the outcome is told")
        expected = (JobState.FAILED, Reason.CANCELLED) if job_id in withdrawn else (JobState.COMPLETED, None)
        assert (status.status, status.reason) == expected
    assert _sold(sql, event_id) == (len(refused), 100)


def _final(supervisor: Supervisor, job_id: Any) -> Any:
    status = supervisor.status(job_id)
    return status if status is not None and status.queue_position == 0 else None


def test_a_job_in_flight_can_be_withdrawn_until_it_is_decided(
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
    hold_row: Callable[[int], Sql],
    sql: Sql,
    audit_clean: None,
) -> None:
    """A batch that waits for its row finds what was withdrawn under it meanwhile."""
    event_id = make_event()
    stranger = hold_row(event_id)
    receipt = supervisor.submit(BookTickets(event_id, buyers[0]))
    processing = JobState.PROCESSING
    wait_until(lambda: supervisor.status(receipt.job_id).status is processing, 5, "the batch is in flight")

    outcome: list[str] = []

    def withdraw() -> None:
        try:
            supervisor.withdraw(receipt.job_id, buyers[0])
            outcome.append("cancelled")
        except AlreadyDecidedError:
            outcome.append("confirmed")

    thread = threading.Thread(target=withdraw)
    thread.start()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    wait_until(lambda: sql.execute(waiting).fetchone() == (2,), 5, "both wait for the row")
    stranger.rollback()
    thread.join(10)

    wait_until(lambda: _final(supervisor, receipt.job_id), 5, "the outcome is told")
    assert _kinds(sql, event_id)[1:] == outcome


# Everything at once.


def test_bookings_cancellations_and_capacity_edits_together_keep_every_promise(
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
    database_url: str,
    audit_clean: None,
) -> None:
    """In any order and from many threads: never oversold, and the ledger adds up."""
    event_id = make_event(capacity=20, cap_per_user=3)
    accepted: list[UUID] = []
    chances = [random.Random(seed) for seed in range(5)]

    def cancel_any() -> None:
        with psycopg.connect(database_url) as connection:
            row = connection.execute("SELECT id FROM bookings ORDER BY random() LIMIT 1").fetchone()
        if row is not None:
            supervisor.cancel(row[0])

    def disturb(number: int, turn: int) -> None:
        chance = chances[number]
        accepted.append(supervisor.submit(BookTickets(event_id, chance.choice(buyers), chance.randint(1, 3))).job_id)
        with contextlib.suppress(CapacityBelowSoldError, AlreadyDecidedError):
            match chance.randint(0, 3):
                case 0:
                    supervisor.set_capacity(event_id, chance.randint(10, 60))
                case 1:
                    cancel_any()
                case 2:
                    supervisor.withdraw(chance.choice(accepted))

    at_a_barrier(5, 30, disturb)

    assert len(accepted) == 150
    wait_decided(database_url, accepted)
