"""The finished records that Redis holds: counted, trimmed and cleaned away, in a real Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import redis

from aurora_atlan.persistence.embedded import EmbeddedRedis
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.finished_jobs import FinishedJobs
from aurora_atlan.persistence.job_ids import SHARDS, keyed_job_id, random_job_id, shard_of_event
from aurora_atlan.persistence.jobs import Enqueued, Finish, FinishedJob, JobStore
from aurora_atlan.persistence.queue_keys import COMPLETED, FAILED, finished_key
from aurora_atlan.persistence.records import Job, Kind, NewJob, Outcome, Reason

EVENT = 71
TTL_S = 3600
BOTH = [COMPLETED, FAILED]


@pytest.fixture
def finished(redis_client: redis.Redis) -> FinishedJobs:
    return FinishedJobs(redis_client, TTL_S)


def _accept(jobs: JobStore, count: int, event_id: int = EVENT) -> list[Job]:
    jobs.seed(event_id, highest_number=0, last_decided=0)
    answers = jobs.enqueue([NewJob(random_job_id(event_id), event_id, user, 1, None) for user in range(1, count + 1)])
    return [answer.job for answer in answers if isinstance(answer, Enqueued)]


def _finish(jobs: JobStore, decided: Sequence[Job], reason: Reason | None = None, *, ago_s: float = 0.0) -> None:
    """Note the outcomes, of so many seconds ago."""
    kind = Kind.CONFIRMED if reason is None else Kind.CANCELLED if reason is Reason.CANCELLED else Kind.REJECTED
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    noted = [
        FinishedJob(job, Outcome(job_id=job.job_id, kind=kind, reason=reason, booking_id=None, decided_at=at), 1)
        for job in decided
    ]
    # A withdrawal moves neither end of the queue.
    last = 0 if reason is Reason.CANCELLED else decided[-1].queue_number
    jobs.finish([Finish(decided[0].event_id, noted, last, 0.0)])


def _counts(jobs: JobStore) -> tuple[int, int]:
    backlog = jobs.backlog(100)
    return backlog.completed, backlog.failed


def _listed(client: redis.Redis, status: str, event_id: int = EVENT) -> list[bytes]:
    members: list[bytes] = client.zrange(finished_key(shard_of_event(event_id), status), 0, -1)
    return members


# Counting.


def test_finished_jobs_are_counted_by_what_became_of_them(jobs: JobStore) -> None:
    """Confirmed ones are completed; refused and withdrawn ones have failed. All shards count."""
    waiting = _accept(jobs, 6)
    others = _accept(jobs, 2, event_id=EVENT + 1)

    _finish(jobs, waiting[:3])
    _finish(jobs, waiting[3:4], Reason.SOLD_OUT)
    _finish(jobs, waiting[4:5], Reason.CANCELLED)
    _finish(jobs, others, Reason.EVENT_GONE)

    assert _counts(jobs) == (3, 4)
    assert jobs.backlog(100).jobs == 1


def test_a_repeated_finish_counts_once(jobs: JobStore) -> None:
    """The script may run again after a reply that was lost."""
    waiting = _accept(jobs, 3)
    at = datetime.now(UTC)
    outcomes = [
        Outcome(job_id=job.job_id, kind=Kind.CONFIRMED, reason=None, booking_id=None, decided_at=at) for job in waiting
    ]
    finish = Finish(EVENT, [FinishedJob(*both, 1) for both in zip(waiting, outcomes, strict=True)], 3, 0.0)

    for _ in range(3):
        jobs.finish([finish])

    assert _counts(jobs) == (3, 0)


def test_a_job_whose_record_is_gone_is_not_counted(jobs: JobStore, redis_client: redis.Redis) -> None:
    """Redis that was emptied holds no record of it, and gets none."""
    [job] = _accept(jobs, 1)
    redis_client.flushall()

    _finish(jobs, [job])

    assert redis_client.keys() == []
    assert _counts(jobs) == (0, 0)


def test_a_record_counts_as_long_as_it_lives(make_jobs: Callable[..., JobStore], redis_client: redis.Redis) -> None:
    """What has expired is not counted, although nothing was finished since."""
    jobs = make_jobs(ttl_s=TTL_S)
    old, young = _accept(jobs, 2)
    _finish(jobs, [young])
    # The old one was decided an hour and a second ago.
    _finish(jobs, [old], Reason.SOLD_OUT, ago_s=TTL_S + 1)

    assert _counts(jobs) == (1, 0)


def test_old_entries_are_trimmed_when_new_ones_come(
    make_jobs: Callable[..., JobStore], redis_client: redis.Redis
) -> None:
    """What is older than a record lives is forgotten in the same call, of the same status."""
    jobs = make_jobs(ttl_s=TTL_S)
    old, other, new = _accept(jobs, 3)
    _finish(jobs, [old], ago_s=TTL_S + 10)
    _finish(jobs, [other], Reason.SOLD_OUT, ago_s=TTL_S - 60)

    _finish(jobs, [new])

    assert _listed(redis_client, COMPLETED) == [str(new.job_id).encode()]
    assert _listed(redis_client, FAILED) == [str(other.job_id).encode()]


def test_an_index_that_nothing_is_added_to_ends_with_its_records(
    make_jobs: Callable[..., JobStore], redis_client: redis.Redis
) -> None:
    """A sale that is over leaves nothing in Redis for ever."""
    jobs = make_jobs(ttl_s=100)
    completed, failed = _accept(jobs, 2)
    _finish(jobs, [completed])
    _finish(jobs, [failed], Reason.SOLD_OUT)

    for status in BOTH:
        assert 0 < redis_client.ttl(finished_key(shard_of_event(EVENT), status)) <= 100


def test_a_batch_of_thousands_is_noted_in_one_call(make_jobs: Callable[..., JobStore]) -> None:
    """Lua hands over only so many values at a time."""
    jobs = make_jobs(depth_max=10_000)
    waiting = _accept(jobs, 9_001)

    _finish(jobs, waiting[:6_000])
    _finish(jobs, waiting[6_000:], Reason.SOLD_OUT)

    assert _counts(jobs) == (6_000, 3_001)


# What waits, in the same report.


def test_jobs_that_were_handed_in_are_active(jobs: JobStore) -> None:
    """Up to the number that was announced, as long as they are not decided; nobody counts twice."""
    waiting = _accept(jobs, 10)
    others = _accept(jobs, 3, event_id=EVENT + 1)
    jobs.announce([(EVENT, 4)])

    def active() -> tuple[int, int]:
        backlog = jobs.backlog(100)
        assert backlog.jobs_of.get(EVENT, 0) + backlog.jobs_of.get(EVENT + 1, 0) == backlog.jobs
        return backlog.jobs, backlog.active

    assert active() == (13, 4)
    _finish(jobs, waiting[:4])
    assert active() == (9, 0)
    jobs.announce([(EVENT, 10), (EVENT + 1, 3)])
    # Of what is being decided one was withdrawn: no more can be active than there are.
    _finish(jobs, waiting[4:9], Reason.CANCELLED)
    assert active() == (4, 4)
    _finish(jobs, others)
    assert active() == (1, 1)


# Cleaning.


def test_cleaning_removes_records_and_their_entries(
    jobs: JobStore, finished: FinishedJobs, redis_client: redis.Redis
) -> None:
    """Of finished jobs nothing is left; those that wait are as they were."""
    waiting = _accept(jobs, 5)
    _finish(jobs, waiting[:2])
    _finish(jobs, waiting[2:4], Reason.SOLD_OUT)

    assert finished.clean(BOTH, 0, 1000) == 4

    assert _counts(jobs) == (0, 0)
    assert [jobs.status(job.job_id) is None for job in waiting] == [True, True, True, True, False]
    assert len(redis_client.keys("*:job:*")) == 1
    assert jobs.read_pending(EVENT, after=0, count=9, highest_number=0).jobs == waiting[4:]
    assert finished.clean(BOTH, 0, 1000) == 0


@pytest.mark.parametrize(("statuses", "left"), [([COMPLETED], (0, 2)), ([FAILED], (3, 0))])
def test_one_status_is_cleaned_alone(
    jobs: JobStore, finished: FinishedJobs, statuses: list[str], left: tuple[int, int]
) -> None:
    """The other's records stay."""
    waiting = _accept(jobs, 5)
    _finish(jobs, waiting[:3])
    _finish(jobs, waiting[3:], Reason.SOLD_OUT)

    finished.clean(statuses, 0, 1000)

    assert _counts(jobs) == left


