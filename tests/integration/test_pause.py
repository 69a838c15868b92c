"""Pausing a sale: nothing is decided from when the pause was answered until it is resumed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from aurora_atlan.actors.commit import Committing, Paused
from aurora_atlan.actors.errors import UnavailableError, UnknownEventError
from aurora_atlan.actors.gate import Gate
from aurora_atlan.actors.messages import Batch, BookTickets, JobState
from aurora_atlan.config import Settings
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.inventory import UnitOfWork
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.records import Job
from aurora_atlan.supervisor import Supervisor
from harness_sales import wait_decided, wait_until

Sql = psycopg.Connection[Any]
pytestmark = pytest.mark.usefixtures("audit_clean")


def _entries(sql: Sql, event_id: int | None = None) -> int:
    row = sql.execute(
        "SELECT count(*) FROM booking_ledger WHERE %s::bigint IS NULL OR event_id = %s", (event_id, event_id)
    ).fetchone()
    assert row is not None
    return int(row[0])


def _submit(supervisor: Supervisor, event_id: int, users: list[int]) -> list[UUID]:
    return [supervisor.submit(BookTickets(event_id, user_id)).job_id for user_id in users]


def _order(sql: Sql, event_id: int) -> list[UUID]:
    rows = sql.execute(
        "SELECT job_id FROM booking_ledger WHERE event_id = %s AND job_id IS NOT NULL ORDER BY entry_number",
        (event_id,),
    )
    return [job_id for (job_id,) in rows.fetchall()]


@pytest.mark.parametrize("everything", [False, True])
def test_nothing_is_decided_after_a_pause_was_answered(
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
    database_url: str,
    *,
    everything: bool,
) -> None:
    """Bookings go on being accepted while one event, or all, are paused; resumed, they are decided in order."""
    event_id = make_event(capacity=100)
    accepted: list[UUID] = []

    def sell() -> None:
        for user_id in buyers[:60]:
            accepted.append(supervisor.submit(BookTickets(event_id, user_id)).job_id)

    seller = threading.Thread(target=sell)
    seller.start()
    wait_until(lambda: _entries(sql, event_id) > 5, 10, "the sale is under way")

    supervisor.pause(None if everything else event_id)
    paused_at = _entries(sql, event_id)
    seller.join(20)
    accepted += _submit(supervisor, event_id, buyers[60:])
    # The event's own actor has looked at what is new, and found the pause.
    cell = supervisor._cells.get(event_id)
    assert cell is not None
    wait_until(lambda: not cell.busy, 5, "the actor has nothing in hand")
    assert len(accepted) == 100
    assert _entries(sql, event_id) == paused_at

    supervisor.resume(None if everything else event_id)
    wait_decided(database_url, accepted)

    assert _order(sql, event_id) == accepted


def test_a_paused_event_keeps_no_other_waiting(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], sql: Sql, database_url: str
) -> None:
    """The others are sold, and its own jobs are queued."""
    paused, other = make_event(), make_event()
    supervisor.pause(paused)

    [waiting] = _submit(supervisor, paused, buyers[:1])
    wait_decided(database_url, _submit(supervisor, other, buyers[:5]))

    status = supervisor.status(waiting)
    assert status is not None
    assert status.status in (JobState.QUEUED, JobState.PROCESSING)
    assert status.queue_position == 1
    assert _entries(sql, paused) == 1


def test_the_pause_of_all_includes_events_opened_later(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], sql: Sql, database_url: str
) -> None:
    """It holds for the installation, not for the events there were."""
    supervisor.pause()
    event_id = make_event()

    jobs = _submit(supervisor, event_id, buyers[:3])
    cell = supervisor._cells.get(event_id)
    assert cell is not None
    wait_until(lambda: cell.generation == 1 and not cell.busy, 5, "its actor has found the pause")
    assert _entries(sql, event_id) == 1

    supervisor.resume()
    wait_decided(database_url, jobs)


def test_the_two_pauses_do_not_lift_each_other(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], sql: Sql, database_url: str
) -> None:
    """An event that is paused itself stays so when all are resumed."""
    event_id = make_event()
    supervisor.pause(event_id)
    supervisor.pause()
    supervisor.resume()
    jobs = _submit(supervisor, event_id, buyers[:1])
    cell = supervisor._cells.get(event_id)
    assert cell is not None
    wait_until(lambda: cell.generation == 1 and not cell.busy, 5, "its actor has found the pause")
    assert _entries(sql, event_id) == 1

    supervisor.resume(event_id)
    wait_decided(database_url, jobs)


@pytest.mark.parametrize("everything", [False, True])
def test_a_pause_waits_for_the_decision_that_is_under_way(
    bookings: BookingStore,
    jobs: JobStore,
    make_event: Callable[..., int],
    buyers: list[int],
    enqueue: Callable[..., Job],
    batch_of: Callable[..., Batch],
    sql: Sql,
    monkeypatch: pytest.MonkeyPatch,
    *,
    everything: bool,
) -> None:
    """It is answered only when no transaction that may still decide is left."""
    event_id = make_event()
    batch = batch_of(enqueue(event_id, buyers[0]))
    committing = Committing(bookings, owner=101, lease_s=60.0, job_age_max=None)
    deciding, go_on, answered = threading.Event(), threading.Event(), threading.Event()
    read = UnitOfWork.read

    def slow_read(work: UnitOfWork, *arguments: Any) -> Any:
        deciding.set()
        assert go_on.wait(10)
        return read(work, *arguments)

    def pause() -> None:
        Gate(bookings, jobs).pause(None if everything else event_id, paused=True)
        answered.set()

    monkeypatch.setattr(UnitOfWork, "read", slow_read)
    decider = threading.Thread(target=committing.commit, args=([batch],), kwargs={"patient": True})
    decider.start()
    assert deciding.wait(5)
    pauser = threading.Thread(target=pause)
    pauser.start()
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    wait_until(lambda: answered.is_set() or sql.execute(waiting).fetchone() == (1,), 5, "the pause waits")
    assert not answered.is_set()
    assert _entries(sql, event_id) == 1

    go_on.set()
    pauser.join(10)
    decider.join(10)

    assert answered.is_set()
    assert _entries(sql, event_id) == 2
    later = batch_of(enqueue(event_id, buyers[1]))
    assert committing.commit([later], patient=True) == [Paused(later)]


def test_a_pause_that_cannot_be_had_is_told(
    bookings: BookingStore, jobs: JobStore, make_event: Callable[..., int], sql: Sql, settings: Settings
) -> None:
    """When a decision does not end, the pause is refused, and nothing is paused."""
    event_id = make_event()
    database = Database(replace(settings, lock_timeout_s=0.05))
    database.open()

    with bookings.unit_of_work() as work:
        work.hold_off_pause()
        with pytest.raises(UnavailableError):
            Gate(BookingStore(database, 102), jobs).pause(event_id, paused=True)
    database.close()

    assert sql.execute("SELECT paused FROM event_inventory").fetchone() == (False,)


def test_an_unknown_event_cannot_be_paused(supervisor: Supervisor) -> None:
    """Neither paused nor resumed."""
    with pytest.raises(UnknownEventError):
        supervisor.pause(999_999)
    with pytest.raises(UnknownEventError):
        supervisor.resume(999_999)


def test_the_gate_stays_open_during_a_pause(
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
    database_url: str,
) -> None:
    """Bookings can be cancelled, waiting jobs withdrawn, and the capacity set."""
    event_id = make_event()
    jobs = _submit(supervisor, event_id, buyers[:1])
    wait_decided(database_url, jobs)
    status = wait_until(lambda: _completed(supervisor, jobs[0]), 5, "the booking is told")
    supervisor.pause(event_id)
    [waiting] = _submit(supervisor, event_id, buyers[1:2])

    supervisor.cancel(status.booking.id)
    supervisor.withdraw(waiting)
    supervisor.set_capacity(event_id, 3)

    kinds = sql.execute("SELECT kind FROM booking_ledger ORDER BY entry_number").fetchall()
    assert [kind for (kind,) in kinds] == ["opened", "confirmed", "cancelled", "cancelled", "capacity_changed"]


def _completed(supervisor: Supervisor, job_id: UUID) -> Any:
    status = supervisor.status(job_id)
    return status if status is not None and status.status is JobState.COMPLETED else None


def test_a_pause_by_another_process_is_kept_and_its_end_found(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
    database_url: str,
) -> None:
    """Pause and resume may come from any process; the owner finds the end of it by itself."""
    owner, other = supervise(), supervise()
    event_id = make_event(capacity=20)
    wait_decided(database_url, _submit(owner, event_id, buyers[:3]))

    other.pause(event_id)
    paused_at = _entries(sql, event_id)
    jobs = _submit(owner, event_id, buyers[3:9])
    cell = owner._cells.get(event_id)
    assert cell is not None
    wait_until(lambda: not cell.busy, 5, "the owner has found the pause")
    assert _entries(sql, event_id) == paused_at

    other.resume(event_id)
    wait_decided(database_url, jobs)


def test_paused_events_cost_one_question_however_many_they_are(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    buyers: list[int],
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
) -> None:
    """Each is found paused once; from then on nobody hands in what waits for it until the pause is over."""
    batches: list[int] = []
    commit = Committing.commit

    def counted(committing: Committing, handed_in: Any, **how: Any) -> Any:
        batches.extend(batch.event_id for batch in handed_in)
        return commit(committing, handed_in, **how)

    monkeypatch.setattr(Committing, "commit", counted)
    # More events than there may be actors.
    supervisor = supervise(actors_max=4)
    events = [make_event() for _ in range(8)]
    supervisor.pause()
    jobs = [job for event_id in events for job in _submit(supervisor, event_id, buyers[:2])]
    pauses = supervisor._switchboard.pauses
    wait_until(lambda: sorted(pauses.known()) == events, 10, "every event was found paused")
    handed_in = len(batches)
    resumed, asked = supervisor.bookings.resumed, threading.Semaphore(0)

    def looked(*arguments: Any) -> list[int]:
        found = resumed(*arguments)
        asked.release()
        return found

    monkeypatch.setattr(supervisor.bookings, "resumed", looked)
    for _ in range(2):
        assert asked.acquire(timeout=10)
    assert len(batches) == handed_in

    # As another process would: nobody here is told.
    Gate(supervisor.bookings, supervisor._jobs).pause(None, paused=False)
    wait_decided(database_url, jobs)


def test_a_pause_outlives_a_restart(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
    database_url: str,
) -> None:
    """It lives in PostgreSQL: what waited is decided after the next process's resume."""
    first = supervise()
    event_id = make_event()
    first.pause(event_id)
    jobs = _submit(first, event_id, buyers[:4])
    first.stop()

    second = supervise()
    wait_until(lambda: second._cells.get(event_id), 5, "the restart has found the event")
    cell = second._cells.get(event_id)
    assert cell is not None
    wait_until(lambda: cell.generation >= 1 and not cell.busy, 5, "its actor has found the pause")
    assert _entries(sql, event_id) == 1
    second.resume(event_id)

    wait_decided(database_url, jobs)
    assert _order(sql, event_id) == jobs
