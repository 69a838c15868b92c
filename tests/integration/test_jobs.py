"""The queue in a real Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from aurora_atlan.config import Settings
from aurora_atlan.persistence import jobs as jobs_module
from aurora_atlan.persistence import scripts
from aurora_atlan.persistence.embedded import EmbeddedRedis
from aurora_atlan.persistence.errors import StoreError, StoreRefusesError, StoreUnavailableError
from aurora_atlan.persistence.job_ids import keyed_job_id, random_job_id, shard_of_event
from aurora_atlan.persistence.jobs import (
    Conflict,
    Enqueued,
    Enqueueing,
    EventGone,
    Finish,
    FinishedJob,
    JobStore,
    QueueFull,
    Unseeded,
    UserCrowded,
)
from aurora_atlan.persistence.records import Job, Kind, NewJob, Outcome, Reason
from aurora_atlan.persistence.redis_clients import accepting_client, patient_client

EVENT = 71
_AT = datetime(2026, 11, 22, 19, 30, 15, 250_123, tzinfo=UTC)


def _new(user_id: int = 1, quantity: int = 1, event_id: int = EVENT) -> NewJob:
    return NewJob(random_job_id(event_id), event_id, user_id, quantity, None)


def _accepted(answer: Enqueueing) -> Job:
    assert isinstance(answer, Enqueued)
    assert not answer.known
    return answer.job


def _fill(jobs: JobStore, count: int, event_id: int = EVENT) -> list[Job]:
    """Accept so many jobs, each of a user of its own."""
    jobs.seed(event_id, highest_number=0, last_decided=0)
    return [
        _accepted(answer) for answer in jobs.enqueue([_new(user, event_id=event_id) for user in range(1, count + 1)])
    ]


def _pending(jobs: JobStore, after: int = 0, count: int = 1000) -> list[Job]:
    return jobs.read_pending(EVENT, after=after, count=count, highest_number=0).jobs


def _answer(job: Job, reason: Reason | None = None) -> FinishedJob:
    kind = Kind.CONFIRMED if reason is None else Kind.REJECTED
    booking_id = 9000 + job.queue_number if reason is None else None
    return FinishedJob(
        job, Outcome(job_id=job.job_id, kind=kind, reason=reason, booking_id=booking_id, decided_at=_AT), 1
    )


def _finish(jobs: JobStore, decided: list[Job], last_decided: int | None = None, pace_s: float = 0.0) -> None:
    last = decided[-1].queue_number if last_decided is None else last_decided
    jobs.finish([Finish(EVENT, [_answer(job) for job in decided], last, pace_s)])


def _position(jobs: JobStore, job: Job) -> tuple[int, int]:
    status = jobs.status(job.job_id)
    assert status is not None
    return status.job.queue_number, status.last_decided


# Accepting.


def test_a_queue_without_numbers_accepts_nothing_and_writes_nothing(jobs: JobStore, redis_client: redis.Redis) -> None:
    """No first number is ever invented: the caller must look in PostgreSQL first."""
    assert jobs.enqueue([_new(), _new()]) == [Unseeded(), Unseeded()]
    assert redis_client.keys() == []


def test_numbers_rise_from_above_the_highest_that_was_used(jobs: JobStore) -> None:
    """A seeded queue goes on above every number that PostgreSQL or the process has seen."""
    jobs.seed(EVENT, highest_number=41, last_decided=40)

    numbers = [_accepted(answer).queue_number for answer in jobs.enqueue([_new(), _new(), _new()])]

    assert numbers == [42, 43, 44]


def test_what_was_accepted_is_read_back_in_order(jobs: JobStore) -> None:
    """The stream holds whole jobs, in the order of their numbers."""
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    new = [NewJob(random_job_id(EVENT), EVENT, user, user % 3 + 1, f"request {user}") for user in range(1, 20)]

    accepted = [_accepted(answer) for answer in jobs.enqueue(new)]

    assert _pending(jobs) == accepted
    assert [(job.job_id, job.user_id, job.quantity, job.request_id) for job in accepted] == [
        (job.job_id, job.user_id, job.quantity, job.request_id) for job in new
    ]
    assert all(abs(job.accepted_at - datetime.now(UTC)) < timedelta(minutes=1) for job in accepted)
    assert [job.accepted_at for job in accepted] == sorted(job.accepted_at for job in accepted)


def test_it_is_told_whether_jobs_waited_before(jobs: JobStore) -> None:
    """Of each event by itself, for all jobs that come in one round trip; what is decided or withdrawn waits no more."""
    other = EVENT + 1
    for event_id in (EVENT, other):
        jobs.seed(event_id, highest_number=0, last_decided=0)

    def at_head(*new: NewJob) -> list[bool]:
        answers = jobs.enqueue(new)
        assert all(isinstance(answer, Enqueued) for answer in answers)
        return [answer.at_head for answer in answers if isinstance(answer, Enqueued)]

    first = _new()
    assert at_head(first, _new(2)) == [True, True]
    assert at_head(_new(3), _new(4, event_id=other), first) == [False, True, False]
    _finish(jobs, _pending(jobs))
    assert at_head(_new(5), first) == [True, False]


def test_a_job_id_is_queued_once(jobs: JobStore) -> None:
    """A repetition gets the first one's number and time, also when both come in one round trip."""
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    new = _new()

    first, second, third = *jobs.enqueue([new, new]), *jobs.enqueue([new])

    assert isinstance(second, Enqueued)
    assert isinstance(third, Enqueued)
    assert second.known
    assert third.known
    assert second.job == third.job == _accepted(first)
    assert len(_pending(jobs)) == 1


