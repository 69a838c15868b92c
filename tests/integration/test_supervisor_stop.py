"""Starting and stopping: a guest that leaves nothing behind, and loses nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pykka
import pytest

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.config import Settings
from aurora_atlan.persistence.records import Job
from aurora_atlan.supervisor import Supervisor
from harness_sales import wait_decided, wait_until

Sql = psycopg.Connection[Any]
Supervise = Callable[..., Supervisor]
MakeEvent = Callable[..., int]


@pytest.fixture
def no_thread_left() -> Any:
    """After the test no thread is left that was not there before it."""
    before = set(threading.enumerate())
    yield
    wait_until(lambda: not _new_threads(before), 3.0, f"no thread is left: {_new_threads(before)}")


def _new_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before]


def _submit(supervisor: Supervisor, event_id: int, users: list[int]) -> list[UUID]:
    return [supervisor.submit(BookTickets(event_id, user_id)).job_id for user_id in users]


def _stopped_within(supervisor: Supervisor, limit_s: float, timeout_s: float = 20.0) -> None:
    began = time.monotonic()
    supervisor.stop(timeout_s)
    assert time.monotonic() - began < limit_s


def test_a_stop_leaves_no_thread_and_no_actor(
    settings: Settings, make_event: MakeEvent, buyers: list[int], database_url: str
) -> None:
    """Whatever ran for us is gone, the host's own actors live, and its logging is as it was."""
    host = pykka.ThreadingActor.start()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    before = set(threading.enumerate())
    supervisor = Supervisor(settings)
    supervisor.start()
    wait_until(lambda: supervisor.health().ready, 10, "it is ready")
    events = [make_event() for _ in range(5)]
    before |= {thread for thread in threading.enumerate() if thread.name.startswith("aurora-atlan-")}
    for event_id in events:
        wait_decided(database_url, _submit(supervisor, event_id, buyers[:2]))
    assert len(pykka.ActorRegistry.get_all()) == 1

    _stopped_within(supervisor, 3.0)

    assert [thread.name for thread in _new_threads(before) if "aurora" in thread.name or "Actor" in thread.name] == []
    assert host.is_alive()
    assert (root.handlers, root.level) == (handlers, level)
    host.stop()


def test_a_stop_leaves_no_connection(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], sql: Sql, database_url: str
) -> None:
    """PostgreSQL has no session of ours left: neither the pool's, nor the owner's lock, nor the relay's."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    before = sql.execute(others).fetchone()
    supervisor = supervise()
    wait_decided(database_url, _submit(supervisor, make_event(), buyers[:2]))

    supervisor.stop()

    wait_until(lambda: sql.execute(others).fetchone()[0] <= before[0] + 2, 3, "the sessions are closed")


def test_what_is_undecided_waits_for_the_next_start(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], sql: Sql, database_url: str
) -> None:
    """A stop in the middle of a sale loses nothing: the next start decides the rest, in order."""
    first = supervise(batch_max=5)
    event_id = make_event(capacity=200)
    jobs = _submit(first, event_id, buyers)
    first.stop()

    supervise()
    wait_decided(database_url, jobs)

    rows = sql.execute("SELECT job_id FROM booking_ledger WHERE job_id IS NOT NULL ORDER BY entry_number").fetchall()
    assert [job_id for (job_id,) in rows] == jobs


def test_nothing_is_accepted_after_a_stop(supervise: Supervise, make_event: MakeEvent, buyers: list[int]) -> None:
    """Whoever comes too late is told to try again, and nothing is enqueued."""
    supervisor = supervise()
    event_id = make_event()
    supervisor.stop()

    with pytest.raises(UnavailableError):
        supervisor.submit(BookTickets(event_id, buyers[0]))


def test_stopping_again_does_nothing_from_any_thread(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], database_url: str
) -> None:
    """Ten threads stop it at once, and all return when it has stopped."""
    supervisor = supervise()
    wait_decided(database_url, _submit(supervisor, make_event(), buyers[:1]))
    barrier = threading.Barrier(10)
    states = []

    def stop() -> None:
        barrier.wait(5)
        supervisor.stop()
        states.append(supervisor.health().ready)

    threads = [threading.Thread(target=stop) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert states == [False] * 10
    supervisor.stop()


def test_one_that_was_never_started_can_be_stopped(settings: Settings, no_thread_left: None) -> None:
    """A host that fails while it starts may stop everything without asking."""
    _stopped_within(Supervisor(settings), 1.0)


def test_starting_and_stopping_leaves_nothing_however_often(
    settings: Settings, no_thread_left: None, enqueue: Callable[..., Job], make_event: MakeEvent
) -> None:
    """Stopped at any moment of its start it is gone in a moment."""
    events = [make_event() for _ in range(10)]
    for event_id in events:
        enqueue(event_id, 2**40)
    for turn in range(8):
        supervisor = Supervisor(settings)
        supervisor.start()
        if turn % 2:
            wait_until(supervisor._cells.alive, 5, "the first actors live")
        _stopped_within(supervisor, 4.0)


def test_a_stop_while_hundreds_of_events_start_is_quick(
    settings: Settings, no_thread_left: None, enqueue: Callable[..., Job], make_event: MakeEvent, buyers: list[int]
) -> None:
    """Actors that are being started when the stop comes are stopped with the others."""
    events = [make_event() for _ in range(150)]
    for event_id in events:
        enqueue(event_id, buyers[0])
    supervisor = Supervisor(settings)
    supervisor.start()
    wait_until(supervisor._cells.alive, 5, "the first actors live")

    _stopped_within(supervisor, 5.0)

    assert supervisor._cells.alive() == []


def test_a_stop_does_not_wait_for_a_row_that_is_held(
    settings: Settings,
    make_event: MakeEvent,
    buyers: list[int],
    hold_row: Callable[[int], Sql],
) -> None:
    """Its time limit holds although a batch cannot be decided, and no actor's thread outlives it."""
    event_id = make_event()
    hold_row(event_id)
    before = set(threading.enumerate())
    supervisor = Supervisor(replace(settings, lock_timeout_s=0.2))
    supervisor.start()
    wait_until(lambda: supervisor.health().ready, 10, "it is ready")
    _submit(supervisor, event_id, buyers[:3])
    cell = wait_until(lambda: supervisor._cells.get(event_id), 5, "the event is known")
    wait_until(lambda: cell.ref is not None and cell.busy, 5, "its batch is in flight")

    _stopped_within(supervisor, 3.0, timeout_s=0.5)

    wait_until(lambda: not _new_threads(before), 3.0, "no thread of ours is left")


def test_a_supervisor_is_a_context_manager(
    settings: Settings, no_thread_left: None, make_event: MakeEvent, buyers: list[int], database_url: str
) -> None:
    """Started on entering, stopped on leaving, also by an exception."""
    event_id = make_event()

    with pytest.raises(KeyError), Supervisor(settings) as supervisor:  # noqa: PT012 - leaving the block is the point
        wait_until(lambda: supervisor.health().ready, 10, "it is ready")
        wait_decided(database_url, _submit(supervisor, event_id, buyers[:1]))
        raise KeyError("the host's own")

    assert not supervisor.health().ready
