"""Deleting events: gone first, then their bookings, and jobs that wait meet it at their turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis

from aurora_atlan.actors.deletion import Deletion
from aurora_atlan.actors.errors import (
    EventInUseError,
    UnavailableError,
    UnknownEventError,
)
from aurora_atlan.actors.gate import Gate
from aurora_atlan.actors.messages import BookTickets, JobState
from aurora_atlan.config import Settings
from aurora_atlan.persistence.audit_log import AuditLog, Deed
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.errors import StoreUnavailableError
from aurora_atlan.persistence.event_work import EventWork
from aurora_atlan.persistence.job_ids import random_job_id
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.records import Booking, Job, Outcome, Reason
from aurora_atlan.supervisor import Supervisor
from harness_crowd import at_a_barrier
from harness_sales import Rush, attempts, check_answers, check_rows, make_buyers, wait_decided, wait_until

Sql = psycopg.Connection[Any]

_DEED = Deed(actor_id=7, action="event.delete", subject="event")


class KilledError(BaseException):
    """Ends a deletion in the middle, as a kill would."""


@pytest.fixture
def deletion(bookings: BookingStore, jobs: JobStore, audit_clean: None) -> Deletion:
    """Deletes events; whatever it does, the audit finds nothing afterwards."""
    return Deletion(bookings, jobs.depth, jobs.close_queue)


@pytest.fixture
def gate(bookings: BookingStore, jobs: JobStore) -> Gate:
    """The gate."""
    return Gate(bookings, jobs)


@pytest.fixture
def fill(decide: Callable[..., list[Outcome]], database_url: str) -> Callable[[int, int], list[int]]:
    """Sells a ticket to each of so many buyers, without a queue, and returns the bookings' ids."""

    def run(event_id: int, count: int) -> list[int]:
        now = datetime.now(UTC)
        buyers = make_buyers(database_url, count)
        jobs = [Job(random_job_id(event_id), event_id, user_id, 1, 0, now, None) for user_id in buyers]
        ids = [outcome.booking_id for first in range(0, count, 400) for outcome in decide(*jobs[first : first + 400])]
        return [booking_id for booking_id in ids if booking_id is not None]

    return run


def _state(sql: Sql, event_id: int) -> tuple[bool, int, int]:
    """Return whether the event is gone, the tickets sold, and the counter of bookings."""
    row = sql.execute("SELECT gone, sold, bookings FROM event_inventory WHERE event_id = %s", (event_id,)).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def _cancellations(sql: Sql, event_id: int) -> list[int]:
    """Return the bookings that the ledger says were cancelled, in its order."""
    rows = sql.execute(
        "SELECT booking_id FROM booking_ledger WHERE event_id = %s AND kind = 'cancelled' ORDER BY entry_number",
        (event_id,),
    )
    return [booking_id for (booking_id,) in rows.fetchall()]


# Without force.


def test_an_event_nobody_wants_is_marked_and_nothing_is_erased(
    deletion: Deletion, make_event: Callable[..., int], sql: Sql, database: Database
) -> None:
    """Its rows stay, and the deed notes what was met; repeating it is no deed."""
    event_id = make_event()

    assert deletion.delete(event_id, deed=_DEED) == 0
    assert deletion.delete(event_id, deed=_DEED) == 0
    assert deletion.delete(event_id, force=True, deed=_DEED) == 0

    assert _state(sql, event_id) == (True, 0, 0)
    assert sql.execute("SELECT name FROM events WHERE id = %s", (event_id,)).fetchone() == ("Aurora Night",)
    [noted] = AuditLog(database).page(10)
    assert (noted.actor_id, noted.action, noted.before, noted.after) == (
        7,
        "event.delete",
        {"gone": False, "confirmed": 0, "queued": 0},
        {"gone": True, "force": False},
    )


def test_an_event_that_never_was_cannot_be_deleted(deletion: Deletion, make_event: Callable[..., int]) -> None:
    """Forced or not."""
    event_id = make_event()

    for force in (False, True):
        with pytest.raises(UnknownEventError):
            deletion.delete(event_id + 1, force=force)


