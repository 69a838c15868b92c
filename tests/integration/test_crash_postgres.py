"""PostgreSQL goes away, comes back, breaks connections, hangs: bookings are accepted, wait, and are decided once."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psutil
import psycopg
import pytest

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets, JobState, Receipt
from aurora_atlan.config import Settings
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.embedded import EmbeddedPostgres, EmbeddedRedis
from aurora_atlan.persistence.errors import StoreError, StoreUnavailableError
from aurora_atlan.persistence.inventory import UnitOfWork
from aurora_atlan.supervisor import Supervisor
from harness.databases import FAST, Databases
from harness.short_paths import short_folder
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
    undecided,
    wait_decided,
    wait_until,
)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of this module's own, which its tests may stop."""
    with short_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", options=FAST)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def own_databases(own_postgres: EmbeddedPostgres) -> Databases:
    """Its databases."""
    return Databases(own_postgres)


@pytest.fixture
def settings(settings: Settings, own_postgres: EmbeddedPostgres, own_databases: Databases) -> Iterator[Settings]:
    """Settings over a database of the PostgreSQL that may be stopped; it runs again afterwards."""
    with own_databases.migrated() as url:
        try:
            yield replace(settings, database_url=url, migrator_database_url=url)
        finally:
            if own_postgres.pid is None:
                own_postgres.start()


def begin(supervisor: Supervisor, capacities: Sequence[int]) -> tuple[list[int], list[Receipt]]:
    """Make events and sell the first ticket of each, so that Redis knows their numbers."""
    url = supervisor.settings.database_url
    assert url is not None
    events = [make_event(supervisor, capacity) for capacity in capacities]
    buyers = make_buyers(url, len(events))
    receipts = [supervisor.submit(BookTickets(event, buyer)) for event, buyer in zip(events, buyers, strict=True)]
    wait_decided(url, [receipt.job_id for receipt in receipts])
    return events, receipts


def processes(server: EmbeddedPostgres) -> list[psutil.Process]:
    """Return the server's processes, the postmaster first."""
    assert server.pid is not None
    postmaster = psutil.Process(server.pid)
    return [postmaster, *postmaster.children(recursive=True)]


def book_for(supervisor: Supervisor, wishes: Iterator[BookTickets], seconds: float) -> list[Receipt]:
    """Let buyers come one after the other for a while."""
    receipts = []
    until = time.monotonic() + seconds
    nobody_rings = threading.Event()
    while time.monotonic() < until:
        receipts.append(supervisor.submit(next(wishes)))
        nobody_rings.wait(0.02)
    return receipts


def test_bookings_wait_for_postgresql_and_are_decided_when_it_is_back(
    settings: Settings, own_postgres: EmbeddedPostgres
) -> None:
    """Away for seconds: every booking is accepted meanwhile, the first commit comes within 2 s, and none fails."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor:
        events, first = begin(supervisor, [50, 50])
        wishes = iter(attempts(events, make_buyers(url, 600)))
        own_postgres.stop()
        # The pool tries to reconnect after 1, 2, 4... seconds, unless it is told otherwise.
        waiting = book_for(supervisor, wishes, 3.5)
        assert len(waiting) > 100
        health = supervisor.health()
        assert health.ready
        assert not health.components["postgresql"].ok
        own_postgres.start()
        jobs = [receipt.job_id for receipt in waiting]
        wait_until(lambda: undecided(url, jobs) < len(jobs), 2.0, "the first commit")
        wait_decided(url, jobs, timeout_s=3.0)
        wait_until(lambda: supervisor.health().components["postgresql"].ok, 2.0, "health says so")
        check_rows(url, accepted=[receipt.job_id for receipt in (*first, *waiting)])
        check_audit(settings)
        assert [sold(url, event) for event in events] == [50, 50]


def test_postgresql_restarting_under_load_costs_no_booking(settings: Settings, own_postgres: EmbeddedPostgres) -> None:
    """A gentle restart and one after SIGKILL amid a rush: nobody is refused, nothing is lost or doubled."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor:
        events, first = begin(supervisor, [100] * 3)
        rush = Rush(supervisor, attempts(events, make_buyers(url, 3000)), threads=8).start()
        wait_until(lambda: len(rush.accepted) >= 300, 10.0, "bookings are accepted")
        own_postgres.stop()
        own_postgres.start()
        wait_until(lambda: len(rush.accepted) >= 900, 10.0, "bookings are accepted")
        for process in processes(own_postgres):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(lambda: own_postgres.pid is None, 5.0, "PostgreSQL is gone")
        own_postgres.start()
        rush.join()
        assert not rush.refusals
        rush.accepted |= {receipt.job_id: receipt for receipt in first}
        check_sale(settings, rush)
        assert [sold(url, event) for event in events] == [100] * 3