def test_a_known_job_stays_known_after_its_decision(jobs: JobStore) -> None:
    """A decided job is not queued again while Redis remembers it."""
    [job] = _fill(jobs, 1)
    _finish(jobs, [job])

    [again] = jobs.enqueue([NewJob(job.job_id, EVENT, job.user_id, job.quantity, None)])

    assert isinstance(again, Enqueued)
    assert again.known
    assert again.decided
    assert (again.job.queue_number, again.last_decided) == (job.queue_number, job.queue_number)
    assert _pending(jobs) == []


def test_the_same_id_for_another_quantity_is_a_conflict(jobs: JobStore) -> None:
    """A key that is used for a different wish is refused, and changes nothing."""
    [job] = _fill(jobs, 1)

    answers = jobs.enqueue([NewJob(job.job_id, EVENT, job.user_id, 2, None)])

    assert answers == [Conflict()]
    assert _pending(jobs) == [job]


def test_a_full_queue_accepts_again_when_jobs_are_decided(make_jobs: Callable[..., JobStore]) -> None:
    """The limit counts what waits, not what was."""
    jobs = make_jobs(depth_max=3)
    waiting = _fill(jobs, 3)

    assert jobs.enqueue([_new(9)]) == [QueueFull()]
    _finish(jobs, waiting[:1])
    assert _accepted(jobs.enqueue([_new(9)])[0]).queue_number == 4
    assert jobs.enqueue([_new(10)]) == [QueueFull()]


def test_a_refused_job_leaves_no_trace(make_jobs: Callable[..., JobStore], redis_client: redis.Redis) -> None:
    """Neither a full queue nor a crowded user takes a number or leaves a key."""
    jobs = make_jobs(depth_max=2, user_jobs_max=1)
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    jobs.enqueue([_new(1)])
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    written = redis_client.info("persistence")["aof_current_size"]

    assert jobs.enqueue([_new(1)]) == [UserCrowded()]

    assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before
    # Nor are they written and taken back, which would cost a sync.
    assert redis_client.info("persistence")["aof_current_size"] == written


def test_a_user_may_have_only_so_many_waiting_for_an_event(make_jobs: Callable[..., JobStore]) -> None:
    """The limit is the user's for this event alone, and ends with the decision of his jobs."""
    jobs = make_jobs(user_jobs_max=2)
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    jobs.seed(EVENT + 64, highest_number=0, last_decided=0)
    mine = [_accepted(answer) for answer in jobs.enqueue([_new(5), _new(5)])]

    assert jobs.enqueue([_new(5)]) == [UserCrowded()]
    assert isinstance(jobs.enqueue([_new(6)])[0], Enqueued)
    assert isinstance(jobs.enqueue([_new(5, event_id=EVENT + 64)])[0], Enqueued)
    _finish(jobs, mine[:1])
    assert isinstance(jobs.enqueue([_new(5)])[0], Enqueued)


