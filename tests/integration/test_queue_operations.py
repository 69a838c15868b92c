"""What operators do with the queue, over real stores: looking, cleaning, trying dead letters again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis

from aurora_atlan.actors.errors import NotFailedError, UnavailableError, UnknownJobError
from aurora_atlan.actors.messages import BookTickets, JobState, JobStatus
from aurora_atlan.actors.queue_stats import Condition
from aurora_atlan.persistence.dead_letters import DeadLetter
from aurora_atlan.persistence.embedded import EmbeddedRedis
from aurora_atlan.persistence.job_ids import random_job_id
from aurora_atlan.persistence.queue_keys import COMPLETED, FAILED
from aurora_atlan.persistence.records import Reason
from aurora_atlan.supervisor import Supervisor
from harness.databases import Databases
from harness_sales import wait_decided, wait_until

Sql = psycopg.Connection[Any]
Supervise = Callable[..., Supervisor]
MakeEvent = Callable[..., int]
pytestmark = pytest.mark.usefixtures("audit_clean")

# Nobody has this id: a booking of his violates a foreign key.
NOBODY = 2**40


def _submit(supervisor: Supervisor, event_id: int, users: list[int]) -> list[UUID]:
    return [supervisor.submit(BookTickets(event_id, user_id)).job_id for user_id in users]


def _final(supervisor: Supervisor, job_id: UUID) -> JobStatus:
    def told() -> JobStatus | None:
        status = supervisor.status(job_id)
        return status if status is not None and status.finished else None

    status: JobStatus = wait_until(told, 10, "the outcome is told")
    return status


def _finals(supervisor: Supervisor, jobs: list[UUID]) -> list[JobStatus]:
    # Who was tried how often is known to Redis alone.
    return [replace(_final(supervisor, job_id), attempts=1) for job_id in jobs]


# Looking.


def test_the_report_follows_the_jobs_from_waiting_to_finished(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], hold_row: Callable[[int], Sql]
) -> None:
    """Waiting while paused, active while they are decided, then completed or failed."""
    paused, slow = make_event(capacity=2), make_event(capacity=1)
    supervisor.pause(paused)
    jobs = _submit(supervisor, paused, buyers[:5])
    report = supervisor.stats()
    assert (report.waiting, report.active, report.completed, report.failed) == (5, 0, 0, 0)
    assert (report.condition, report.paused, report.stalled_jobs) == (Condition.HEALTHY, False, 0)
    assert report.oldest_waiting_s > 0

    stranger = hold_row(slow)
    jobs += _submit(supervisor, slow, buyers[:2])
    wait_until(lambda: supervisor.stats().active >= 1, 10, "a batch in flight is shown")
    shown = [queued for queued in supervisor.queue.page(100).jobs if queued.active]
    assert shown
    assert {queued.job.event_id for queued in shown} == {slow}
    stranger.rollback()
    supervisor.resume(paused)
    _finals(supervisor, jobs)

    report = supervisor.stats()
    assert (report.waiting, report.active, report.completed, report.failed) == (0, 0, 3, 4)
    assert report.oldest_waiting_s == 0.0


def test_a_pause_of_all_events_is_reported(supervisor: Supervisor) -> None:
    """And that is nothing unhealthy."""
    supervisor.pause()
    report = supervisor.stats()
    supervisor.resume()

    assert (report.paused, report.condition) == (True, Condition.HEALTHY)
    assert supervisor.stats().paused is False


def test_a_batch_that_does_not_come_back_stalls_its_event(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], hold_row: Callable[[int], Sql]
) -> None:
    """Its jobs count as stalled, those of other events do not."""
    supervisor = supervise(stuck_s=1.2, lock_timeout_s=0.5, statement_timeout_s=1.0)
    held, other = make_event(), make_event()
    supervisor.pause(other)
    stranger = hold_row(held)
    jobs = _submit(supervisor, held, buyers[:3])
    waiting = _submit(supervisor, other, buyers[:2])

    wait_until(lambda: supervisor.stats().stalled_jobs == 3, 10, "they are stalled")
    assert supervisor.stats().condition is Condition.DEGRADED

    stranger.rollback()
    supervisor.resume(other)
    _finals(supervisor, jobs + waiting)
    assert supervisor.stats().condition is Condition.HEALTHY


def test_without_postgresql_the_queue_is_counted_and_nothing_is_healthy(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], databases: Databases, database_url: str
) -> None:
    """Whether all events are paused cannot be known then."""
    event_id = make_event()
    supervisor.pause(event_id)
    jobs = _submit(supervisor, event_id, buyers[:2])
    with databases.out_of_reach(database_url):
        wait_until(lambda: supervisor.stats().condition is Condition.UNHEALTHY, 10, "it is noticed")
        report = supervisor.stats()
        assert (report.waiting + report.active, report.paused) == (2, None)
    wait_until(lambda: supervisor.stats().condition is Condition.HEALTHY, 10, "it is well again")
    supervisor.resume(event_id)
    _finals(supervisor, jobs)


def test_without_redis_there_is_nothing_to_tell(supervise: Supervise, own_redis: EmbeddedRedis) -> None:
    """Nobody waits for it twice: the first who finds it away opens the breaker."""
    supervisor = supervise(redis_url=own_redis.url())
    own_redis.stop()

    for ask in (
        supervisor.stats,
        lambda: supervisor.queue.page(10),
        lambda: supervisor.queue.clean([COMPLETED], 0, 10),
    ):
        with pytest.raises(UnavailableError):
            ask()  # type: ignore[operator]
    assert supervisor.backlog() is None


# Cleaning.


def test_what_was_cleaned_away_is_answered_by_the_ledger(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], redis_client: redis.Redis
) -> None:
    """The status of each is the same before, after cleaning, and after Redis was emptied; a key means the same job."""
    event_id = make_event(capacity=3)
    supervisor.pause(event_id)
    keyed = BookTickets(event_id, buyers[10], 1, "key")
    first = supervisor.submit(keyed)
    jobs = [first.job_id, *_submit(supervisor, event_id, [NOBODY, *buyers[:4]])]
    withdrawn = supervisor.submit(BookTickets(event_id, buyers[11])).job_id
    supervisor.withdraw(withdrawn)
    jobs.append(withdrawn)
    supervisor.resume(event_id)
    told = _finals(supervisor, jobs)
    assert {status.status for status in told} == {JobState.COMPLETED, JobState.FAILED}
    assert {status.reason for status in told} == {None, Reason.SOLD_OUT, Reason.CANCELLED, Reason.POISON}

    assert supervisor.queue.clean([COMPLETED, FAILED], 0, 1000) == len(jobs)
    assert redis_client.keys("*:job:*") == []
    assert _finals(supervisor, jobs) == told
    again = supervisor.submit(keyed)
    assert again.job_id == first.job_id
    assert _final(supervisor, again.job_id).booking == told[0].booking
    redis_client.flushall()
    assert _finals(supervisor, jobs) == told
    assert supervisor.submit(keyed).job_id == first.job_id
    assert _finals(supervisor, jobs) == told


# Dead letters.


@pytest.fixture
def mend(sql: Sql) -> Callable[[int], None]:
    """Makes the user whose absence poisoned a job."""

    def make(user_id: int) -> None:
        sql.execute(
            "INSERT INTO users (id, name, email) OVERRIDING SYSTEM VALUE VALUES (%s, 'Late', %s)",
            (user_id, f"late-{user_id}@example.org"),
        )

    return make


def test_a_dead_letter_that_is_tried_again_is_a_new_job(
    supervisor: Supervisor, make_event: MakeEvent, mend: Callable[[int], None], redis_client: redis.Redis
) -> None:
    """The old one stays failed for ever, also for its key; the new one is decided on its own merits."""
    event_id = make_event()
    attempt = BookTickets(event_id, NOBODY, 2, "key")
    old = supervisor.submit(attempt)
    assert _final(supervisor, old.job_id).reason is Reason.POISON

    hopeless = supervisor.retry(old.job_id, "the-request")
    assert _final(supervisor, hopeless.job_id).reason is Reason.POISON
    mend(NOBODY)
    new = supervisor.retry(old.job_id)

    assert len({old.job_id, hopeless.job_id, new.job_id}) == 3
    assert new.replayed is False
    assert (new.event_id, new.quantity) == (event_id, 2)
    status = _final(supervisor, new.job_id)
    assert (status.status, status.user_id, status.quantity) == (JobState.COMPLETED, NOBODY, 2)
    for _ in range(2):
        assert _final(supervisor, old.job_id).reason is Reason.POISON
        assert supervisor.submit(attempt).job_id == old.job_id
        redis_client.flushall()


def test_only_a_dead_letter_can_be_tried_again(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], sql: Sql
) -> None:
    """Neither a booking nor a refusal, nor what waits, nor what never was."""
    event_id = make_event(capacity=1)
    confirmed, refused = _submit(supervisor, event_id, buyers[:2])
    _finals(supervisor, [confirmed, refused])
    supervisor.pause(event_id)
    waiting, withdrawn = _submit(supervisor, event_id, buyers[2:4])
    supervisor.withdraw(withdrawn)
    before = sql.execute("SELECT count(*) FROM booking_ledger").fetchone()

    for job_id in (confirmed, refused, waiting, withdrawn):
        with pytest.raises(NotFailedError):
            supervisor.retry(job_id)
    with pytest.raises(UnknownJobError):
        supervisor.retry(random_job_id(event_id))

    assert sql.execute("SELECT count(*) FROM booking_ledger").fetchone() == before
    assert supervisor.stats().waiting == 1
    supervisor.resume(event_id)
    _finals(supervisor, [waiting])


def test_dead_letters_are_listed_newest_first_page_by_page(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], sql: Sql, database_url: str
) -> None:
    """Of all events, those of one transaction too; nothing that is no dead letter."""
    events = [make_event(capacity=100) for _ in range(3)]
    jobs: list[UUID] = []
    for round_ in range(2):
        supervisor.pause()
        for event_id in events:
            jobs += _submit(supervisor, event_id, [buyers[round_], NOBODY, NOBODY + 1])
        supervisor.resume()
        wait_decided(database_url, jobs)
    rows = sql.execute(
        "SELECT job_id FROM booking_ledger WHERE kind = 'failed' ORDER BY at DESC, event_id DESC, entry_number DESC"
    ).fetchall()
    assert len(rows) == 12

    for limit in (1, 5, 12, 100):
        found: list[DeadLetter] = []
        before: tuple[datetime, int, int] | None = None
        while page := supervisor.dead_letters.page(limit, before):
            found += page
            before = (page[-1].failed_at, page[-1].event_id, page[-1].entry_number)
        assert [letter.job_id for letter in found] == [job_id for (job_id,) in rows]
    letter = found[0]
    status = _final(supervisor, letter.job_id)
    assert (letter.event_id, letter.user_id, letter.quantity) == (status.event_id, status.user_id, 1)
    assert (letter.reason, letter.queue_number) == (Reason.POISON, status.queue_number)
    assert (letter.accepted_at, letter.failed_at) == (status.accepted_at, status.finished_at)


def test_dead_letters_are_found_by_their_index(sql: Sql, make_event: MakeEvent) -> None:
    """Also behind a place: the ledger has millions of other entries."""
    make_event()
    sql.execute("SET enable_seqscan = off")
    plan = sql.execute(
        "EXPLAIN SELECT job_id FROM booking_ledger WHERE kind = 'failed'"
        " AND (at, event_id, entry_number) < (coalesce(NULL::timestamptz, 'infinity'), 0::bigint, 0::bigint)"
        " ORDER BY at DESC, event_id DESC, entry_number DESC LIMIT 5"
    ).fetchall()

    text = "\n".join(row[0] for row in plan)
    assert "Index Scan Backward using booking_ledger_dead_letters" in text
    assert "Index Cond" in text
    assert "Sort" not in text
