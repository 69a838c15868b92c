"""Jobs that Redis accepted and lost are reported: how many at most, in the log and in health."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
import redis

from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedRedis
from harness.short_paths import short_folder
from harness_sales import make_buyers, make_event, running, wait_decided, wait_until


@pytest.fixture
def forgetful_redis() -> Iterator[EmbeddedRedis]:
    """A running Redis of this test's own that keeps nothing over a crash."""
    with short_folder() as folder:
        server = EmbeddedRedis(folder / "redis", folder / "redis.log", durability="none")
        server.start()
        yield server
        server.stop()


@pytest.mark.parametrize("undecided", [3, 0])
def test_a_redis_that_comes_back_empty_is_reported(
    settings: Settings,
    forgetful_redis: EmbeddedRedis,
    hold_row: Callable[[int], psycopg.Connection[Any]],
    caplog: pytest.LogCaptureFixture,
    undecided: int,
) -> None:
    """Decided jobs are no loss; of those that waited, at most as many are lost as waited."""
    url = settings.database_url
    assert url is not None
    with running(replace(settings, redis_url=forgetful_redis.url())) as supervisor:
        event = make_event(supervisor, 10)
        buyers = make_buyers(url, 6)
        decided = [supervisor.submit(BookTickets(event, buyer)) for buyer in buyers[:2]]
        wait_decided(url, [receipt.job_id for receipt in decided])
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 3.0, "they are finished in Redis")
        stranger = hold_row(event)
        for buyer in buyers[2 : 2 + undecided]:
            supervisor.submit(BookTickets(event, buyer))

        assert forgetful_redis.pid is not None
        os.kill(forgetful_redis.pid, signal.SIGKILL)
        wait_until(lambda: forgetful_redis.pid is None, 5.0, "Redis is gone")
        wait_until(lambda: not supervisor.health().components["redis"].ok, 3.0, "health tells of Redis")
        with caplog.at_level(logging.ERROR):
            forgetful_redis.start()
            wait_until(lambda: supervisor.health().components["redis"].ok, 5.0, "Redis is noticed")
        values = supervisor.health().components["redis"].values
        stranger.rollback()

        assert values["lostAtMost"] == undecided
        assert values["rollbacks"] == (1 if undecided else 0)
        said = [record.getMessage() for record in caplog.records if "lost undecided" in record.getMessage()]
        assert len(said) == (1 if undecided else 0)
        # The numbers go on above everything that was ever given.
        last = supervisor.submit(BookTickets(event, buyers[5]))
        assert last.queue_number == 2 + undecided + 1
        wait_decided(url, [last.job_id])


def test_a_redis_that_forgot_without_being_away_is_reported(
    settings: Settings, redis_client: redis.Redis, hold_row: Callable[[int], psycopg.Connection[Any]]
) -> None:
    """Emptied behind our back, as by a failover that no connection noticed: the next booking brings it to light."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor:
        event = make_event(supervisor, 10)
        buyers = make_buyers(url, 4)
        first = supervisor.submit(BookTickets(event, buyers[0]))
        wait_decided(url, [first.job_id])
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 3.0, "it is finished in Redis")
        stranger = hold_row(event)
        for buyer in buyers[1:3]:
            supervisor.submit(BookTickets(event, buyer))
        redis_client.flushdb()

        last = supervisor.submit(BookTickets(event, buyers[3]))
        stranger.rollback()

        assert last.queue_number == 4
        assert supervisor.health().components["redis"].values["lostAtMost"] == 2
        wait_decided(url, [last.job_id])
