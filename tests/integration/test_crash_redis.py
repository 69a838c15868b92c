"""Redis dies, is away, forgets, or comes back older: callers learn at once, and PostgreSQL's word stands."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets, JobState
from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedRedis
from aurora_atlan.supervisor import Supervisor
from harness_sales import (
    Rush,
    attempts,
    check_answers,
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


@pytest.fixture
def settings(settings: Settings, own_redis: EmbeddedRedis) -> Settings:
    """The settings over this test's own Redis, with the default waits of the accepting path."""
    return replace(settings, redis_url=own_redis.url())


def kill(server: EmbeddedRedis) -> None:
    """SIGKILL the server and see it gone."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: server.pid is None, 5.0, "Redis is gone")


def check_queues_empty(server: EmbeddedRedis) -> None:
    """Nothing half-written is left: no entry, no count of a user's jobs, no event with work."""
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        for key in client.scan_iter("{aa:*"):
            kind = key.rpartition(":")[2]
            if kind == "jobs":
                assert client.xlen(key) == 0, key
            assert kind not in ("users", "pending"), (key, client.type(key))


def test_redis_killed_and_restarted_during_bookings_loses_nothing(settings: Settings, own_redis: EmbeddedRedis) -> None:
    """With AOF always: refusals within 1.5 s, soon accepted again, every accepted job decided, the order kept."""
    assert settings.database_url is not None
    with running(settings) as supervisor:
        events = [make_event(supervisor, 100) for _ in range(3)]
        buyers = make_buyers(settings.database_url, 1500)
        rush = Rush(supervisor, attempts(events, buyers)).start()
        for crash in range(1, 4):
            wait_until(lambda crash=crash: len(rush.accepted) >= 300 * crash, 10.0, "bookings are accepted")
            refused = len(rush.refusals)
            kill(own_redis)
            wait_until(lambda refused=refused: len(rush.refusals) > refused, 3.0, "somebody is refused")
            wait_until(lambda: not supervisor.health().ready, 2.0, "readiness says so")
            own_redis.start()
            wait_until(lambda: supervisor.health().ready, 2.0, "it is ready again")
        rush.join()
        assert len(rush.accepted) == 1500
        assert rush.slowest_refusal_s < 1.5
        check_sale(settings, rush)
        assert [sold(settings.database_url, event) for event in events] == [100] * 3
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 2.0, "everything is finished in Redis")
        check_queues_empty(own_redis)


def test_attempts_without_a_key_are_counted_once_although_redis_was_killed(
    settings: Settings, own_redis: EmbeddedRedis
) -> None:
    """A refused attempt was either never queued, or has the job id that came with the refusal."""
    assert settings.database_url is not None
    with running(settings) as supervisor:
        event = make_event(supervisor, 1000)
        buyers = make_buyers(settings.database_url, 600)
        rush = Rush(supervisor, attempts([event], buyers, keyed=False)).start()
        wait_until(lambda: len(rush.accepted) >= 150, 10.0, "bookings are accepted")
        kill(own_redis)
        wait_until(lambda: rush.refusals, 3.0, "somebody is refused")
        own_redis.start()
        rush.join()
        wait_until(lambda: supervisor.health().ready, 3.0, "it is ready again")
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 3.0, "everything is decided")
        check_sale(settings, rush)
        assert sold(settings.database_url, event) >= len(rush.accepted)


def test_redis_that_hangs_is_answered_within_a_second_and_a_half(settings: Settings, own_redis: EmbeddedRedis) -> None:
    """A frozen Redis costs each caller less than 1.5 s, then nothing; when it wakes, nobody has booked twice."""
    assert settings.database_url is not None
    with running(settings) as supervisor:
        event = make_event(supervisor, 200)
        buyers = make_buyers(settings.database_url, 400)
        rush = Rush(supervisor, attempts([event], buyers)).start()
        wait_until(lambda: len(rush.accepted) >= 50, 10.0, "bookings are accepted")
        assert own_redis.pid is not None
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: rush.refusals, 2.0, "somebody is refused")
            wait_until(lambda: not supervisor.health().ready, 2.0, "readiness says so")
            asked_at = time.monotonic()
            with pytest.raises(UnavailableError):
                supervisor.submit(BookTickets(event, buyers[0]))
            assert time.monotonic() - asked_at < 0.1
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        rush.join()
        assert rush.slowest_refusal_s < 1.5
        check_sale(settings, rush)
        assert sold(settings.database_url, event) == 200


