"""The core's stores over real servers, and what the tests of the core need around them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis

from aurora_atlan.actors.commit import Committing, Decided
from aurora_atlan.actors.messages import Batch
from aurora_atlan.config import Settings
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.embedded import EmbeddedRedis
from aurora_atlan.persistence.events import EventStore, NewEvent
from aurora_atlan.persistence.job_ids import random_job_id
from aurora_atlan.persistence.jobs import Enqueued, JobStore
from aurora_atlan.persistence.records import Booking, Job, NewJob, Outcome
from aurora_atlan.persistence.redis_clients import patient_client
from aurora_atlan.supervisor import Supervisor
from harness.short_paths import short_folder
from harness_sales import check_audit, make_buyers, running

SHOWTIME = datetime(2027, 6, 1, 20, tzinfo=UTC)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """A pool over this test's database, with the service's role and limits."""
    database = Database(settings)
    database.open()
    yield database
    database.close()


@pytest.fixture
def bookings(database: Database) -> BookingStore:
    """The bookings, for an owner that holds no lock: as if its process were gone."""
    return BookingStore(database, owner=101)


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection that commits by itself, to look at rows and to meddle with them."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def make_event(database: Database) -> Callable[..., int]:
    """Creates events and returns their ids."""
    store = EventStore(database)

    def make(capacity: int = 10, **changes: Any) -> int:
        return store.create(NewEvent("Aurora Night", "Atlan Hall", SHOWTIME, capacity, **changes)).id

    return make


@pytest.fixture
def buyers(database_url: str) -> list[int]:
    """The ids of a hundred users."""
    return make_buyers(database_url, 100)


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of this test's Redis, to look and to meddle."""
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        yield client


@pytest.fixture
def make_jobs(redis_url: str) -> Iterator[Callable[..., JobStore]]:
    """Opens queues over this test's Redis, with limits as asked."""
    with ExitStack() as stack:

        def make(depth_max: int = 1000, user_jobs_max: int = 1000, ttl_s: int = 3600) -> JobStore:
            client = patient_client(Settings(redis_url=redis_url))
            store = JobStore(client, depth_max=depth_max, user_jobs_max=user_jobs_max, ttl_s=ttl_s)
            stack.callback(store.close)
            return store

        yield make


@pytest.fixture
def jobs(make_jobs: Callable[..., JobStore]) -> JobStore:
    """The queue."""
    return make_jobs()


@pytest.fixture
def enqueue(jobs: JobStore) -> Callable[..., Job]:
    """Puts one job into an event's queue, without any supervisor."""

    def put(event_id: int, user_id: int, quantity: int = 1, job_id: UUID | None = None) -> Job:
        jobs.seed(event_id, highest_number=0, last_decided=0)
        new = NewJob(job_id or random_job_id(event_id), event_id, user_id, quantity, None)
        [answer] = jobs.enqueue([new])
        assert isinstance(answer, Enqueued)
        return answer.job

    return put


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    """A running Redis of this test's own, durability "always"."""
    with short_folder() as folder:
        server = EmbeddedRedis(folder / "redis", folder / "redis.log")
        server.start()
        yield server
        server.stop()


class _Nobody:
    """Stands in for a batch's sender."""

    def tell(self, message: object) -> None:
        """Hear nothing."""


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    """Makes batches of one event's jobs."""
    ids = itertools.count(1)

    def make(*jobs: Job, epoch: int | None = None) -> Batch:
        return Batch(next(ids), jobs[0].event_id, epoch, jobs, frozenset(), 1, 0.0, _Nobody())  # type: ignore[arg-type]

    return make


@pytest.fixture
def decide(bookings: BookingStore, jobs: JobStore, batch_of: Callable[..., Batch]) -> Callable[..., list[Outcome]]:
    """Decides jobs in one batch, without actors."""
    committing = Committing(bookings, owner=101, lease_s=60.0, job_age_max=None)

    def run(*wanted: Job) -> list[Outcome]:
        [verdict] = committing.commit([batch_of(*wanted)], patient=True)
        assert isinstance(verdict, Decided)
        return list(verdict.outcomes)

    return run


@pytest.fixture
def book(
    bookings: BookingStore, enqueue: Callable[..., Job], decide: Callable[..., list[Outcome]]
) -> Callable[..., Booking]:
    """Books, without actors."""

    def run(event_id: int, user_id: int, quantity: int = 1) -> Booking:
        [outcome] = decide(enqueue(event_id, user_id, quantity))
        assert outcome.booking_id is not None
        booking = bookings.get(outcome.booking_id)
        assert booking is not None
        return booking

    return run


@pytest.fixture
def supervise(settings: Settings) -> Iterator[Callable[..., Supervisor]]:
    """Starts supervisors over this test's stores, with settings changed as asked; stopped afterwards."""
    with ExitStack() as stack:

        def start(*, on_outcome: Callable[[Any], None] | None = None, **changes: Any) -> Supervisor:
            return stack.enter_context(running(replace(settings, **changes), on_outcome=on_outcome))

        yield start


@pytest.fixture
def supervisor(supervise: Callable[..., Supervisor]) -> Supervisor:
    """One supervisor, ready."""
    return supervise()


@pytest.fixture
def audit_clean(settings: Settings) -> Iterator[None]:
    """After the test, the audit of everything that it left must find nothing."""
    yield
    check_audit(settings)


@pytest.fixture
def hold_row(database_url: str) -> Iterator[Callable[[int], psycopg.Connection[Any]]]:
    """Locks an event's row as a stranger; rolling the connection back lets go of it."""
    with ExitStack() as stack:

        def hold(event_id: int) -> psycopg.Connection[Any]:
            connection = stack.enter_context(psycopg.connect(database_url))
            connection.execute("SELECT FROM event_inventory WHERE event_id = %s FOR UPDATE", (event_id,))
            return connection

        yield hold