def test_many_threads_get_numbers_without_gap_or_repetition(jobs: JobStore) -> None:
    """However many accept at once, the numbers are 1 to n and the stream is in their order."""
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    barrier = threading.Barrier(8)
    accepted: list[Job] = []

    def accept(user_id: int) -> None:
        barrier.wait(10)
        for _ in range(20):
            accepted.extend(_accepted(answer) for answer in jobs.enqueue([_new(user_id), _new(user_id)]))

    threads = [threading.Thread(target=accept, args=(user_id,)) for user_id in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(job.queue_number for job in accepted) == list(range(1, 321))
    assert _pending(jobs) == sorted(accepted, key=lambda job: job.queue_number)


def test_forgotten_scripts_are_loaded_again_in_the_middle_of_a_sale(jobs: JobStore, redis_client: redis.Redis) -> None:
    """SCRIPT FLUSH, or a restart, changes neither order nor answers."""
    first = _fill(jobs, 3)

    redis_client.script_flush()
    second = [_accepted(answer) for answer in jobs.enqueue([_new(user) for user in range(4, 9)])]
    redis_client.script_flush()
    _finish(jobs, first)
    redis_client.script_flush()

    assert [job.queue_number for job in second] == [4, 5, 6, 7, 8]
    assert _pending(jobs) == second
    redis_client.script_flush()
    assert _position(jobs, second[0]) == (4, 3)


# Seeding.


def test_seeding_a_queue_that_has_numbers_changes_nothing(jobs: JobStore) -> None:
    """Two processes that seed at once do no harm."""
    waiting = _fill(jobs, 3)
    _finish(jobs, waiting[:1])

    jobs.seed(EVENT, highest_number=1000, last_decided=1000)

    assert _accepted(jobs.enqueue([_new()])[0]).queue_number == 4
    assert _position(jobs, waiting[1]) == (2, 1)


def test_seeding_goes_above_the_stream_when_only_the_numbers_were_lost(
    jobs: JobStore, redis_client: redis.Redis
) -> None:
    """The stream knows its last number, also of entries that are gone."""
    waiting = _fill(jobs, 5)
    _finish(jobs, waiting[3:])
    redis_client.delete(f"{{aa:{shard_of_event(EVENT):02d}}}:event:{EVENT}:meta")

    jobs.seed(EVENT, highest_number=2, last_decided=2)

    assert _accepted(jobs.enqueue([_new(9)])[0]).queue_number == 6
    assert _pending(jobs)[:3] == waiting[:3]
    assert _position(jobs, waiting[2]) == (3, 2)


def test_a_seeded_empty_queue_has_nobody_waiting(jobs: JobStore) -> None:
    """The first job after a loss is told that it is next."""
    jobs.seed(EVENT, highest_number=90, last_decided=80)

    [answer] = jobs.enqueue([_new()])

    assert isinstance(answer, Enqueued)
    assert answer.job.queue_number - answer.last_decided == 1


# Reading.


def test_reading_goes_on_after_a_number_and_stops_at_its_count(jobs: JobStore) -> None:
    """A stretch of the queue can be read from any number on, in any size."""
    waiting = _fill(jobs, 10)

    assert _pending(jobs, after=4, count=3) == waiting[4:7]
    assert _pending(jobs, after=10) == []
    assert jobs.read_pending(EVENT, after=9, count=5, highest_number=0).next_number == 11


def test_reading_raises_the_next_number_over_what_the_process_has_seen(jobs: JobStore) -> None:
    """An actor that knows higher numbers than Redis sees to it that none is given twice."""
    _fill(jobs, 2)

    read = jobs.read_pending(EVENT, after=0, count=5, highest_number=30)

    assert read.next_number == 31
    assert _accepted(jobs.enqueue([_new()])[0]).queue_number == 31


def test_reading_a_queue_that_redis_does_not_know_invents_nothing(jobs: JobStore, redis_client: redis.Redis) -> None:
    """An unknown event is empty and stays unknown."""
    read = jobs.read_pending(EVENT, after=0, count=5, highest_number=30)

    assert (read.jobs, read.next_number) == ([], 0)
    assert redis_client.keys() == []


# Finishing.


def test_a_finished_job_leaves_the_queue_and_keeps_its_answer_for_its_time(
    make_jobs: Callable[..., JobStore], redis_client: redis.Redis
) -> None:
    """The entry is gone, the hash says the outcome and will expire."""
    jobs = make_jobs(ttl_s=100)
    first, second = _fill(jobs, 2)

    jobs.finish([Finish(EVENT, [_answer(first), _answer(second, Reason.SOLD_OUT)], 2, 0.0)])

    confirmed, refused = jobs.status(first.job_id), jobs.status(second.job_id)
    assert confirmed is not None
    assert refused is not None
    assert confirmed.outcome == _answer(first).outcome
    assert refused.outcome == _answer(second, Reason.SOLD_OUT).outcome
    assert confirmed.job._replace(request_id=first.request_id) == first
    assert _pending(jobs) == []
    [key] = redis_client.keys(f"*:job:{first.job_id}")
    assert 0 < redis_client.ttl(key) <= 100


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Kind.CONFIRMED, None), (Kind.CANCELLED, Reason.CANCELLED), (Kind.FAILED, Reason.POISON)]
    + [(Kind.REJECTED, reason) for reason in (Reason.SOLD_OUT, Reason.EVENT_GONE, Reason.EXPIRED)],
)
def test_every_outcome_is_told_as_it_was_noted(jobs: JobStore, kind: Kind, reason: Reason | None) -> None:
    """Kind and reason come back the same."""
    [job] = _fill(jobs, 1)
    outcome = Outcome(job_id=job.job_id, kind=kind, reason=reason, booking_id=None, decided_at=_AT)

    jobs.finish([Finish(EVENT, [FinishedJob(job, outcome, 4)], 1, 0.0)])

    status = jobs.status(job.job_id)
    assert status is not None
    assert (status.outcome, status.attempts) == (outcome, 4)


