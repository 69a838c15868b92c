"""Where a job stands, asked of real stores that know it, forgot it, or are away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets, JobState, JobStatus
from aurora_atlan.actors.scheduler import Scheduler
from aurora_atlan.actors.status import StatusDesk
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.config import Settings
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.job_ids import keyed_job_id, random_job_id
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.records import Job, Reason
from aurora_atlan.persistence.redis_clients import accepting_client
from aurora_atlan.supervisor import Supervisor
from harness_sales import wait_until

Sql = psycopg.Connection[Any]


def _final(supervisor: Supervisor, job_id: UUID) -> JobStatus:
    def told() -> JobStatus | None:
        status = supervisor.status(job_id)
        return status if status is not None and status.queue_position == 0 else None

    status: JobStatus = wait_until(told, 10, "the outcome is told")
    return status


@pytest.fixture
def switchboard() -> Switchboard:
    return Switchboard(Scheduler(lambda: 0.0))


@pytest.fixture
def desk(switchboard: Switchboard, jobs: JobStore, bookings: BookingStore) -> StatusDesk:
    """The desk over stores that are there."""
    return StatusDesk(switchboard, jobs, bookings, 1.2)


@pytest.fixture
def away() -> Iterator[JobStore]:
    """A queue in a Redis that is not there."""
    store = JobStore(
        accepting_client(Settings(redis_url="redis://127.0.0.1:1/0")), depth_max=1, user_jobs_max=1, ttl_s=1
    )
    yield store
    store.close()


@pytest.fixture
def no_ledger() -> Iterator[BookingStore]:
    """Bookings in a PostgreSQL that is not there."""
    database = Database(Settings(database_url="postgresql://127.0.0.1:1/none", pool_timeout_s=0.05))
    yield BookingStore(database, 1)
    database.close()


def test_a_confirmed_job_is_told_with_its_booking(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """Completed, with what was booked and when."""
    event_id = make_event()
    receipt = supervisor.submit(BookTickets(event_id, buyers[0], quantity=2))

    status = _final(supervisor, receipt.job_id)

    assert (status.status, status.reason, status.quantity) == (JobState.COMPLETED, None, 2)
    assert (status.event_id, status.user_id) == (event_id, buyers[0])
    assert (status.queue_number, status.accepted_at) == (receipt.queue_number, receipt.accepted_at)
    assert status.attempts == 1
    assert status.booking is not None
    assert status.finished_at == status.booking.created_at
    assert (status.booking.job_id, status.booking.quantity) == (receipt.job_id, 2)
    assert status.estimated_wait_s == 0.0


def test_a_refused_job_is_told_with_its_reason(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """Failed, and why."""
    receipt = supervisor.submit(BookTickets(make_event(capacity=1), buyers[0], quantity=2))

    status = _final(supervisor, receipt.job_id)

    assert (status.status, status.reason, status.booking) == (JobState.FAILED, Reason.SOLD_OUT, None)
    assert status.finished_at is not None


@pytest.mark.parametrize("capacity", [1, 0])
def test_what_was_told_is_told_for_ever(
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
    redis_client: redis.Redis,
    capacity: int,
) -> None:
    """When Redis has forgotten the job the ledger tells the same, of confirmed and refused ones."""
    receipt = supervisor.submit(BookTickets(make_event(capacity), buyers[0]))
    told = _final(supervisor, receipt.job_id)

    redis_client.delete(*redis_client.keys("*:job:*"))

    assert supervisor.status(receipt.job_id) == told


def test_a_cancelled_booking_leaves_its_job_completed(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """The job's answer never changes; the booking in it says that it was cancelled."""
    receipt = supervisor.submit(BookTickets(make_event(), buyers[0]))
    before = _final(supervisor, receipt.job_id)
    assert before.booking is not None

    supervisor.cancel(before.booking.id, buyers[0])
    after = _final(supervisor, receipt.job_id)

    assert (after.status, after.finished_at) == (JobState.COMPLETED, before.finished_at)
    assert after.booking is not None
    assert after.booking.status == "cancelled"