def test_only_so_old_records_go(jobs: JobStore, finished: FinishedJobs) -> None:
    """By when they were decided."""
    waiting = _accept(jobs, 3)
    for job, ago_s in zip(waiting, (600, 300, 0), strict=True):
        _finish(jobs, [job], ago_s=ago_s)

    assert finished.clean(BOTH, 1000, 1000) == 0
    assert finished.clean(BOTH, 450, 1000) == 1
    assert [jobs.status(job.job_id) is None for job in waiting] == [True, False, False]
    # Nothing is too young for zero, whatever the clocks say.
    _finish(jobs, waiting[2:], ago_s=-5)
    assert finished.clean(BOTH, 0, 1000) == 2


def test_only_so_many_records_go_the_oldest_first(jobs: JobStore, finished: FinishedJobs) -> None:
    """Whoever wants all of them gone asks until none is left."""
    waiting = _accept(jobs, 5)
    others = _accept(jobs, 5, event_id=EVENT + 1)
    for place, pair in enumerate(zip(waiting, others, strict=True)):
        for job in pair:
            _finish(jobs, [job], Reason.SOLD_OUT, ago_s=100 - place)

    assert finished.clean(BOTH, 0, 7) == 7
    assert _counts(jobs) == (0, 3)
    # Of each shard the youngest are left.
    left = [place for place in range(5) if jobs.status(others[place].job_id) is not None]
    left += [place for place in range(5) if jobs.status(waiting[place].job_id) is not None]
    assert left == [2, 3, 4]
    assert finished.clean(BOTH, 0, 7) == 3


