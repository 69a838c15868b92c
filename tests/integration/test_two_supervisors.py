"""Two processes over the same stores: one owner per event, taken over when it dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from aurora_atlan.actors.cell import CellState
from aurora_atlan.actors.messages import BookTickets, JobState
from aurora_atlan.config import Settings
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.ownership import OwnerLock, new_owner
from aurora_atlan.supervisor import Supervisor
from harness_sales import check_rows, wait_decided, wait_until

Sql = psycopg.Connection[Any]
pytestmark = pytest.mark.usefixtures("audit_clean")


def _submit(supervisor: Supervisor, event_id: int, users: list[int]) -> list[UUID]:
    return [supervisor.submit(BookTickets(event_id, user_id)).job_id for user_id in users]


def _owner(sql: Sql, event_id: int) -> tuple[int | None, int]:
    row = sql.execute("SELECT owner, epoch FROM event_inventory WHERE event_id = %s", (event_id,)).fetchone()
    assert row is not None
    return row[0], row[1]


def _order(sql: Sql, event_id: int) -> list[UUID]:
    rows = sql.execute(
        "SELECT job_id FROM booking_ledger WHERE event_id = %s AND job_id IS NOT NULL ORDER BY entry_number",
        (event_id,),
    )
    return [job_id for (job_id,) in rows.fetchall()]


def _given_to(sql: Sql, event_id: int, owner: int) -> None:
    """Let the row say that somebody else owns the event, by a lease that has long to run."""
    sql.execute(
        "UPDATE event_inventory SET owner = %s, epoch = 7, lease_until = now() + interval '1 hour' WHERE event_id = %s",
        (owner, event_id),
    )


def test_what_one_accepts_the_other_decides_in_order(
    supervise: Callable[..., Supervisor], make_event: Callable[..., int], buyers: list[int], sql: Sql, database_url: str
) -> None:
    """The owner finds jobs that another process accepted, in their place in the order."""
    owner, other = supervise(), supervise()
    event_id = make_event(capacity=100)
    jobs = _submit(owner, event_id, buyers[:1])
    wait_decided(database_url, jobs)
    before = _owner(sql, event_id)

    for number, user_id in enumerate(buyers[1:40]):
        jobs += _submit((other, owner)[number % 2], event_id, [user_id])
    jobs += _submit(other, event_id, buyers[40:50])
    wait_decided(database_url, jobs)

    assert _order(sql, event_id) == jobs
    assert _owner(sql, event_id) == before
    cell = other._cells.get(event_id)
    assert cell is not None
    assert cell.state in (CellState.FOREIGN, CellState.STARTING, CellState.RUNNING)
    for job_id in jobs:
        status = other.status(job_id)
        assert status is not None
        assert status.status in (JobState.COMPLETED, JobState.PROCESSING)


def test_two_that_sell_the_same_events_at_once_keep_the_order(
    supervise: Callable[..., Supervisor], make_event: Callable[..., int], buyers: list[int], sql: Sql, database_url: str
) -> None:
    """Whoever gets an event first keeps it; both may accept, and no queue begins anew."""
    supervisors = [supervise(), supervise()]
    events = [make_event(capacity=8) for _ in range(10)]
    accepted: list[Any] = []
    barrier = threading.Barrier(10)

    def buy(number: int) -> None:
        barrier.wait(10)
        accepted.extend(supervisors[number % 2].submit(BookTickets(event_id, buyers[number])) for event_id in events)

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    jobs = [receipt.job_id for receipt in accepted]
    assert len(jobs) == 100
    wait_decided(database_url, jobs)

    check_rows(database_url, accepted=jobs)
    for event_id in events:
        in_order = sorted((r for r in accepted if r.event_id == event_id), key=lambda receipt: receipt.queue_number)
        assert _order(sql, event_id) == [receipt.job_id for receipt in in_order]
    assert sql.execute("SELECT min(sold), max(sold) FROM event_inventory").fetchone() == (8, 8)


def test_an_event_of_a_dead_process_is_taken_at_once(
    supervise: Callable[..., Supervisor], make_event: Callable[..., int], buyers: list[int], sql: Sql, database_url: str
) -> None:
    """A killed process leaves a lease behind and no lock: its events need not wait for the lease."""
    event_id = make_event()
    dead = new_owner()
    _given_to(sql, event_id, dead)

    wait_decided(database_url, _submit(supervise(), event_id, buyers[:3]), timeout_s=5.0)

    owner, epoch = _owner(sql, event_id)
    assert owner not in (None, dead)
    assert epoch == 8


def test_an_event_of_a_living_process_waits_until_it_dies(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
    settings: Settings,
    database_url: str,
) -> None:
    """FOREIGN while the owner lives, however long; decided within two seconds when its lock is free, lease or not."""
    event_id, own = make_event(), make_event()
    database = Database(settings)
    living = OwnerLock(database, new_owner())
    living.keep()
    _given_to(sql, event_id, living._owner)
    supervisor = supervise()
    jobs = _submit(supervisor, event_id, buyers[:3])
    cell = wait_until(lambda: supervisor._cells.get(event_id), 5, "the event is known")
    wait_until(lambda: cell.state is CellState.FOREIGN, 5, "it is foreign")

    wait_decided(database_url, _submit(supervisor, own, buyers[:3]))
    status = supervisor.status(jobs[0])
    assert status is not None
    assert status.queue_position == 1
    assert _owner(sql, event_id) == (living._owner, 7)
    living.release()

    wait_decided(database_url, jobs, timeout_s=3.0)
    assert _order(sql, event_id) == jobs
    assert _owner(sql, event_id)[1] == 8


def test_a_stopped_process_leaves_its_events_to_the_other_at_once(
    supervise: Callable[..., Supervisor], make_event: Callable[..., int], buyers: list[int], sql: Sql, database_url: str
) -> None:
    """A clean stop gives up the leases and leaves what is undecided in the queue."""
    first = supervise(lease_s=60.0)
    event_id = make_event(capacity=100)
    wait_decided(database_url, _submit(first, event_id, buyers[:5]))

    first.stop()

    assert _owner(sql, event_id)[0] is None
    second = supervise(lease_s=60.0)
    wait_decided(database_url, _submit(second, event_id, buyers[5:10]), timeout_s=3.0)


def test_an_owner_that_lost_its_event_learns_it_and_loses_no_job(
    supervise: Callable[..., Supervisor], make_event: Callable[..., int], buyers: list[int], sql: Sql, database_url: str
) -> None:
    """Fenced by a newer epoch, it asks again: its jobs are decided once, in order, by whoever owns the event."""
    supervisor = supervise()
    event_id = make_event(capacity=100)
    jobs = _submit(supervisor, event_id, buyers[:5])
    wait_decided(database_url, jobs)
    cell = supervisor._cells.get(event_id)
    assert cell is not None
    wait_until(lambda: not cell.busy, 5, "all is told")
    first_owner = _owner(sql, event_id)[0]
    # Taken over by a process that is dead by now.
    _given_to(sql, event_id, new_owner())

    jobs += _submit(supervisor, event_id, buyers[5:12])
    wait_decided(database_url, jobs)

    assert _order(sql, event_id) == jobs
    assert _owner(sql, event_id) == (first_owner, 8)
    assert cell.generation == 1


def test_a_second_process_finds_what_a_killed_one_had_accepted(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    buyers: list[int],
    settings: Settings,
    database_url: str,
    hold_row: Callable[[int], Sql],
    sql: Sql,
) -> None:
    """Jobs in the queue of a process that is gone are decided by another, without being asked."""
    event_id = make_event(capacity=100)
    stranger = hold_row(event_id)
    first = supervise()
    jobs = _submit(first, event_id, buyers[:10])
    first.stop(timeout=0.5)
    assert _order(sql, event_id) == []

    supervise()
    stranger.rollback()

    wait_decided(database_url, jobs)
    assert _order(sql, event_id) == jobs


def test_a_process_with_another_lease_is_no_trouble(
    supervise: Callable[..., Supervisor], make_event: Callable[..., int], buyers: list[int], database_url: str
) -> None:
    """Leases are judged by PostgreSQL's clock and the row, not by the settings of whoever asks."""
    long, short = supervise(lease_s=30.0), supervise(lease_s=0.2)
    events = [make_event(capacity=50) for _ in range(4)]

    jobs = []
    for user_id in buyers[:20]:
        for number, event_id in enumerate(events):
            jobs += _submit((long, short)[number % 2], event_id, [user_id])

    wait_decided(database_url, jobs)
    check_rows(database_url, accepted=jobs)


def test_the_settings_of_both_are_their_own(settings: Settings) -> None:
    """Two supervisors may be built side by side in one process, before either is started."""
    first, second = Supervisor(settings), Supervisor(replace(settings, batch_max=7))

    assert first.settings.batch_max != second.settings.batch_max
    assert first._owner != second._owner
    first.stop()
    second.stop()