def test_what_is_in_use_is_not_deleted(
    deletion: Deletion,
    gate: Gate,
    book: Callable[..., Booking],
    enqueue: Callable[..., Job],
    make_event: Callable[..., int],
    buyers: list[int],
    redis_client: redis.Redis,
    sql: Sql,
) -> None:
    """Sold tickets and waiting jobs hold it, each alone; the error counts both."""
    event_id = make_event()
    booking = book(event_id, buyers[0], quantity=3)
    enqueue(event_id, buyers[1])

    def refused() -> tuple[int, int]:
        with pytest.raises(EventInUseError) as caught:
            deletion.delete(event_id, deed=_DEED)
        return caught.value.confirmed, caught.value.queued

    # Decided without actors, the first job is still in the queue.
    assert refused() == (3, 2)
    redis_client.flushall()
    assert refused() == (3, 0)
    enqueue(event_id, buyers[2])
    gate.cancel(booking.id, None)
    assert refused() == (0, 1)
    assert _state(sql, event_id) == (False, 0, 0)
    assert sql.execute("SELECT count(*) FROM audit_log").fetchone() == (0,)
    redis_client.flushall()
    assert deletion.delete(event_id) == 0


def test_while_nobody_knows_who_waits_only_force_deletes(
    bookings: BookingStore, make_event: Callable[..., int], sql: Sql, database: Database, audit_clean: None
) -> None:
    """Without Redis an event may be in use; but what is gone is gone, and what never was is not there."""
    blind = Deletion(bookings, lambda _: None, lambda _: None)
    event_id, other = make_event(), make_event()

    with pytest.raises(UnavailableError):
        blind.delete(event_id)
    with pytest.raises(UnknownEventError):
        blind.delete(other + 1)
    assert _state(sql, event_id) == (False, 0, 0)
    blind.delete(event_id, force=True, deed=_DEED)
    blind.delete(event_id)
    assert _state(sql, event_id) == (True, 0, 0)
    assert [deed.before["queued"] for deed in AuditLog(database).page(10)] == [None]


def test_a_busy_sale_is_not_deleted(
    settings: Settings, jobs: JobStore, make_event: Callable[..., int], hold_row: Callable[[int], Sql], sql: Sql
) -> None:
    """While a stranger holds the row the answer is to try again."""
    event_id = make_event()
    stranger = hold_row(event_id)
    database = Database(replace(settings, lock_timeout_s=0.05))
    database.open()
    busy = Deletion(BookingStore(database, 101), jobs.depth, jobs.close_queue)
    try:
        with pytest.raises(UnavailableError):
            busy.delete(event_id, force=True)
        stranger.rollback()
        assert _state(sql, event_id) == (False, 0, 0)
        busy.delete(event_id)
    finally:
        database.close()


# With force.


def test_force_gives_every_booking_back_and_tells_their_holders(
    deletion: Deletion,
    gate: Gate,
    fill: Callable[[int, int], list[int]],
    book: Callable[..., Booking],
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
    database: Database,
) -> None:
    """Also those of several tickets; what was cancelled before stays as it was, and other events are not touched."""
    event_id, other = make_event(capacity=1000, cap_per_user=2), make_event()
    sold = fill(event_id, 501)
    threefold, before = book(event_id, buyers[0], quantity=3), book(event_id, buyers[0], quantity=2)
    gate.cancel(before.id, None)
    kept = book(other, buyers[0])
    sql.execute("DELETE FROM outbox")

    assert deletion.delete(event_id, force=True, deed=_DEED) == 502

    assert _state(sql, event_id) == (True, 0, 0)
    assert _state(sql, other) == (False, 1, 1)
    cancelled = _cancellations(sql, event_id)
    assert cancelled[0] == before.id
    assert sorted(cancelled[1:]) == sorted([*sold, threefold.id])
    entries = sql.execute(
        "SELECT user_id, quantity, reason, job_id FROM booking_ledger WHERE booking_id = %s AND kind = 'cancelled'",
        (threefold.id,),
    ).fetchall()
    assert entries == [(buyers[0], 3, "cancelled", None)]
    told = sql.execute("SELECT event_id, count(*) FROM outbox GROUP BY event_id").fetchall()
    assert told == [(event_id, 502)]
    assert sql.execute("SELECT status FROM bookings WHERE id = %s", (kept.id,)).fetchone() == ("confirmed",)
    [noted] = AuditLog(database).page(10)
    assert noted.before["confirmed"] == 504
    assert noted.after == {"gone": True, "force": True}


