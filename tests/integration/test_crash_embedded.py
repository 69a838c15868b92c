"""A guest in its host: what was there before start is there after stop, and nothing else."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from dataclasses import replace
from typing import Any

import psutil
import psycopg
import pykka
import pytest

from aurora_atlan import supervisor as supervisor_module
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.config import Settings
from aurora_atlan.persistence.outbox import OutcomeNotice
from aurora_atlan.supervisor import Supervisor
from harness.databases import Databases
from harness_sales import (
    Rush,
    attempts,
    check_audit,
    check_rows,
    check_sale,
    make_buyers,
    make_event,
    running,
    sold,
    wait_decided,
    wait_until,
)


def threads() -> list[str]:
    """Return the names of this process's threads."""
    return sorted(thread.name for thread in threading.enumerate())


def descriptors() -> int:
    """Return how many files and sockets this process has open."""
    gc.collect()
    return psutil.Process().num_fds()


def test_ten_starts_and_stops_leave_nothing_behind(settings: Settings) -> None:
    """Threads, descriptors, signal handlers, log handlers and the Pykka registry are as before, ten times over."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor:
        events = [make_event(supervisor, 1000) for _ in range(3)]
    before = (threads(), descriptors())
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    logging_before = (list(logging.getLogger().handlers), logging.getLogger().level)
    affinity = os.sched_getaffinity(0)
    for _ in range(10):
        with running(settings) as supervisor:
            rush = Rush(supervisor, attempts(events, make_buyers(url, 30), keyed=False), threads=4).run()
            wait_decided(url, rush.jobs)
        assert threads() == before[0]
        assert descriptors() == before[1]
    assert handlers == {number: signal.getsignal(number) for number in handlers}
    assert logging_before == (list(logging.getLogger().handlers), logging.getLogger().level)
    assert affinity == os.sched_getaffinity(0)
    assert pykka.ActorRegistry.get_all() == []


def test_stop_amid_a_rush_leaves_the_rest_for_the_next_start(settings: Settings) -> None:
    """Everything accepted before and during the stop is decided by the next supervisor, in order, once."""
    url = settings.database_url
    assert url is not None
    before = threads()
    with running(settings) as supervisor:
        events = [make_event(supervisor, 100) for _ in range(4)]
        rush = Rush(supervisor, attempts(events, make_buyers(url, 2000), keyed=False)).start()
        wait_until(lambda: len(rush.accepted) >= 400, 10.0, "bookings are accepted")
        stopped_at = time.monotonic()
        supervisor.stop()
        assert time.monotonic() - stopped_at < 3.0
        rush.join()
    assert threads() == before
    with psycopg.connect(url) as connection:
        owned = connection.execute("SELECT event_id FROM event_inventory WHERE owner IS NOT NULL").fetchall()
    # Another process need not wait for a lease to end.
    assert owned == []
    with running(settings) as supervisor:
        rush.supervisor = supervisor
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 5.0, "everything queued is decided")
        check_sale(settings, rush)
        assert [sold(url, event) for event in events] == [100] * 4


def test_stop_by_many_threads_at_once_stops_once(settings: Settings) -> None:
    """Ten threads stop the same supervisor; all return soon, and a booking afterwards is refused."""
    before = threads()
    with running(settings) as supervisor:
        event = make_event(supervisor, 10)
        assert settings.database_url is not None
        [buyer] = make_buyers(settings.database_url, 1)
        barrier = threading.Barrier(11)

        def stop() -> None:
            barrier.wait(5)
            supervisor.stop()

        stoppers = [threading.Thread(target=stop) for _ in range(10)]
        for stopper in stoppers:
            stopper.start()
        barrier.wait(5)
        for stopper in stoppers:
            stopper.join(5.0)
            assert not stopper.is_alive()
        with pytest.raises(supervisor_module.UnavailableError):
            supervisor.submit(BookTickets(event, buyer))
    assert threads() == before


def test_a_supervisor_that_was_never_started_can_be_stopped(settings: Settings) -> None:
    """Stopping it is harmless and leaves nothing."""
    before = (threads(), descriptors())
    Supervisor(settings).stop()
    assert (threads(), descriptors()) == before


def test_stop_waits_for_an_actor_that_is_just_starting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An actor that starts while the supervisor stops is stopped with it, and does not use up the time for it."""
    url = settings.database_url
    assert url is not None
    starting, may_go_on = threading.Event(), threading.Event()

    class Slow(BookingActor):
        @classmethod
        def start_hidden(cls, *args: Any, **kwargs: Any) -> Any:
            starting.set()
            assert may_go_on.wait(10)
            return super().start_hidden(*args, **kwargs)

    monkeypatch.setattr(supervisor_module, "BookingActor", Slow)
    before = threads()
    supervisor = Supervisor(settings)
    supervisor.start()
    stopper = threading.Thread(target=supervisor.stop)
    try:
        wait_until(lambda: supervisor.health().ready, 10.0, "the supervisor is ready")
        event = make_event(supervisor, 10)
        [buyer] = make_buyers(url, 1)
        receipt = supervisor.submit(BookTickets(event, buyer))
        assert starting.wait(5)
        stopper.start()
        wait_until(lambda: not supervisor.health().ready, 2.0, "it stops accepting")
    finally:
        may_go_on.set()
        stopper.join(3.0)
        late = stopper.is_alive()
        stopper.join(30.0)
    assert not late
    assert threads() == before
    with running(settings):
        wait_decided(url, [receipt.job_id], timeout_s=3.0)