def test_redis_down_at_start_is_waited_for(settings: Settings, own_redis: EmbeddedRedis) -> None:
    """The supervisor starts, refuses bookings at once, says so in its health, and is ready when Redis comes."""
    assert settings.database_url is not None
    own_redis.stop()
    supervisor = Supervisor(settings)
    supervisor.start()
    try:
        wait_until(lambda: supervisor.health().components["postgresql"].ok, 3.0, "PostgreSQL is reached")
        assert not supervisor.health().ready
        assert not supervisor.health().components["redis"].ok
        event = make_event(supervisor, 10)
        [buyer] = make_buyers(settings.database_url, 1)
        asked_at = time.monotonic()
        with pytest.raises(UnavailableError):
            supervisor.submit(BookTickets(event, buyer))
        assert time.monotonic() - asked_at < 1.5
        own_redis.start()
        wait_until(lambda: supervisor.health().ready, 2.0, "it is ready")
        receipt = supervisor.submit(BookTickets(event, buyer))
        assert supervisor.health().components["redis"].values["durability"] == "always"
        wait_decided(settings.database_url, [receipt.job_id], timeout_s=2.0)
    finally:
        supervisor.stop()


def test_an_emptied_redis_neither_oversells_nor_answers_twice(settings: Settings, own_redis: EmbeddedRedis) -> None:
    """After FLUSHALL amid a rush bookings go on by themselves; what was decided stays; numbers go on rising."""
    assert settings.database_url is not None
    with running(settings) as supervisor, redis.Redis.from_url(own_redis.url()) as client:
        events = [make_event(supervisor, 60) for _ in range(3)]
        buyers = make_buyers(settings.database_url, 900)
        rush = Rush(supervisor, attempts(events, buyers)).start()
        for flush in range(1, 4):
            wait_until(lambda flush=flush: len(rush.accepted) >= 200 * flush, 10.0, "bookings are accepted")
            client.flushall()
        rush.join()
        # One whose event was forgotten a second time within the same breath is told to try again.
        assert len(rush.accepted) == 900
        # Jobs that were only in Redis are gone, beyond any class of durability; their status says so.
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 5.0, "everything queued is decided")
        decided = [job_id for job_id in rush.jobs if supervisor.status(job_id) is not None]
        wait_decided(settings.database_url, decided)
        check_rows(
            settings.database_url, accepted=decided, perhaps=set(rush.jobs) - set(decided), restarts_allowed=True
        )
        check_answers(supervisor, settings.database_url, decided)
        check_audit(settings)
        assert [sold(settings.database_url, event) for event in events] == [60] * 3

        new = [supervisor.submit(BookTickets(event, buyers[0])) for event in events]
        for receipt in new:
            before = [old.queue_number for old in rush.accepted.values() if old.event_id == receipt.event_id]
            assert receipt.queue_number > max(before)
        wait_decided(settings.database_url, [receipt.job_id for receipt in new])
        check_audit(settings)


def test_a_keyed_job_that_redis_forgot_keeps_its_answer(settings: Settings, own_redis: EmbeddedRedis) -> None:
    """The same Idempotency-Key means the same job after Redis lost everything: one booking, the same answer."""
    assert settings.database_url is not None
    with running(settings) as supervisor, redis.Redis.from_url(own_redis.url()) as client:
        event = make_event(supervisor, 1)
        winner, loser = make_buyers(settings.database_url, 2)
        first = supervisor.submit(BookTickets(event, winner, idempotency_key="mine"))
        second = supervisor.submit(BookTickets(event, loser, idempotency_key="mine"))
        wait_decided(settings.database_url, [first.job_id, second.job_id])
        before = [supervisor.status(receipt.job_id) for receipt in (first, second)]
        client.flushall()
        for receipt, buyer, known in ((second, loser, before[1]), (first, winner, before[0])):
            again = supervisor.submit(BookTickets(event, buyer, idempotency_key="mine"))
            assert again.job_id == receipt.job_id
            # Even before it has come to its turn once more.
            told = supervisor.status(again.job_id)
            assert told is not None
            assert known is not None
            assert (told.status, told.reason, told.booking) == (known.status, known.reason, known.booking)
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 3.0, "both have had their turn again")
        check_answers(supervisor, settings.database_url, [first.job_id, second.job_id])
        check_rows(settings.database_url, accepted=[first.job_id, second.job_id])
        check_audit(settings)
        assert sold(settings.database_url, event) == 1