def test_finishing_twice_changes_nothing(make_jobs: Callable[..., JobStore]) -> None:
    """A repetition removes nobody else, and frees no second place of the user."""
    jobs = make_jobs(user_jobs_max=2)
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    first, second = [_accepted(answer) for answer in jobs.enqueue([_new(5), _new(5)])]

    for _ in range(3):
        _finish(jobs, [first])

    assert _pending(jobs) == [second]
    assert isinstance(jobs.enqueue([_new(5)])[0], Enqueued)
    assert jobs.enqueue([_new(5)]) == [UserCrowded()]
    assert _position(jobs, second) == (2, 1)


def test_the_position_never_goes_back(jobs: JobStore) -> None:
    """An older finish that comes late lowers neither the last decided nor the next number."""
    waiting = _fill(jobs, 6)
    _finish(jobs, waiting[3:5])

    _finish(jobs, waiting[:2])

    assert _position(jobs, waiting[5]) == (6, 5)
    assert _accepted(jobs.enqueue([_new(9)])[0]).queue_number == 7


def test_a_withdrawal_moves_neither_end_of_the_queue(jobs: JobStore) -> None:
    """Those ahead are still ahead."""
    waiting = _fill(jobs, 3)

    _finish(jobs, [waiting[1]], last_decided=0)

    assert _pending(jobs) == [waiting[0], waiting[2]]
    assert _position(jobs, waiting[2]) == (3, 0)


def test_a_finish_raises_the_next_number_above_itself(jobs: JobStore, redis_client: redis.Redis) -> None:
    """Redis that went back meanwhile gives no number that was decided already."""
    waiting = _fill(jobs, 5)
    [meta] = redis_client.keys("*:meta")
    redis_client.hset(meta, "next", 2)

    _finish(jobs, waiting)

    assert _accepted(jobs.enqueue([_new(9)])[0]).queue_number == 6


def test_a_finish_gives_a_queue_that_forgot_its_numbers_no_new_ones(jobs: JobStore, redis_client: redis.Redis) -> None:
    """Higher numbers than those of one batch may have been given before Redis was emptied."""
    waiting = _fill(jobs, 5)
    redis_client.flushall()

    _finish(jobs, waiting[:2])

    assert jobs.enqueue([_new(9)]) == [Unseeded()]


def test_a_finish_never_brings_a_forgotten_job_back(jobs: JobStore, redis_client: redis.Redis) -> None:
    """A hash that is gone stays gone: a half-written one would lie about the job."""
    [job] = _fill(jobs, 1)
    redis_client.flushall()

    _finish(jobs, [job])

    assert jobs.status(job.job_id) is None
    assert redis_client.keys("*:job:*") == []


def test_a_finish_removes_no_other_job_of_the_same_number(
    make_jobs: Callable[..., JobStore], redis_client: redis.Redis
) -> None:
    """After Redis went back its numbers are given again: only the very same job is taken out."""
    jobs = make_jobs(user_jobs_max=1)
    old = _fill(jobs, 2)
    redis_client.flushall()
    new = _fill(jobs, 2)
    assert [job.queue_number for job in new] == [job.queue_number for job in old]

    _finish(jobs, old)

    assert _pending(jobs) == new
    assert jobs.enqueue([_new(1)]) == [UserCrowded()]