def test_an_interrupted_deletion_goes_on_where_it_was(
    deletion: Deletion,
    fill: Callable[[int, int], list[int]],
    make_event: Callable[..., int],
    sql: Sql,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gone from the first moment, a batch at a time: repeated, it cancels what is left, and nothing twice."""
    event_id = make_event(capacity=2000)
    sold = fill(event_id, 1200)
    cancel_some, calls = EventWork.cancel_some, []

    def interrupted(work: EventWork, *arguments: Any) -> list[Booking]:
        cancelled = cancel_some(work, *arguments)
        calls.append(len(cancelled))
        if len(calls) == 2:
            raise KilledError
        return cancelled

    with monkeypatch.context() as killed:
        killed.setattr(EventWork, "cancel_some", interrupted)
        with pytest.raises(KilledError):
            deletion.delete(event_id, force=True, deed=_DEED)

    assert _state(sql, event_id) == (True, 700, 700)
    assert len(_cancellations(sql, event_id)) == 500
    # Tickets are still held: without force it is not done with.
    with pytest.raises(EventInUseError) as caught:
        deletion.delete(event_id)
    assert caught.value.confirmed == 700

    assert deletion.delete(event_id, force=True, deed=_DEED) == 700
    assert deletion.delete(event_id, force=True, deed=_DEED) == 0

    assert _state(sql, event_id) == (True, 0, 0)
    assert sorted(_cancellations(sql, event_id)) == sorted(sold)
    noted = [(deed.before["gone"], deed.before["confirmed"]) for deed in AuditLog(database).page(10)]
    assert noted == [(True, 700), (False, 1200)]


def test_many_who_delete_at_once_cancel_every_booking_once(
    fill: Callable[[int, int], list[int]],
    jobs: JobStore,
    make_event: Callable[..., int],
    settings: Settings,
    sql: Sql,
    audit_clean: None,
) -> None:
    """Their batches take turns, among the cancellations of single bookings."""
    event_id = make_event(capacity=2000)
    sold = fill(event_id, 1200)
    database = Database(replace(settings, pool_max=8, pool_timeout_s=30.0, lock_timeout_s=3.5))
    database.open()
    store = BookingStore(database, 101)
    deletion, gate = Deletion(store, jobs.depth, jobs.close_queue), Gate(store, jobs)
    cancelled: list[int] = []

    def act(number: int, turn: int) -> None:
        if number < 4:
            cancelled.append(deletion.delete(event_id, force=True))
        else:
            for booking_id in sold[number::8][:20]:
                assert gate.cancel(booking_id, None).status == "cancelled"

    try:
        at_a_barrier(8, 1, act)
    finally:
        database.close()

    assert _state(sql, event_id) == (True, 0, 0)
    assert sorted(_cancellations(sql, event_id)) == sorted(sold)
    assert 1200 - 80 <= sum(cancelled) <= 1200


def test_a_crowd_meets_an_event_that_goes(
    supervise: Callable[..., Supervisor],
    fill: Callable[[int, int], list[int]],
    make_event: Callable[..., int],
    database_url: str,
    sql: Sql,
    audit_clean: None,
) -> None:
    """1,200 bookings are given back exactly once while others book; nobody books after it, and all are answered."""
    event_id, other = make_event(capacity=5000), make_event(capacity=5000)
    sold = fill(event_id, 1200)
    supervisor = supervise(user_jobs_in_flight_max=1000)
    buyers = make_buyers(database_url, 1600)
    rush = _RushThatMayBeRefused(supervisor, attempts([event_id, other], buyers), threads=8)
    rush.start()
    wait_until(lambda: rush.told >= 100, 20, "the crowd is booking")

    returned = supervisor.delete_event(event_id, force=True)

    assert _state(sql, event_id) == (True, 0, 0)
    rush.join(60)
    wait_decided(database_url, rush.jobs, 20)
    check_rows(database_url, accepted=rush.jobs, others_allowed=True)
    check_answers(supervisor, database_url, rush.jobs)
    confirmed = _answers(sql, event_id, "confirmed") - 1200
    assert returned == 1200 + confirmed
    cancelled = _cancellations(sql, event_id)
    assert len(cancelled) == len(set(cancelled)) == returned
    assert set(sold) <= set(cancelled)
    gone = [receipt for receipt in rush.accepted.values() if receipt.event_id == event_id]
    statuses = {supervisor.status(receipt.job_id) for receipt in gone}
    outcomes = {(status.status, status.reason) for status in statuses if status is not None}
    assert outcomes <= {(JobState.COMPLETED, None), (JobState.FAILED, Reason.EVENT_GONE)}
    assert _answers(sql, event_id, "rejected") == len(gone) - confirmed
    # Nothing else was lost or refused: the other event sold to everybody who came for it.
    assert _state(sql, other) == (False, 800, 800)
    assert len(gone) + rush.refused == 800


class _RushThatMayBeRefused(Rush):
    """A crowd whose members may hear that there is no such event."""

    refused = 0

    def _buy(self, attempt: BookTickets) -> None:
        try:
            super()._buy(attempt)
        except UnknownEventError:
            with self._lock:
                self.refused += 1


def _answers(sql: Sql, event_id: int, kind: str) -> int:
    row = sql.execute(
        "SELECT count(*) FROM booking_ledger WHERE event_id = %s AND kind = %s", (event_id, kind)
    ).fetchone()
    assert row is not None
    return int(row[0])


# Booking what is gone.


def test_waiting_jobs_are_decided_as_gone_and_new_ones_are_not_accepted(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], sql: Sql, audit_clean: None
) -> None:
    """A repeated request is told its job's place, as ever."""
    event_id = make_event()
    supervisor.pause(event_id)
    waiting = [supervisor.submit(BookTickets(event_id, user_id, 1, "key")) for user_id in buyers[:3]]

    supervisor.delete_event(event_id, force=True)

    with pytest.raises(UnknownEventError):
        supervisor.submit(BookTickets(event_id, buyers[3]))
    again = supervisor.submit(BookTickets(event_id, buyers[0], 1, "key"))
    assert (again.job_id, again.replayed) == (waiting[0].job_id, True)
    supervisor.resume(event_id)
    for receipt in waiting:
        status = wait_until(lambda receipt=receipt: _decided(supervisor, receipt.job_id), 5, "it is decided")
        assert status.reason is Reason.EVENT_GONE
    assert _answers(sql, event_id, "rejected") == 3


def _decided(supervisor: Supervisor, job_id: UUID) -> Any:
    status = supervisor.status(job_id)
    return status if status is not None and status.status is JobState.FAILED else None


def test_an_event_that_redis_forgot_to_be_gone_is_unknown_all_the_same(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], redis_client: redis.Redis
) -> None:
    """Whoever gives the queue its first number finds that it may have none."""
    event_id = make_event()
    supervisor.submit(BookTickets(event_id, buyers[0]))
    supervisor.delete_event(event_id, force=True)
    redis_client.flushall()

    with pytest.raises(UnknownEventError):
        supervisor.submit(BookTickets(event_id, buyers[1]))