def test_jobs_lost_before_their_decision_are_unknown_and_may_be_booked_again(
    settings: Settings, own_redis: EmbeddedRedis
) -> None:
    """A job that only Redis held is unknown when Redis forgets it; the same key queues it once more, once."""
    assert settings.database_url is not None
    with running(settings) as supervisor, redis.Redis.from_url(own_redis.url()) as client:
        event = make_event(supervisor, 10)
        buyers = make_buyers(settings.database_url, 5)
        supervisor.pause(event)
        wishes = [BookTickets(event, buyer, idempotency_key="mine") for buyer in buyers]
        lost = [supervisor.submit(wish) for wish in wishes]
        wait_until(
            lambda: not any(cell.busy for cell in supervisor._cells.alive()), 3.0, "the actor has let go of them"
        )
        client.flushall()
        assert [supervisor.status(receipt.job_id) for receipt in lost] == [None] * 5
        again = [supervisor.submit(wish) for wish in wishes]
        assert [receipt.job_id for receipt in again] == [receipt.job_id for receipt in lost]
        assert min(receipt.queue_number for receipt in again) > max(receipt.queue_number for receipt in lost)
        supervisor.resume(event)
        wait_decided(settings.database_url, [receipt.job_id for receipt in again], timeout_s=3.0)
        check_rows(settings.database_url, accepted=[receipt.job_id for receipt in again])
        check_audit(settings)
        assert sold(settings.database_url, event) == 5


def test_a_redis_replaced_by_an_older_copy_changes_no_answer(
    settings: Settings, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    """Jobs that come back from the past keep their answers; new ones get numbers and are decided once."""
    assert settings.database_url is not None
    url = settings.database_url
    # No sweep helps: the actor itself sees that its queue went back.
    with running(replace(settings, sweep_s=60.0)) as supervisor:
        event = make_event(supervisor, 40)
        buyers = make_buyers(url, 90)
        wishes = attempts([event], buyers)

        def book(wishes: list[BookTickets]) -> Rush:
            return Rush(supervisor, wishes, threads=4).run()

        decided = book(wishes[:20])
        wait_decided(url, decided.jobs)
        supervisor.pause(event)
        in_copy = book(wishes[20:30])
        files = [path for path in own_redis.socket.parent.iterdir() if "aof" in path.name]
        assert files
        for path in files:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
        after_copy = book(wishes[30:40])
        supervisor.resume(event)
        told = {**decided.accepted, **in_copy.accepted, **after_copy.accepted}
        wait_decided(url, list(told))
        before = {job_id: supervisor.status(job_id) for job_id in told}

        kill(own_redis)
        for path in files:
            if path.is_dir():
                shutil.rmtree(path)
                shutil.copytree(tmp_path / path.name, path)
            else:
                shutil.copy(tmp_path / path.name, path)
        own_redis.start()
        wait_until(lambda: supervisor.health().ready, 3.0, "it is ready again")

        again = book(wishes[40:])
        # The same keys as before mean the same jobs.
        repeated = book(wishes[:40])
        assert set(repeated.accepted) == set(told)
        wait_decided(url, again.jobs)
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 3.0, "everything queued is decided")
        for job_id, known in before.items():
            status = supervisor.status(job_id)
            assert status is not None
            assert known is not None
            assert (status.status, status.reason, status.booking) == (known.status, known.reason, known.booking)
            assert status.status is JobState.COMPLETED
        check_rows(url, accepted=[*told, *again.jobs], restarts_allowed=True)
        check_answers(supervisor, url, again.jobs)
        check_audit(settings)
        check_queues_empty(own_redis)
        assert sold(url, event) == 40


def test_a_withdrawn_job_is_not_sold_and_its_key_tells_so(settings: Settings) -> None:
    """A withdrawn job's one answer is "cancelled", and a repeated key is told that nothing is ahead of it any more."""
    assert settings.database_url is not None
    with running(settings) as supervisor:
        event = make_event(supervisor, 10)
        [buyer] = make_buyers(settings.database_url, 1)
        supervisor.pause(event)
        receipt = supervisor.submit(BookTickets(event, buyer, idempotency_key="mine"))
        supervisor.withdraw(receipt.job_id)
        supervisor.withdraw(receipt.job_id)
        again = supervisor.submit(BookTickets(event, buyer, idempotency_key="mine"))
        assert again.job_id == receipt.job_id
        assert again.queue_position == 0
        status = supervisor.status(receipt.job_id)
        assert status is not None
        assert (status.status, status.reason) == (JobState.FAILED, "cancelled")
        supervisor.resume(event)
        other = supervisor.submit(BookTickets(event, buyer))
        wait_decided(settings.database_url, [other.job_id])
        check_rows(settings.database_url, accepted=[receipt.job_id, other.job_id])
        check_audit(settings)
        assert sold(settings.database_url, event) == 1