def test_stop_with_postgresql_out_of_reach_leaves_no_thread(settings: Settings, databases: Databases) -> None:
    """Batches that cannot be committed stay in the queue; stop returns soon and the next start decides them."""
    url = settings.database_url
    assert url is not None
    before = threads()
    with running(settings) as supervisor:
        event = make_event(supervisor, 10)
        buyers = make_buyers(url, 21)
        wait_decided(url, [supervisor.submit(BookTickets(event, buyers.pop())).job_id])
        with databases.out_of_reach(url):
            rush = Rush(supervisor, attempts([event], buyers), threads=4).run()
            wait_until(lambda: not supervisor.health().components["postgresql"].ok, 3.0, "health says so")
            stopped_at = time.monotonic()
            supervisor.stop()
            assert time.monotonic() - stopped_at < 6.0
            assert threads() == before
    with running(settings):
        wait_decided(url, rush.jobs, timeout_s=3.0)
        assert sold(url, event) == 10


def test_a_slow_receiver_of_outcomes_is_not_called_after_stop(settings: Settings) -> None:
    """Stop relays for its two seconds; what is left waits for the next start, and no thread goes on telling."""
    url = settings.database_url
    assert url is not None
    told: list[OutcomeNotice] = []
    all_wait, nobody_rings = threading.Event(), threading.Event()

    def slow(outcome: OutcomeNotice) -> None:
        told.append(outcome)
        assert all_wait.wait(20)
        nobody_rings.wait(0.02)

    before = threads()
    with running(settings, on_outcome=slow) as supervisor:
        event = make_event(supervisor, 1000)
        rush = Rush(supervisor, attempts([event], make_buyers(url, 600), keyed=False)).run()
        wait_decided(url, rush.jobs)
        first = len(told)
        all_wait.set()
        wait_until(lambda: len(told) > first + 40, 5.0, "it is being told of many")
    assert threads() == before
    assert len(told) < 600
    seen = {outcome.job_id for outcome in told}
    with running(settings, on_outcome=told.append):
        wait_until(lambda: seen | {outcome.job_id for outcome in told} == set(rush.jobs), 5.0, "all were told")


def test_outcomes_are_told_at_least_once_and_in_order_by_a_receiver_that_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that raises now and then is told again; first deliveries of each event come in the ledger's order."""
    url = settings.database_url
    assert url is not None
    monkeypatch.setattr("aurora_atlan.actors.relay._PAUSE_AFTER_ERROR_S", 0.05)
    monkeypatch.setattr("aurora_atlan.actors.relay._PAUSE_S", 0.05)
    told: list[OutcomeNotice] = []
    calls = iter(range(10**6))

    def failing(outcome: OutcomeNotice) -> None:
        if next(calls) % 40 == 39:
            raise ValueError("as the test wants")
        told.append(outcome)

    with running(settings, on_outcome=failing) as supervisor:
        events = [make_event(supervisor, 10) for _ in range(2)]
        rush = Rush(supervisor, attempts(events, make_buyers(url, 60))).run()
        check_sale(settings, rush)
        wait_until(lambda: {outcome.job_id for outcome in told} >= set(rush.jobs), 10.0, "all were told")
    for event in events:
        numbers: list[int] = []
        for outcome in told:
            if outcome.event_id == event and outcome.entry_number not in numbers:
                numbers.append(outcome.entry_number)
        assert numbers == sorted(numbers)


def test_two_supervisors_in_one_process_keep_to_their_own_stores(settings: Settings, databases: Databases) -> None:
    """Two sales over two databases, at once, with the same event ids: neither sees anything of the other's."""
    assert settings.redis_url is not None
    with databases.migrated() as second_url:
        second_settings = replace(
            settings,
            database_url=second_url,
            migrator_database_url=second_url,
            redis_url=settings.redis_url.replace("db=0", "db=1"),
        )
        with running(settings) as first, running(second_settings) as second:
            rushes = []
            for supervisor, capacity in ((first, 30), (second, 70)):
                url = supervisor.settings.database_url
                assert url is not None
                event = make_event(supervisor, capacity)
                assert event == 1
                rushes.append(Rush(supervisor, attempts([event], make_buyers(url, 150), keyed=False), threads=8))
            for rush in rushes:
                rush.start()
            for rush in rushes:
                rush.join()
            check_sale(settings, rushes[0])
            check_sale(second_settings, rushes[1])
            assert sold(settings.database_url or "", 1) == 30
            assert sold(second_url, 1) == 70
            assert first.status(rushes[1].jobs[0]) is None
            first.stop()
            late = second.submit(BookTickets(1, rushes[1].attempts[0].user_id))
            wait_decided(second_url, [late.job_id])
            assert second.health().ready


def test_a_crowd_at_a_fresh_event_is_accepted(settings: Settings) -> None:
    """Two hundred threads that book the first tickets of an event at the same moment are all accepted."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor:
        event = make_event(supervisor, 100)
        rush = Rush(supervisor, attempts([event], make_buyers(url, 200), keyed=False), threads=200).run()
        assert not rush.refusals, rush.refusals[:3]
        check_sale(settings, rush)
        check_rows(url, accepted=rush.jobs)
        check_audit(settings)