def test_a_finish_under_an_old_number_leaves_the_jobs_new_entry(jobs: JobStore, redis_client: redis.Redis) -> None:
    """A keyed job that was queued again has a new number; finishing the old one takes nobody's entry."""
    job_id = keyed_job_id(bytes(32), EVENT, 1, "key")
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    old = _accepted(jobs.enqueue([NewJob(job_id, EVENT, 1, 1, None)])[0])
    redis_client.flushall()
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    other = _accepted(jobs.enqueue([_new(2)])[0])
    again = _accepted(jobs.enqueue([NewJob(job_id, EVENT, 1, 1, None)])[0])
    assert (other.queue_number, again.queue_number) == (old.queue_number, 2)

    _finish(jobs, [old])
    assert _pending(jobs) == [other, again]
    _finish(jobs, [again])
    assert _pending(jobs) == [other]


def test_the_finishes_of_many_events_go_together(jobs: JobStore) -> None:
    """One round trip finishes all of a transaction's events."""
    first = _fill(jobs, 2)
    second = _fill(jobs, 3, event_id=EVENT + 1)

    jobs.finish(
        [
            Finish(EVENT, [_answer(job) for job in first], 2, 0.0),
            Finish(EVENT + 1, [_answer(job) for job in second[:2]], 2, 0.0),
        ]
    )

    assert _pending(jobs) == []
    assert jobs.read_pending(EVENT + 1, after=0, count=9, highest_number=0).jobs == second[2:]


def test_the_pace_is_a_mean_that_leans_on_the_newest(jobs: JobStore) -> None:
    """The first batch sets it, each later one counts a fifth."""
    waiting = _fill(jobs, 3)
    _finish(jobs, waiting[:1], pace_s=0.010)
    _finish(jobs, waiting[1:2], pace_s=0.020)

    status = jobs.status(waiting[2].job_id)

    assert status is not None
    assert status.pace_s == pytest.approx(0.012)


def test_the_jitter_is_how_far_batches_were_from_the_pace(jobs: JobStore) -> None:
    """Half of the first; then a quarter of the newest distance; what was not measured changes nothing."""
    waiting = _fill(jobs, 5)
    told = []
    for job, pace_s in zip(waiting, (0.010, 0.020, 0.0, 0.002), strict=False):
        _finish(jobs, [job], pace_s=pace_s)
        status = jobs.status(waiting[4].job_id)
        assert status is not None
        told.append((status.pace_s, status.jitter_s))

    # 10; 10 + 2, then |20 - 10| = 10; then 12 - 2, |2 - 12| = 10.
    assert [pace for pace, _ in told] == pytest.approx([0.010, 0.012, 0.012, 0.010])
    assert [jitter for _, jitter in told] == pytest.approx([0.005, 0.00625, 0.00625, 0.0071875], abs=1e-6)
    [accepted] = jobs.enqueue([_new(9)])
    assert isinstance(accepted, Enqueued)
    assert (accepted.pace_s, accepted.jitter_s) == told[-1]


def test_a_pace_that_is_no_whole_number_stops_nobody(jobs: JobStore, redis_client: redis.Redis) -> None:
    """Whoever put it there: the job is accepted by then, and its caller waits for the answer."""
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    redis_client.hset(f"{{aa:{shard_of_event(EVENT):02d}}}:event:{EVENT}:meta", "pace", "2000000.4")

    [answer] = jobs.enqueue([_new()])

    assert isinstance(answer, Enqueued)
    assert answer.pace_s == 2.0


def test_a_pace_that_is_older_than_the_jitter_gets_one(jobs: JobStore, redis_client: redis.Redis) -> None:
    """A queue that an earlier version measured goes on being measured."""
    waiting = _fill(jobs, 3)
    _finish(jobs, waiting[:1], pace_s=0.010)
    [meta] = redis_client.keys("*:meta")
    redis_client.hdel(meta, "jitter")

    _finish(jobs, waiting[1:2], pace_s=0.010)

    status = jobs.status(waiting[2].job_id)
    assert status is not None
    assert status.jitter_s == pytest.approx(0.00375)


def test_whoever_listens_is_told_of_the_change(jobs: JobStore, redis_client: redis.Redis) -> None:
    """Each finish is published with its event's id in the shard's channel."""
    [job] = _fill(jobs, 1)
    with redis_client.pubsub() as listener:
        listener.psubscribe("*:decided")
        assert listener.get_message(timeout=5)["type"] == "psubscribe"
        _finish(jobs, [job])
        message = listener.get_message(timeout=5)

    assert message["data"] == str(EVENT).encode()


# Looking.


def test_an_unknown_job_has_no_status(jobs: JobStore) -> None:
    """Redis knows nothing of it."""
    assert jobs.status(random_job_id(EVENT)) is None