def test_more_records_than_a_script_takes_go_in_one_call(
    make_jobs: Callable[..., JobStore], finished: FinishedJobs
) -> None:
    """Redis is not held up by one long script, and the limit holds all the same."""
    jobs = make_jobs(depth_max=10_000)
    waiting = _accept(jobs, 3_500)
    _finish(jobs, waiting)

    assert finished.clean(BOTH, 0, 2_500) == 2_500
    assert _counts(jobs) == (1_000, 0)
    assert finished.clean(BOTH, 0, 10_000) == 1_000


def test_a_job_that_waits_again_keeps_its_record(
    jobs: JobStore, finished: FinishedJobs, redis_client: redis.Redis
) -> None:
    """Its key was used again after its record had expired, while the index still listed it."""
    job_id = keyed_job_id(bytes(32), EVENT, 1, "key")
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    new = NewJob(job_id, EVENT, 1, 1, None)
    [first] = jobs.enqueue([new])
    assert isinstance(first, Enqueued)
    _finish(jobs, [first.job])
    redis_client.delete(*redis_client.keys("*:job:*"))
    [again] = jobs.enqueue([new])
    assert isinstance(again, Enqueued)
    assert _listed(redis_client, COMPLETED) == [str(job_id).encode()]

    assert finished.clean(BOTH, 0, 1000) == 0

    status = jobs.status(job_id)
    assert status is not None
    assert (status.job.queue_number, status.outcome) == (again.job.queue_number, None)
    assert _listed(redis_client, COMPLETED) == []


def test_records_that_have_expired_are_not_counted_as_removed(
    make_jobs: Callable[..., JobStore], finished: FinishedJobs, redis_client: redis.Redis
) -> None:
    """They went by themselves."""
    jobs = make_jobs(ttl_s=TTL_S)
    waiting = _accept(jobs, 2)
    _finish(jobs, waiting)
    redis_client.delete(*redis_client.keys(f"*:job:{waiting[0].job_id}"))

    assert finished.clean(BOTH, 0, 1000) == 1


def test_many_may_clean_while_jobs_are_finished(jobs: JobStore, finished: FinishedJobs) -> None:
    """Each record is removed once, and no job that waits is harmed."""
    waiting = _accept(jobs, 600)
    over = threading.Event()
    barrier = threading.Barrier(4)
    removed = [0, 0, 0]

    def clean(number: int) -> None:
        barrier.wait(10)
        while not over.is_set():
            removed[number] += finished.clean(BOTH, 0, 50)

    cleaning = [threading.Thread(target=clean, args=(number,)) for number in range(3)]
    for thread in cleaning:
        thread.start()
    barrier.wait(10)
    for start in range(0, 500, 20):
        _finish(jobs, waiting[start : start + 20], Reason.SOLD_OUT if start % 40 else None)
    over.set()
    for thread in cleaning:
        thread.join(10)
    left = sum(_counts(jobs))

    assert sum(removed) + left == 500
    assert finished.clean(BOTH, 0, 1000) == left
    assert jobs.read_pending(EVENT, after=0, count=1000, highest_number=0).jobs == waiting[500:]
    assert all(jobs.status(job.job_id) is not None for job in waiting[500:])


def test_a_full_redis_can_be_cleaned(own_redis: EmbeddedRedis) -> None:
    """Jobs are decided and noted there, too; nothing more is accepted until there is room again."""
    client = redis.Redis.from_url(own_redis.url(), protocol=2)
    jobs = JobStore(client, depth_max=100, user_jobs_max=100, ttl_s=TTL_S)
    waiting = _accept(jobs, 3)
    client.config_set("maxmemory", 1)

    with pytest.raises(StoreError):
        jobs.enqueue([NewJob(random_job_id(EVENT), EVENT, 9, 1, None)])
    _finish(jobs, waiting)
    assert _counts(jobs) == (3, 0)
    assert FinishedJobs(client, TTL_S).clean(BOTH, 0, 1000) == 3
    assert client.keys("*:job:*") == []
    client.close()


def test_an_error_of_redis_is_the_stores_own(finished: FinishedJobs, redis_client: redis.Redis) -> None:
    """A key that is something else is no driver's exception for anybody above."""
    redis_client.set(finished_key(SHARDS - 1, FAILED), "not a sorted set")

    with pytest.raises(StoreError):
        finished.clean(BOTH, 0, 1)
