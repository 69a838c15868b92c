"""Booking while Redis is away: refused, or with AURORA_DEGRADED_BOOKING decided at once in PostgreSQL."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import psycopg
import pytest

from aurora_atlan.actors.errors import IdempotencyConflictError, UnavailableError, UnknownEventError
from aurora_atlan.actors.messages import BookTickets, JobState
from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedRedis
from aurora_atlan.persistence.records import Reason
from aurora_atlan.supervisor import Supervisor
from harness_sales import (
    Rush,
    attempts,
    check_audit,
    check_rows,
    make_buyers,
    make_event,
    running,
    sold,
    wait_decided,
    wait_until,
)


@pytest.fixture
def degraded(settings: Settings, own_redis: EmbeddedRedis) -> Settings:
    """Settings over this test's own Redis, with degraded booking switched on."""
    return replace(settings, redis_url=own_redis.url(), degraded_booking=True)


def lose(server: EmbeddedRedis, supervisor: Supervisor) -> None:
    """Stop Redis and wait until the supervisor knows."""
    server.stop()
    wait_until(lambda: not supervisor.health().components["redis"].ok, 3.0, "health tells of Redis")


def test_bookings_are_answered_at_once_and_the_queue_goes_on_afterwards(
    degraded: Settings, own_redis: EmbeddedRedis
) -> None:
    """Before, during and after the outage: one ledger, no oversell, and the numbers of the queue go on."""
    url = degraded.database_url
    assert url is not None
    with running(degraded) as supervisor:
        event = make_event(supervisor, 4)
        buyers = make_buyers(url, 6)
        queued = supervisor.submit(BookTickets(event, buyers[0]))
        wait_decided(url, [queued.job_id])
        lose(own_redis, supervisor)

        assert supervisor.health().ready
        assert supervisor.health().degraded
        first = supervisor.submit(BookTickets(event, buyers[1], 2, "key"))
        assert first.answer is not None
        assert (first.answer.status, first.queue_number) == (JobState.COMPLETED, None)
        again = supervisor.submit(BookTickets(event, buyers[1], 2, "key"))
        assert again.answer == first.answer
        assert (first.replayed, again.replayed) == (False, True)
        with pytest.raises(IdempotencyConflictError):
            supervisor.submit(BookTickets(event, buyers[1], 1, "key"))
        refused = supervisor.submit(BookTickets(event, buyers[2], 2))
        assert refused.answer is not None
        assert (refused.answer.status, refused.answer.reason) == (JobState.FAILED, Reason.SOLD_OUT)
        assert supervisor.status(first.job_id) == first.answer
        with pytest.raises(UnknownEventError):
            supervisor.submit(BookTickets(event + 1, buyers[2]))

        own_redis.start()
        wait_until(lambda: not supervisor.health().degraded, 5.0, "Redis is noticed")
        last = supervisor.submit(BookTickets(event, buyers[3]))
        assert last.answer is None
        assert last.queue_number == 2
        wait_decided(url, [last.job_id])
        replayed = supervisor.submit(BookTickets(event, buyers[1], 2, "key"))
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 3.0, "the replay is decided")
        assert supervisor.status(replayed.job_id) == first.answer
        assert sold(url, event) == 4
        jobs = [queued.job_id, first.job_id, refused.job_id, last.job_id]
        check_rows(url, accepted=jobs)
        check_audit(degraded)


def test_an_attempt_that_redis_swallowed_has_one_outcome(degraded: Settings, own_redis: EmbeddedRedis) -> None:
    """Redis hangs amid a rush: those whose attempt timed out are decided directly, and not again when it wakes."""
    url = degraded.database_url
    assert url is not None
    with running(degraded) as supervisor:
        event = make_event(supervisor, 150)
        rush = Rush(supervisor, attempts([event], make_buyers(url, 300), keyed=False)).start()
        wait_until(lambda: len(rush.accepted) >= 50, 10.0, "bookings are accepted")
        assert own_redis.pid is not None
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: any(r.answer for r in list(rush.accepted.values())), 5.0, "some are decided directly")
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        rush.join()
        assert not rush.refusals
        wait_decided(url, rush.jobs)
        wait_until(lambda: supervisor.health().components["redis"].ok, 5.0, "Redis is noticed")
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 5.0, "the queue is empty")
        assert len(rush.accepted) == 300
        assert sold(url, event) == 150
        check_rows(url, accepted=rush.jobs)
        check_audit(degraded)


def test_a_crowd_of_direct_bookings_does_not_oversell(degraded: Settings, own_redis: EmbeddedRedis) -> None:
    """Sixteen callers at once, each deciding for itself under the row's lock."""
    url = degraded.database_url
    assert url is not None
    with running(degraded) as supervisor:
        event = make_event(supervisor, 20)
        lose(own_redis, supervisor)
        rush = Rush(supervisor, attempts([event], make_buyers(url, 60))).run()

        answers = [receipt.answer for receipt in rush.accepted.values()]
        assert sum(answer is not None and answer.status is JobState.COMPLETED for answer in answers) == 20
        assert sold(url, event) == 20
        check_rows(url, accepted=rush.jobs)
        check_audit(degraded)


def test_a_pause_holds_direct_bookings_too(degraded: Settings, own_redis: EmbeddedRedis) -> None:
    url = degraded.database_url
    assert url is not None
    with running(degraded) as supervisor:
        event = make_event(supervisor, 1)
        [buyer] = make_buyers(url, 1)
        lose(own_redis, supervisor)
        supervisor.pause(event)
        with pytest.raises(UnavailableError, match="paused"):
            supervisor.submit(BookTickets(event, buyer))
        supervisor.resume(event)
        receipt = supervisor.submit(BookTickets(event, buyer))
        assert receipt.answer is not None
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT queue_number FROM booking_ledger WHERE kind = 'confirmed'").fetchone()
        assert row == (None,)


def test_without_the_setting_bookings_are_refused(settings: Settings, own_redis: EmbeddedRedis) -> None:
    assert settings.database_url is not None
    with running(replace(settings, redis_url=own_redis.url())) as supervisor:
        event = make_event(supervisor, 1)
        [buyer] = make_buyers(settings.database_url, 1)
        lose(own_redis, supervisor)
        assert not supervisor.health().ready
        with pytest.raises(UnavailableError):
            supervisor.submit(BookTickets(event, buyer))
        assert sold(settings.database_url, event) == 0