def test_what_was_handed_in_is_told(jobs: JobStore) -> None:
    """The status says up to which number jobs are being processed."""
    waiting = _fill(jobs, 3)

    jobs.announce([(EVENT, 2)])

    status = jobs.status(waiting[0].job_id)
    assert status is not None
    assert (status.handed_in, status.last_decided, status.outcome) == (2, 0, None)


def test_events_with_work_are_listed_by_their_oldest_job(jobs: JobStore) -> None:
    """Whoever waits longest comes first; an event whose queue is empty is not listed."""
    for event_id in (EVENT, 5, EVENT + 64, 900):
        _fill(jobs, 2, event_id=event_id)
    [oldest, _] = _pending(jobs)

    assert jobs.events_with_work(100) == [EVENT, 5, EVENT + 64, 900]
    _finish(jobs, [oldest])
    assert jobs.events_with_work(100)[0] == EVENT
    _finish(jobs, _pending(jobs))
    assert jobs.events_with_work(100) == [5, EVENT + 64, 900]


def test_an_event_whose_oldest_job_is_decided_moves_back_in_the_line(
    jobs: JobStore,
) -> None:
    """The index follows the oldest job that is left."""
    [first] = _fill(jobs, 1)
    _fill(jobs, 1, event_id=5)
    jobs.enqueue([_new(9)])
    assert jobs.events_with_work(100) == [EVENT, 5]

    _finish(jobs, [first])

    assert jobs.events_with_work(100) == [5, EVENT]


def test_only_so_many_events_of_a_shard_are_listed(jobs: JobStore) -> None:
    """The list is bounded, by those that wait longest."""
    for event_id in (64, 128, 192):
        _fill(jobs, 1, event_id=event_id)

    assert jobs.events_with_work(2) == [64, 128]


def test_an_events_keys_share_a_slot_of_a_cluster(jobs: JobStore, redis_client: redis.Redis) -> None:
    """Every key carries the same hash tag, and no key is left without."""
    [job] = _fill(jobs, 1)
    jobs.announce([(EVENT, 1)])
    _finish(jobs, [job])

    keys = {key.decode() for key in redis_client.scan_iter()}

    assert keys
    assert all(key.startswith(f"{{aa:{shard_of_event(EVENT):02d}}}:") for key in keys)


def test_an_error_of_redis_is_the_stores_own(jobs: JobStore, redis_client: redis.Redis) -> None:
    """A script that fails is no driver's exception for anybody above."""
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    redis_client.set(f"{{aa:{shard_of_event(EVENT):02d}}}:event:{EVENT}:jobs", "not a stream")

    with pytest.raises(StoreError):
        jobs.enqueue([_new()])


def test_a_redis_that_is_not_there_is_unavailable_and_fails_fast() -> None:
    """The accepting client does not repeat by itself: a refused connection is an answer."""
    client = accepting_client(Settings(redis_url="redis://127.0.0.1:1/0"))
    jobs = JobStore(client, depth_max=1, user_jobs_max=1, ttl_s=1)

    began = datetime.now(UTC)
    with pytest.raises(StoreUnavailableError):
        jobs.enqueue([_new()])

    assert datetime.now(UTC) - began < timedelta(seconds=1)
    jobs.close()


# Many jobs in one call, and one connection for many calls.


def test_each_job_of_a_call_gets_its_own_answer(jobs: JobStore) -> None:
    """Of two events, in turn: accepted, known, conflicting and unseeded ones, in the order of the call."""
    other = EVENT + 64
    [known] = _fill(jobs, 1)
    repeated = NewJob(known.job_id, EVENT, known.user_id, known.quantity, None)
    unseeded, fresh, twice = _new(2, event_id=other), _new(3), _new(4)

    answers = jobs.enqueue([fresh, unseeded, repeated, repeated._replace(quantity=2), twice, twice])

    assert _accepted(answers[0]).queue_number == 2
    assert isinstance(answers[1], Unseeded)
    assert isinstance(answers[2], Enqueued)
    assert (answers[2].known, answers[2].job) == (True, known)
    assert isinstance(answers[3], Conflict)
    assert _accepted(answers[4]).queue_number == 3
    # The same job twice in one call is the same job.
    assert isinstance(answers[5], Enqueued)
    assert (answers[5].known, answers[5].job) == (True, _accepted(answers[4]))
    assert [job.job_id for job in _pending(jobs)] == [known.job_id, fresh.job_id, twice.job_id]