def test_a_crowd_of_readers_during_an_outage_does_not_keep_the_pool_from_coming_back(
    settings: Settings, own_postgres: EmbeddedPostgres
) -> None:
    """More readers than may wait for a connection, until none is left: the first after the return gets one."""
    crowded = replace(settings, pool_waiting_max=4, pool_timeout_s=0.2)
    with running(crowded) as supervisor:
        [event], first = begin(supervisor, [10])
        own_postgres.stop()
        until = time.monotonic() + 1.5

        def ask() -> None:
            while time.monotonic() < until:
                with contextlib.suppress(StoreError):
                    supervisor.bookings.installation_key()

        readers = [threading.Thread(target=ask) for _ in range(16)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(10.0)
        own_postgres.start()
        wait_until(lambda: supervisor.health().components["postgresql"].ok, 3.0, "health says so")
        assert supervisor.bookings.installation_key()
        [buyer] = make_buyers(crowded.database_url or "", 1)
        last = supervisor.submit(BookTickets(event, buyer))
        wait_decided(crowded.database_url or "", [first[0].job_id, last.job_id], timeout_s=2.0)


def test_postgresql_down_at_start_is_waited_for(settings: Settings, own_postgres: EmbeddedPostgres) -> None:
    """The supervisor starts, says in its health what is missing, and decides within 2 s of PostgreSQL's coming."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor:
        [event], first = begin(supervisor, [30])
        buyers = make_buyers(url, 60)
        supervisor.pause(event)
        waiting = Rush(supervisor, attempts([event], buyers[:40])).run()
        supervisor.resume(event)
        # Whatever of them is undecided yet is found by the next start.
    own_postgres.stop()
    later = Supervisor(settings)
    later.start()
    try:
        wait_until(lambda: later.health().components["redis"].ok, 3.0, "Redis is reached")
        threading.Event().wait(3.5)
        assert not later.health().ready
        assert not later.health().components["postgresql"].ok
        own_postgres.start()
        wait_until(lambda: later.health().ready, 2.0, "it is ready")
        wait_decided(url, waiting.jobs, timeout_s=2.0)
        receipt = later.submit(BookTickets(event, buyers[-1]))
        wait_decided(url, [receipt.job_id], timeout_s=2.0)
        check_rows(url, accepted=[*waiting.jobs, first[0].job_id, receipt.job_id])
        check_audit(settings)
        assert sold(url, event) == 30
    finally:
        later.stop()


def test_backends_terminated_under_load_double_and_fail_nothing(settings: Settings) -> None:
    """Connections are cut at any moment, amid COMMIT too: what is unknown is done again and changes nothing."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor, psycopg.connect(url, autocommit=True) as operator:
        events, first = begin(supervisor, [100] * 4)
        rush = Rush(supervisor, attempts(events, make_buyers(url, 2000)), threads=8).start()

        def cut() -> int:
            [(count,)] = operator.execute(
                "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchall()
            return int(count)

        for turn in range(1, 13):
            wait_until(lambda turn=turn: rush.told >= 150 * turn, 10.0, "bookings are accepted")
            # However long this machine takes to connect again: twelve times there was something to cut.
            wait_until(cut, 10.0, "a connection is cut")
        rush.join()
        assert not rush.refusals
        rush.accepted |= {receipt.job_id: receipt for receipt in first}
        check_sale(settings, rush)
        assert [sold(url, event) for event in events] == [100] * 4
        wait_until(lambda: supervisor.health().components["postgresql"].ok, 3.0, "health says so")


@pytest.fixture
def lost_commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets every third transaction over inventory rows commit and then lose the connection; counts them."""
    counter = itertools.count(1)
    lost: list[int] = []
    unit_of_work = BookingStore.unit_of_work

    @contextmanager
    def losing(self: BookingStore) -> Iterator[UnitOfWork]:
        with unit_of_work(self) as work:
            yield work
        number = next(counter)
        if number % 3 == 0:
            lost.append(number)
            raise StoreUnavailableError("the connection was lost during COMMIT")

    monkeypatch.setattr(BookingStore, "unit_of_work", losing)
    return lost


def test_a_commit_whose_answer_is_lost_is_repeated_and_changes_nothing(
    settings: Settings, lost_commits: list[int]
) -> None:
    """Every third COMMIT succeeds without saying so; each job still has one outcome and each user one booking."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor:
        events, first = begin(supervisor, [40] * 3)
        rush = Rush(supervisor, attempts(events, make_buyers(url, 300))).run()
        rush.accepted |= {receipt.job_id: receipt for receipt in first}
        check_sale(settings, rush)
        assert [sold(url, event) for event in events] == [40] * 3
    assert lost_commits


def test_cancelling_and_its_kin_survive_a_lost_commit(settings: Settings, lost_commits: list[int]) -> None:
    """Cancel, withdraw, a new capacity and a pause happen exactly once although COMMIT's answer is lost."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor:
        [event], [first] = begin(supervisor, [5])
        rush = Rush(supervisor, attempts([event], make_buyers(url, 4)), threads=1).run()
        wait_decided(url, rush.jobs)
        told = [supervisor.status(job_id) for job_id in (first.job_id, *rush.jobs)]
        bookings = [status.booking for status in told if status is not None and status.booking is not None]
        assert len(bookings) == 5
        before = len(lost_commits)
        for booking in bookings:
            assert supervisor.cancel(booking.id).status == "cancelled"
        assert sold(url, event) == 0
        for capacity in (6, 7, 8, 9):
            assert supervisor.set_capacity(event, capacity).capacity == capacity
        for _ in range(3):
            supervisor.pause(event)
            [buyer] = make_buyers(url, 1)
            receipt = supervisor.submit(BookTickets(event, buyer))
            supervisor.withdraw(receipt.job_id)
            rush.accepted[receipt.job_id] = receipt
            supervisor.resume(event)
        assert len(lost_commits) - before >= 4
        check_rows(url, accepted=[first.job_id, *rush.jobs])
        check_audit(settings)


@pytest.fixture
def brisk(settings: Settings) -> Settings:
    """The settings with all of PostgreSQL's time limits at a tenth of their defaults."""
    return replace(
        settings, lock_timeout_s=0.1, statement_timeout_s=0.4, watchdog_s=0.8, idle_transaction_timeout_s=0.8
    )


def test_a_frozen_backend_holds_up_only_the_events_whose_rows_it_holds(
    brisk: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committer's backend is stopped amid its transaction: others are decided soon, these once it wakes."""
    url = brisk.database_url
    assert url is not None
    record = UnitOfWork.record
    frozen: list[int] = []
    armed = threading.Event()

    def freezing(self: UnitOfWork, *changes: Any) -> None:
        if armed.is_set() and not frozen:
            frozen.append(self._connection.info.backend_pid)
            os.kill(frozen[0], signal.SIGSTOP)
        record(self, *changes)

    monkeypatch.setattr(UnitOfWork, "record", freezing)
    with running(brisk) as supervisor:
        (held, other), first = begin(supervisor, [20, 20])
        buyers = make_buyers(url, 60)
        armed.set()
        try:
            stuck = Rush(supervisor, attempts([held], buyers[:30]), threads=4).run()
            wait_until(lambda: frozen, 3.0, "the backend is frozen")
            free = Rush(supervisor, attempts([other], buyers[30:]), threads=4).run()
            wait_decided(url, free.jobs, timeout_s=3.0)
            assert sold(url, other) == 20
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        free.accepted |= stuck.accepted | {receipt.job_id: receipt for receipt in first}
        check_sale(brisk, free)
        assert [sold(url, held), sold(url, other)] == [20, 20]


def test_a_frozen_postgresql_does_not_keep_bookings_from_being_accepted(
    brisk: Settings, own_postgres: EmbeddedPostgres
) -> None:
    """While all of PostgreSQL is stopped, a restart of Redis is noticed, and bookings are accepted again."""
    url = brisk.database_url
    assert url is not None
    with short_folder() as folder:
        own_redis = EmbeddedRedis(folder / "redis", folder / "redis.log")
        own_redis.start()
        try:
            with running(replace(brisk, redis_url=own_redis.url())) as supervisor:
                [event], first_sold = begin(supervisor, [20])
                unsold = make_event(supervisor, 20)
                first, second = make_buyers(url, 2)
                frozen = processes(own_postgres)
                try:
                    for process in frozen:
                        with contextlib.suppress(psutil.NoSuchProcess):
                            process.suspend()
                    waiting = [supervisor.submit(BookTickets(event, first))]
                    own_redis.stop()
                    wait_until(lambda: not supervisor.health().components["redis"].ok, 2.0, "health tells of Redis")
                    own_redis.start()
                    wait_until(lambda: supervisor.health().components["redis"].ok, 2.0, "Redis is noticed")
                    waiting.append(supervisor.submit(BookTickets(event, second)))
                    # What cannot be answered without PostgreSQL says so soon.
                    asked_at = time.monotonic()
                    with pytest.raises(UnavailableError):
                        supervisor.submit(BookTickets(unsold, second))
                    assert time.monotonic() - asked_at < 1.5
                    with pytest.raises(UnavailableError):
                        supervisor.status(first_sold[0].job_id)
                    assert time.monotonic() - asked_at < 4.0
                    wait_until(lambda: not supervisor.health().components["postgresql"].ok, 5.0, "health tells of both")
                finally:
                    for process in frozen:
                        with contextlib.suppress(psutil.NoSuchProcess):
                            process.resume()
                wait_decided(url, [receipt.job_id for receipt in waiting], timeout_s=3.0)
                status = supervisor.status(waiting[0].job_id)
                assert status is not None
                assert status.status is JobState.COMPLETED
        finally:
            own_redis.stop()
