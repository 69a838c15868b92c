"""The undecided jobs of all events, page by page, in a real Redis."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
import redis

from aurora_atlan.persistence.job_ids import random_job_id, shard_of_event
from aurora_atlan.persistence.jobs import Enqueued, Finish, FinishedJob, JobStore
from aurora_atlan.persistence.queue_keys import pending_key
from aurora_atlan.persistence.queue_pages import Place, QueuedJob, QueuePages
from aurora_atlan.persistence.records import Job, Kind, NewJob, Outcome, Reason

Numbers = list[tuple[int, int]]


@pytest.fixture
def pages(redis_client: redis.Redis) -> QueuePages:
    return QueuePages(redis_client)


@pytest.fixture
def accept(jobs: JobStore) -> Callable[[int, int], list[Job]]:
    """Puts so many jobs into an event's queue."""

    def put(event_id: int, count: int) -> list[Job]:
        jobs.seed(event_id, highest_number=0, last_decided=0)
        new = [NewJob(random_job_id(event_id), event_id, user, 1 + user % 3, None) for user in range(1, count + 1)]
        return [answer.job for answer in jobs.enqueue(new) if isinstance(answer, Enqueued)]

    return put


def _decide(jobs: JobStore, decided: list[Job]) -> None:
    event_id = decided[0].event_id
    outcomes = [
        Outcome(
            job_id=job.job_id, kind=Kind.REJECTED, reason=Reason.SOLD_OUT, booking_id=None, decided_at=job.accepted_at
        )
        for job in decided
    ]
    noted = [FinishedJob(job, outcome, 1) for job, outcome in zip(decided, outcomes, strict=True)]
    jobs.finish([Finish(event_id, noted, decided[-1].queue_number, 0.0)])


def _numbers(jobs: Iterator[QueuedJob] | list[QueuedJob]) -> Numbers:
    return [(queued.job.event_id, queued.job.queue_number) for queued in jobs]


def _every(pages: QueuePages, limit: int, only_event: int | None = None) -> list[Numbers]:
    """Follow the pages to their end."""
    found: list[Numbers] = []
    after: Place | None = None
    while True:
        page = pages.page(limit, after, only_event)
        assert len(page.jobs) <= limit
        found.append(_numbers(list(page.jobs)))
        assert len(found) < 1000
        if page.end is None:
            return found
        after = page.end


def test_an_empty_queue_is_one_empty_page(pages: QueuePages) -> None:
    """Also of one event that Redis does not know."""
    assert _every(pages, 10) == [[]]
    assert _every(pages, 10, only_event=7) == [[]]


def test_jobs_come_back_whole(pages: QueuePages, accept: Callable[[int, int], list[Job]]) -> None:
    """As they were accepted."""
    accepted = accept(7, 3)

    assert [queued.job for queued in pages.page(10).jobs] == accepted


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 7, 9, 10, 200])
def test_events_come_by_their_ids_and_jobs_by_their_numbers(
    pages: QueuePages, accept: Callable[[int, int], list[Job]], limit: int
) -> None:
    """Whatever the shards; every page but the last is full."""
    for event_id, count in ((900, 2), (5, 4), (64, 1), (7, 3)):
        accept(event_id, count)
    everything = [
        (event_id, number) for event_id, count in ((5, 4), (7, 3), (64, 1), (900, 2)) for number in range(1, count + 1)
    ]

    found = _every(pages, limit)

    assert [job for page in found for job in page] == everything
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1] != []


def test_one_event_alone_is_paged_too(pages: QueuePages, accept: Callable[[int, int], list[Job]]) -> None:
    """The others are not looked at."""
    accept(5, 3)
    accept(6, 5)
    accept(7, 3)

    assert _every(pages, 2, only_event=6) == [[(6, 1), (6, 2)], [(6, 3), (6, 4)], [(6, 5)]]


def test_a_place_in_another_event_is_no_place_in_this_one(
    pages: QueuePages, accept: Callable[[int, int], list[Job]]
) -> None:
    """Of an event behind it everything follows, of one before it nothing."""
    accept(6, 3)

    assert _numbers(list(pages.page(9, Place(5, 2), 6).jobs)) == [(6, 1), (6, 2), (6, 3)]
    assert _numbers(list(pages.page(9, Place(7, 2), 6).jobs)) == []


def test_what_was_handed_in_is_active(
    pages: QueuePages, accept: Callable[[int, int], list[Job]], jobs: JobStore
) -> None:
    """As the status of each says."""
    waiting = accept(7, 5)
    accept(8, 2)
    jobs.announce([(7, 3)])
    assert [queued.active for queued in pages.page(10).jobs] == [True, True, True, False, False, False, False]

    _decide(jobs, waiting[:3])
    assert [queued.active for queued in pages.page(10).jobs] == [False] * 4


def test_what_stays_is_neither_repeated_nor_left_out_while_the_queue_moves(
    pages: QueuePages, accept: Callable[[int, int], list[Job]], jobs: JobStore, redis_client: redis.Redis
) -> None:
    """Between two pages jobs at the heads are decided, and others come."""
    chance = random.Random(7)
    for _ in range(20):
        redis_client.flushall()
        events = chance.sample(range(1, 300), 12)
        waiting = {event_id: accept(event_id, chance.randint(1, 9)) for event_id in events}
        before = {(job.event_id, job.queue_number) for queue in waiting.values() for job in queue}
        seen: Numbers = []
        gone: set[tuple[int, int]] = set()
        after: Place | None = None
        for _ in range(200):
            page = pages.page(chance.randint(1, 7), after)
            seen += _numbers(list(page.jobs))
            if page.end is None:
                break
            after = page.end
            event_id = chance.choice(events)
            decided, waiting[event_id] = waiting[event_id][:2], waiting[event_id][2:]
            if decided:
                _decide(jobs, decided)
                gone |= {(job.event_id, job.queue_number) for job in decided}
            jobs.enqueue([NewJob(random_job_id(event_id), event_id, 99, 1, None)])
        else:
            raise AssertionError("the pages have no end")

        assert len(seen) == len(set(seen))
        assert seen == sorted(seen)
        assert before - gone <= set(seen)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_many_events_without_jobs_are_passed(
    pages: QueuePages, accept: Callable[[int, int], list[Job]], redis_client: redis.Redis, limit: int
) -> None:
    """The index may list an event whose last job was decided just now: some pages are empty, and lead on."""
    for event_id in range(1, 41):
        redis_client.zadd(pending_key(shard_of_event(event_id)), {str(event_id): 1})
    accept(20, 2)
    accept(50, 1)

    assert [job for page in _every(pages, limit) for job in page] == [(20, 1), (20, 2), (50, 1)]


def test_a_page_reads_no_more_than_it_shows(
    pages: QueuePages, accept: Callable[[int, int], list[Job]], redis_client: redis.Redis
) -> None:
    """One more tells whether another follows; however long the queues are, and however many."""
    for event_id in range(1, 31):
        accept(event_id, 40)
    read = []
    peek = pages._read
    pages._read = lambda stretches: (read.extend(count for _, _, count in stretches), peek(stretches))[1]  # type: ignore[method-assign]

    assert len(pages.page(100).jobs) == 100
    # A whole first page, and of the others what fits behind the first event.
    assert read[0] == 101
    assert sum(read[1:]) == 61