def test_more_jobs_than_a_call_takes_are_all_accepted_and_finished(jobs: JobStore, redis_client: redis.Redis) -> None:
    """Of several events, in turn: each is accepted once, in its event's order, and leaves its queue."""
    events, each = [EVENT, EVENT + 1, EVENT + 64, EVENT + 65, EVENT + 130], 30
    jobs.seed_all([(event_id, 0, 0) for event_id in events])
    wanted = [_new(user, event_id=event_id) for user in range(1, each + 1) for event_id in events]
    assert len(wanted) > 2 * jobs_module._CALL_JOBS

    accepted = [_accepted(answer) for answer in jobs.enqueue(wanted)]

    assert [job.job_id for job in accepted] == [job.job_id for job in wanted]
    assert [job.queue_number for job in accepted] == [number for number in range(1, each + 1) for _ in events]
    of_event = {event_id: [job for job in accepted if job.event_id == event_id] for event_id in events}
    for event_id, own in of_event.items():
        assert jobs.read_pending(event_id, after=0, count=each + 1, highest_number=0).jobs == own
    assert jobs.backlog(100).jobs_of == dict.fromkeys(events, each)

    jobs.finish([Finish(event_id, [_answer(job) for job in own], each, 0.0) for event_id, own in of_event.items()])

    assert jobs.backlog(100).jobs == 0
    for job in accepted:
        status = jobs.status(job.job_id)
        assert status is not None
        assert status.outcome == _answer(job).outcome
    assert not list(redis_client.scan_iter("*:users"))


def test_limits_are_met_in_the_middle_of_a_call(jobs: JobStore, redis_client: redis.Redis) -> None:
    """What is over the limit is refused, and what comes before and after it is not."""
    small = JobStore(redis_client, depth_max=3, user_jobs_max=2, ttl_s=60)
    small.seed(EVENT, highest_number=0, last_decided=0)

    answers = small.enqueue([_new(1), _new(1), _new(1), _new(2), _new(3)])

    assert [type(answer) for answer in answers] == [Enqueued, Enqueued, UserCrowded, Enqueued, QueueFull]
    assert [job.queue_number for job in _pending(small)] == [1, 2, 3]
    # An actor takes a gap for jobs that it was not told of, and reads the stream.
    assert small.next_numbers([EVENT]) == [4]


def test_a_call_that_fails_midway_leaves_a_queue_that_goes_on(jobs: JobStore, redis_client: redis.Redis) -> None:
    """What came before the failure is accepted, and no number is given again, which Redis would refuse for ever."""
    [first] = _fill(jobs, 1)
    broken = _new(3)
    redis_client.set(f"{{aa:{shard_of_event(EVENT):02d}}}:job:{broken.job_id}", "not a hash")

    with pytest.raises(StoreError):
        jobs.enqueue([_new(2), broken, _new(4)])
    [later] = jobs.enqueue([_new(5)])

    numbers = [job.queue_number for job in _pending(jobs)]
    assert numbers == [first.queue_number, 2, _accepted(later).queue_number]
    assert numbers == sorted(set(numbers))


def test_many_events_are_seeded_at_once(jobs: JobStore) -> None:
    """Each gets numbers of its own, and one that has some keeps them."""
    _fill(jobs, 2)

    jobs.seed_all([(EVENT, 0, 0), (EVENT + 1, 0, 0), (EVENT + 2, 40, 38)])

    answers = jobs.enqueue([_new(9), _new(9, event_id=EVENT + 1), _new(9, event_id=EVENT + 2)])
    assert [_accepted(answer).queue_number for answer in answers] == [3, 1, 41]