def test_a_deletion_while_redis_is_away_is_met_at_their_turn(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    buyers: list[int],
    monkeypatch: pytest.MonkeyPatch,
    audit_clean: None,
) -> None:
    """Nobody told the queue: jobs are accepted and answered that the event is gone."""
    supervisor = supervise()
    event_id = make_event()
    first = supervisor.submit(BookTickets(event_id, buyers[0]))
    wait_until(lambda: supervisor.queued(event_id) == 0, 5, "the first job is decided")
    with monkeypatch.context() as away:
        away.setattr(supervisor._fast_jobs, "depth", _away)
        away.setattr(supervisor._fast_jobs, "close_queue", _away)
        with pytest.raises(UnavailableError):
            supervisor.delete_event(event_id)
        assert supervisor.delete_event(event_id, force=True) == 1

    late = wait_until(lambda: _accepted(supervisor, event_id, buyers[1]), 5, "Redis is back")

    assert wait_until(lambda: _decided(supervisor, late), 5, "it is decided").reason is Reason.EVENT_GONE
    status = supervisor.status(first.job_id)
    assert status is not None
    assert status.booking is not None
    assert status.booking.status == "cancelled"


def _away(_event_id: int) -> int:
    raise StoreUnavailableError("away")


def _accepted(supervisor: Supervisor, event_id: int, user_id: int) -> UUID | None:
    try:
        return supervisor.submit(BookTickets(event_id, user_id)).job_id
    except UnavailableError:
        return None
