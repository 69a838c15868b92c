"""PostgreSQL that neither answers nor goes away: only a watchdog on our side can end the wait."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import psutil
import pytest

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets, JobState, Receipt
from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedPostgres, EmbeddedRedis
from aurora_atlan.persistence.inventory import UnitOfWork
from aurora_atlan.supervisor import Supervisor
from harness.databases import FAST, Databases
from harness.short_paths import short_folder
from harness_sales import (
    Rush,
    attempts,
    check_sale,
    make_buyers,
    make_event,
    running,
    sold,
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