@pytest.mark.parametrize("error", [redis.TimeoutError("too late"), KeyboardInterrupt(), AttributeError("no socket")])
def test_no_answer_is_taken_for_the_next_ones(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """A call that failed before its replies were read leaves none of them to be read by somebody else."""
    _fill(jobs, 3)
    connection = jobs._scripts._take()
    jobs._scripts._warm.append((connection, time.monotonic()))

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(connection, "read_response", fail)
    raised = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else StoreUnavailableError
    with pytest.raises(raised):
        jobs.enqueue([_new(10), _new(11, event_id=EVENT + 1)])
    monkeypatch.undo()

    # Had it been left, the two replies would answer these.
    assert [job.queue_number for job in _pending(jobs)] == [1, 2, 3, 4]
    assert jobs.status(random_job_id(EVENT)) is None


def test_a_connection_that_the_server_closed_is_not_used(jobs: JobStore, redis_client: redis.Redis) -> None:
    """After a moment's rest it is looked at first; whoever uses it right away hears of it, once."""
    _fill(jobs, 1)
    jobs._scripts._warm[:] = [(connection, at - 2 * scripts._WARM_S) for connection, at in jobs._scripts._warm]
    redis_client.client_kill_filter(_type="normal", skipme=True)

    assert isinstance(jobs.enqueue([_new(5)])[0], Enqueued)

    redis_client.client_kill_filter(_type="normal", skipme=True)
    with suppress(StoreUnavailableError):
        jobs.enqueue([_new(6)])
    assert isinstance(jobs.enqueue([_new(7)])[0], Enqueued)


def test_connections_are_shared_and_come_back(jobs: JobStore) -> None:
    """Eight threads at a time need eight connections at most, however long they go on."""
    _fill(jobs, 1)
    barrier = threading.Barrier(8)
    taken: set[int] = set()
    take = jobs._scripts._take

    def noting() -> Any:
        connection = take()
        taken.add(id(connection))
        return connection

    jobs._scripts._take = noting  # type: ignore[method-assign]

    def work(user: int) -> None:
        barrier.wait()
        for _ in range(50):
            jobs.status(random_job_id(EVENT))
            jobs.enqueue([_new(user)])

    threads = [threading.Thread(target=work, args=(user,)) for user in range(100, 108)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 <= len(taken) <= 8
    assert len(_pending(jobs)) == 1 + 8 * 50


def test_the_depth_of_a_queue_is_what_is_undecided(jobs: JobStore):
    assert jobs.depth(EVENT) == 0
    waiting = _fill(jobs, 3)
    _fill(jobs, 1, event_id=EVENT + 64)
    assert jobs.depth(EVENT) == 3
    _finish(jobs, waiting[:2])
    assert jobs.depth(EVENT) == 1


def test_a_closed_queue_takes_no_new_jobs_and_keeps_its_own(jobs: JobStore):
    """What it knows is answered as before, and another event of the same shard is not concerned."""
    first, second = _new(1), _new(2)
    jobs.seed(EVENT, highest_number=0, last_decided=0)
    [accepted] = jobs.enqueue([first])
    jobs.close_queue(EVENT)
    jobs.close_queue(EVENT)

    known, conflict, refused = jobs.enqueue([first, first._replace(quantity=2), second])

    assert isinstance(known, Enqueued)
    assert (known.job, known.known) == (_accepted(accepted), True)
    assert (conflict, refused) == (Conflict(), EventGone())
    assert _pending(jobs) == [_accepted(accepted)]
    _fill(jobs, 1, event_id=EVENT + 64)
    _finish(jobs, [_accepted(accepted)])
    assert jobs.enqueue([second]) == [EventGone()]


def test_a_queue_that_has_no_numbers_can_be_closed(jobs: JobStore):
    """It stays closed when it is given numbers after all."""
    jobs.close_queue(EVENT)
    assert jobs.enqueue([_new()]) == [EventGone()]
    assert jobs.next_numbers([EVENT]) == [0]
    jobs.seed(EVENT, highest_number=5, last_decided=5)
    assert jobs.next_numbers([EVENT]) == [6]
    assert jobs.enqueue([_new()]) == [EventGone()]


@pytest.mark.parametrize(
    ("setting", "refusing", "usual"), [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")]
)
def test_a_redis_that_takes_no_writes_is_known_as_one(
    own_redis: EmbeddedRedis, setting: str, refusing: str, usual: str
) -> None:
    """Whether a command is refused by itself or in a script: it answers, so it is not out of reach."""
    with redis.Redis.from_url(own_redis.url(), protocol=2) as client:
        jobs = JobStore(client, depth_max=100, user_jobs_max=100, ttl_s=60)
        jobs.seed(EVENT, highest_number=0, last_decided=0)
        client.config_set(setting, refusing)
        for write in (lambda: jobs.enqueue([_new()]), jobs.probe_writing):
            with pytest.raises(StoreRefusesError):
                write()
        client.config_set(setting, usual)
        _accepted(jobs.enqueue([_new()])[0])


def test_hundreds_who_ask_at_once_wait_for_each_other(settings: Settings) -> None:
    """As the actors do after a start: that they are many is no outage, and keeps nobody else from the connections."""
    client = patient_client(settings)
    jobs = JobStore(client, depth_max=100, user_jobs_max=100, ttl_s=60)
    barrier, errors = threading.Barrier(300), []

    def read(number: int) -> None:
        barrier.wait(20)
        try:
            jobs.read_pending(number, after=0, count=10, highest_number=0)
            jobs.ping()
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(1, 301)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    jobs.close()
    assert errors == []