def test_a_waiting_job_is_told_how_many_are_before_it(
    desk: StatusDesk, enqueue: Callable[..., Job], jobs: JobStore, make_event: Callable[..., int]
) -> None:
    """Queued until it was handed in, then processing; its position counts the decisions until its own."""
    event_id = make_event()
    first, second, third = (enqueue(event_id, user_id) for user_id in (1, 2, 3))

    told = [desk.status(job.job_id) for job in (first, second, third)]
    assert [(status.status, status.queue_position) for status in told if status] == [
        (JobState.QUEUED, 1),
        (JobState.QUEUED, 2),
        (JobState.QUEUED, 3),
    ]

    jobs.announce([(event_id, second.queue_number)])
    told = [desk.status(job.job_id) for job in (first, second, third)]
    assert [status.status for status in told if status] == [JobState.PROCESSING, JobState.PROCESSING, JobState.QUEUED]


def test_a_position_never_grows(
    supervisor: Supervisor, make_event: Callable[..., int], buyers: list[int], hold_row: Callable[[int], Sql]
) -> None:
    """Whatever happens before it, nobody is told a larger number than before."""
    event_id = make_event(capacity=50)
    stranger = hold_row(event_id)
    receipts = [supervisor.submit(BookTickets(event_id, user_id)) for user_id in buyers[:30]]
    last = receipts[-1]
    told = [last.queue_position]
    stranger.rollback()

    def position() -> int:
        status = supervisor.status(last.job_id)
        assert status is not None
        told.append(status.queue_position)
        return status.queue_position

    wait_until(lambda: position() == 0, 10, "the last one is decided")
    assert told[0] == 30
    assert told == sorted(told, reverse=True)


def test_a_job_that_nobody_knows_has_no_status(desk: StatusDesk) -> None:
    """Both stores were asked."""
    assert desk.status(random_job_id(7)) is None
    assert desk.status(keyed_job_id(bytes(32), 7, 1, "key")) is None
    assert desk.status(UUID(int=0)) is None
    assert desk.status(UUID(int=2**128 - 1)) is None


def test_with_redis_away_decided_jobs_are_told_from_the_ledger(
    switchboard: Switchboard,
    away: JobStore,
    bookings: BookingStore,
    supervisor: Supervisor,
    make_event: Callable[..., int],
    buyers: list[int],
) -> None:
    """What is in the ledger needs no Redis; what is not cannot be told without it."""
    receipt = supervisor.submit(BookTickets(make_event(), buyers[0]))
    told = _final(supervisor, receipt.job_id)
    desk = StatusDesk(switchboard, away, bookings, 1.2)

    assert desk.status(receipt.job_id) == told
    with pytest.raises(UnavailableError):
        desk.status(random_job_id(7))


def test_an_open_breaker_is_not_asked(
    switchboard: Switchboard, desk: StatusDesk, enqueue: Callable[..., Job], make_event: Callable[..., int]
) -> None:
    """While Redis is known to be away nobody waits for it: unknown means unavailable, never 'no such job'."""
    job = enqueue(make_event(), 1)
    switchboard.redis.open("away")

    with pytest.raises(UnavailableError):
        desk.status(job.job_id)

    switchboard.redis.close()
    assert desk.status(job.job_id) is not None


def test_with_postgresql_away_waiting_jobs_are_told(
    switchboard: Switchboard,
    jobs: JobStore,
    no_ledger: BookingStore,
    enqueue: Callable[..., Job],
    make_event: Callable[..., int],
) -> None:
    """A random id that waits needs no ledger; an unknown one, or a key that may be older than Redis's memory, does."""
    event_id = make_event()
    desk = StatusDesk(switchboard, jobs, no_ledger, 1.2)
    waiting = desk.status(enqueue(event_id, 1).job_id)
    assert waiting is not None
    assert waiting.status is JobState.QUEUED

    keyed = enqueue(event_id, 2, job_id=keyed_job_id(bytes(32), event_id, 2, "key"))
    for job_id in (random_job_id(event_id), keyed.job_id):
        with pytest.raises(UnavailableError):
            desk.status(job_id)
