"""Idempotency keys: the same key is the same attempt, for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis

from aurora_atlan.actors.errors import IdempotencyConflictError
from aurora_atlan.actors.messages import BookTickets, JobState, Receipt
from aurora_atlan.config import Settings
from aurora_atlan.http.server import Server
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.errors import StoreUnavailableError
from aurora_atlan.persistence.records import Reason
from aurora_atlan.supervisor import Supervisor
from harness_http import Answer, Buyer, Client
from harness_sales import make_buyers, running, wait_decided, wait_until

Sql = psycopg.Connection[Any]
pytestmark = pytest.mark.usefixtures("audit_clean")


def _bookings(sql: Sql) -> int:
    row = sql.execute("SELECT count(*) FROM bookings").fetchone()
    assert row is not None
    return int(row[0])


def _decided(supervisor: Supervisor, job_id: UUID) -> Any:
    def told() -> Any:
        status = supervisor.status(job_id)
        return status if status is not None and status.queue_position == 0 else None

    return wait_until(told, 10, "the outcome is told")


def test_a_repeated_key_is_the_same_job_and_one_booking(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], sql: Sql
) -> None:
    """Before and after the decision the receipt names the same job and says that it is a replay."""
    attempt = BookTickets(make_event(), buyers[0], 2, "key")

    first = supervisor.submit(attempt)
    second = supervisor.submit(attempt)
    _decided(supervisor, first.job_id)
    third = supervisor.submit(attempt)

    assert first.job_id == second.job_id == third.job_id
    assert (first.replayed, second.replayed, third.replayed) == (False, True, True)
    assert first.accepted_at == second.accepted_at == third.accepted_at
    assert first.queue_number == third.queue_number
    assert third.queue_position == 0
    assert _bookings(sql) == 1


def test_twenty_at_once_with_one_key_are_one_job(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
    database_url: str,
) -> None:
    """Also when they come through two processes."""
    supervisors = [supervise(), supervise()]
    attempt = BookTickets(make_event(), buyers[0], 1, "key")
    barrier = threading.Barrier(20)
    receipts: list[Receipt] = []

    def submit(number: int) -> None:
        barrier.wait(10)
        receipts.append(supervisors[number % 2].submit(attempt))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(receipts) == 20
    assert len({(receipt.job_id, receipt.queue_number) for receipt in receipts}) == 1
    assert [receipt.replayed for receipt in receipts].count(False) == 1
    wait_decided(database_url, [receipts[0].job_id])
    assert _bookings(sql) == 1


def test_five_hundred_requests_with_one_key_are_one_booking(
    settings: Settings, make_event: Callable[..., int], sql: Sql, database_url: str
) -> None:
    """From fifty clients at once, over HTTP: each is told the same job, and all but the first that it was known."""
    with running(replace(settings, rate_limits="off")) as supervisor:
        server = Server(supervisor, supervisor.settings)
        server.start()
        try:
            event_id = make_event(capacity=100)
            [user_id] = make_buyers(database_url, 1)
            buyer = Buyer(user_id, TokenIssuer(supervisor.settings).issue(user_id, "USER", 1))
            barrier = threading.Barrier(50)
            answers: list[Answer] = []

            def book() -> None:
                with Client(f"http://127.0.0.1:{server.port}", buyer.token, timeout_s=30) as client:
                    barrier.wait(10)
                    answers.extend(client.book(event_id, "key") for _ in range(10))

            threads = [threading.Thread(target=book) for _ in range(50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            wait_decided(database_url, [UUID(answers[0].body["jobId"])])
        finally:
            server.stop(5)

    assert len(answers) == 500
    assert {answer.status for answer in answers} == {202}
    assert len({answer.body["jobId"] for answer in answers}) == 1
    assert len({answer.body["receipt"]["signature"] for answer in answers}) == 1
    replayed = [answer for answer in answers if answer.headers.get("Idempotent-Replayed") == "true"]
    assert len(replayed) == 499
    assert _bookings(sql) == 1
    assert sql.execute("SELECT sold FROM event_inventory").fetchone() == (1,)


def test_another_quantity_under_the_same_key_is_a_conflict(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], sql: Sql
) -> None:
    """Waiting or decided, the key stands for the first wish."""
    event_id = make_event()
    receipt = supervisor.submit(BookTickets(event_id, buyers[0], 1, "key"))

    with pytest.raises(IdempotencyConflictError):
        supervisor.submit(BookTickets(event_id, buyers[0], 2, "key"))
    _decided(supervisor, receipt.job_id)
    with pytest.raises(IdempotencyConflictError):
        supervisor.submit(BookTickets(event_id, buyers[0], 2, "key"))

    assert _bookings(sql) == 1


def test_another_user_or_event_under_the_same_key_is_another_job(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], sql: Sql, database_url: str
) -> None:
    """A key belongs to its user and its event."""
    first, second = make_event(), make_event()
    attempts = [
        BookTickets(first, buyers[0], 1, "key"),
        BookTickets(second, buyers[0], 1, "key"),
        BookTickets(first, buyers[1], 1, "key"),
        BookTickets(first, buyers[2], 1, "KEY"),
    ]

    jobs = [supervisor.submit(attempt).job_id for attempt in attempts]

    assert len(set(jobs)) == 4
    wait_decided(database_url, jobs)
    assert _bookings(sql) == 4


def test_a_key_is_remembered_after_redis_was_emptied(
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
    redis_client: redis.Redis,
    sql: Sql,
) -> None:
    """The same job, queued under a new number, gets its old answer: no entry, no second booking."""
    event_id = make_event()
    attempt = BookTickets(event_id, buyers[0], 1, "key")
    first = supervisor.submit(attempt)
    told = _decided(supervisor, first.job_id)
    entries = sql.execute("SELECT count(*) FROM booking_ledger").fetchone()

    redis_client.flushall()
    second = supervisor.submit(attempt)

    assert second.job_id == first.job_id
    assert (second.replayed, second.queue_position) == (True, 0)
    assert second.queue_number > first.queue_number
    # At no moment is it told that the job waits.
    status = supervisor.status(first.job_id)
    assert status is not None
    assert (status.status, status.queue_position) == (JobState.COMPLETED, 0)
    last = "SELECT last_queue_number FROM event_inventory"
    wait_until(lambda: sql.execute(last).fetchone() == (second.queue_number,), 5, "its new number was passed")
    assert _bookings(sql) == 1
    assert sql.execute("SELECT count(*) FROM booking_ledger").fetchone() == entries
    again = _decided(supervisor, first.job_id)
    assert (again.booking, again.finished_at, again.queue_number) == (told.booking, told.finished_at, told.queue_number)


def test_a_refusal_is_remembered_too(
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
    redis_client: redis.Redis,
    sql: Sql,
) -> None:
    """A key that was refused is refused for ever, also when there are seats again and Redis forgot it."""
    event_id = make_event(capacity=1)
    supervisor.submit(BookTickets(event_id, buyers[2]))
    attempt = BookTickets(event_id, buyers[0], 1, "key")
    first = supervisor.submit(attempt)
    assert _decided(supervisor, first.job_id).reason is Reason.SOLD_OUT

    supervisor.set_capacity(event_id, 5)
    redis_client.flushall()
    second = supervisor.submit(attempt)
    others = supervisor.submit(BookTickets(event_id, buyers[1]))
    assert _decided(supervisor, others.job_id).status is JobState.COMPLETED

    assert (second.replayed, others.replayed) == (True, False)
    status = supervisor.status(second.job_id)
    assert status is not None
    assert (status.status, status.reason) == (JobState.FAILED, Reason.SOLD_OUT)
    assert _bookings(sql) == 2


def _expire(supervisor: Supervisor, redis_client: redis.Redis) -> None:
    # As if the records had lived as long as they may, and the event longer.
    [meta] = redis_client.scan_iter("*:meta")
    redis_client.hincrby(meta, "whole_since", -supervisor.settings.job_ttl_s * 1_000_000)
    redis_client.delete(*redis_client.scan_iter("*:job:*"))


def _clean(supervisor: Supervisor, _: redis.Redis) -> None:
    wait_until(lambda: supervisor.queue.clean(("completed",), 0.0, 10) == 1, 5, "its record is there, and removed")


@pytest.mark.parametrize("forget", [_expire, _clean])
def test_a_repeated_key_is_known_as_one_when_its_record_is_gone(
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
    redis_client: redis.Redis,
    forget: Callable[[Supervisor, redis.Redis], object],
) -> None:
    """Expired or cleaned away; who comes for the first time is still told that."""
    event_id = make_event()
    attempt = BookTickets(event_id, buyers[0], 1, "key")
    first = supervisor.submit(attempt)
    _decided(supervisor, first.job_id)

    forget(supervisor, redis_client)
    second = supervisor.submit(attempt)
    other = supervisor.submit(replace(attempt, user_id=buyers[1]))

    assert (second.job_id, second.replayed, second.queue_position) == (first.job_id, True, 0)
    assert not other.replayed


@pytest.mark.parametrize("degraded", [False, True])
def test_the_ledger_is_asked_only_for_keys_that_may_have_been_forgotten(
    settings: Settings,
    make_event: Callable[..., int],
    buyers: list[int],
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    degraded: bool,
) -> None:
    """With bookings past the queue, any key may have its answer although Redis never knew it."""
    with running(replace(settings, degraded_booking=degraded)) as supervisor:
        event_id = make_event()
        recorded, asked = supervisor.bookings.recorded, []

        def counted(job_id: UUID, within_s: float | None = None) -> Any:
            asked.append(job_id)
            return recorded(job_id, within_s)

        monkeypatch.setattr(supervisor.bookings, "recorded", counted)

        def submit(user: int, key: str | None) -> int:
            asked.clear()
            supervisor.submit(BookTickets(event_id, buyers[user], 1, key))
            return len(asked)

        assert [submit(0, None), submit(1, "key"), submit(1, "key")] == [0, int(degraded), 0]
        redis_client.flushall()
        assert [submit(2, None), submit(3, "key"), submit(3, "key")] == [0, 1, 0]


def test_a_key_is_accepted_without_the_ledger(
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it would have said is the answer that the job gets in the end."""
    event_id = make_event()
    attempt = BookTickets(event_id, buyers[0], 1, "key")
    first = supervisor.submit(attempt)
    _decided(supervisor, first.job_id)
    redis_client.flushall()

    def away(*_: object) -> Any:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as outage:
        outage.setattr(supervisor.bookings, "recorded", away)
        second = supervisor.submit(attempt)

    assert (second.job_id, second.replayed) == (first.job_id, False)
    assert _decided(supervisor, first.job_id).queue_number == first.queue_number


def test_without_a_key_every_attempt_is_a_job_of_its_own(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], sql: Sql
) -> None:
    """The same user twice books once; the second is told so."""
    attempt = BookTickets(make_event(), buyers[0])

    first, second = supervisor.submit(attempt), supervisor.submit(attempt)

    assert first.job_id != second.job_id
    assert _decided(supervisor, first.job_id).status is JobState.COMPLETED
    assert _decided(supervisor, second.job_id).reason is Reason.ALREADY_BOOKED
    assert _bookings(sql) == 1
