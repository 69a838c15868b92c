"""The queue in Redis: accepting jobs, reading them in order, noting their outcomes.

All keys of an event share one hash tag, ``{aa:NN}``, so that they share a slot in Redis Cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import redis

from aurora_atlan.persistence import scripts
from aurora_atlan.persistence.durability import RedisState, read_redis_state
from aurora_atlan.persistence.errors import translated
from aurora_atlan.persistence.job_ids import SHARDS, shard_of_job
from aurora_atlan.persistence.queue_keys import (
    COMPLETED,
    FAILED,
    event_tag,
    finished_key,
    job_key,
    meta_key,
    pending_key,
    shard_tag,
    stream_key,
)
from aurora_atlan.persistence.records import Job, Kind, NewJob, Outcome, Reason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")

# So many jobs make a call of a script: what it costs by itself is little then, and nobody waits for long behind it.
_CALL_JOBS = 64


@dataclass(slots=True)
class Enqueued:
    """The job is in the queue."""

    job: Job
    last_decided: int
    # Seconds per decided job of this event, 0.0 before the first.
    pace_s: float
    # It was there before: the same Idempotency-Key, or a repeated attempt to accept it.
    known: bool
    # It has its answer already.
    decided: bool = False
    # How far single batches are from that pace, on average.
    jitter_s: float = 0.0
    # Redis may have known the job once: jobs of this event have expired, or were lost.
    forgettable: bool = False
    # No job waited for the event before those that were accepted with this one.
    at_head: bool = False


@dataclass(frozen=True, slots=True)
class Unseeded:
    """Redis does not know where this event's numbers stand."""


@dataclass(frozen=True, slots=True)
class EventGone:
    """The event was deleted, and takes no new jobs."""


@dataclass(frozen=True, slots=True)
class QueueFull:
    """The event has as many jobs waiting as it may have."""


@dataclass(frozen=True, slots=True)
class UserCrowded:
    """The user has as many jobs waiting for the event as one may have."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The job id is known, for another quantity."""


Enqueueing = Enqueued | Unseeded | EventGone | QueueFull | UserCrowded | Conflict

_REFUSALS: dict[bytes, Enqueueing] = {
    b"unseeded": Unseeded(),
    b"gone": EventGone(),
    b"full": QueueFull(),
    b"crowded": UserCrowded(),
    b"conflict": Conflict(),
}


@dataclass(frozen=True, slots=True)
class Pending:
    """A stretch of an event's undecided jobs."""

    jobs: list[Job]
    # The number the next accepted job will get; 0 while Redis does not know.
    next_number: int


@dataclass(slots=True)
class FinishedJob:
    """A decided job and its outcome, to be noted in Redis."""

    job: Job
    outcome: Outcome
    attempts: int


class Finish(NamedTuple):
    """What one event's committed batch changes in Redis."""

    event_id: int
    jobs: Sequence[FinishedJob]
    # 0 leaves the queue's position alone (a withdrawal).
    last_decided: int
    pace_s: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in all events together, and how much of what is finished Redis still holds."""

    jobs: int
    events: int
    # When the job that waits longest was accepted; None when none waits.
    oldest_accepted_at: datetime | None
    # Of the jobs, those that are being decided.
    active: int = 0
    completed: int = 0
    failed: int = 0
    # How many jobs each event has.
    jobs_of: Mapping[int, int] = field(default_factory=dict)

    def oldest_waits_s(self, now: datetime) -> float:
        """Return how long the oldest job has waited, 0 when none waits."""
        oldest = self.oldest_accepted_at
        return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())


@dataclass(frozen=True, slots=True)
class QueuedStatus:
    """What Redis knows of a job."""

    job: Job
    outcome: Outcome | None
    attempts: int
    last_decided: int
    handed_in: int
    pace_s: float
    jitter_s: float = 0.0


class JobStore:
    """The queue, over one of the two clients of :mod:`aurora_atlan.persistence.redis_clients`."""

    def __init__(self, client: redis.Redis, *, depth_max: int, user_jobs_max: int, ttl_s: int) -> None:
        self._client = client
        self._scripts = scripts.Runner(client)
        self._depth_max = depth_max
        self._user_jobs_max = user_jobs_max
        self._ttl_s = ttl_s
        self._enqueue = scripts.load("enqueue_jobs")
        self._seed = scripts.load("seed_queue")
        self._read_pending = scripts.load("read_pending")
        self._finish = scripts.load("finish_jobs")
        self._status = scripts.load("job_status")

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def ping(self) -> None:
        """Ask for a sign of life; raises a :class:`~aurora_atlan.persistence.errors.StoreError` without one."""
        with translated():
            self._client.ping()

    def probe_writing(self) -> None:
        """Write something of no importance, over new connections: a demoted primary stays read-only for ever."""
        with translated():
            self._client.connection_pool.disconnect()
            self._client.set(f"{shard_tag(0)}probe", 1, ex=60)

    def redis_state(self) -> RedisState:
        """Read how safe the queue is as Redis is configured now."""
        return read_redis_state(self._client)

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueueing]:
        """Accept the jobs in this order, each on its own, in one round trip."""
        of_event: dict[int, list[NewJob]] = {}
        for job in jobs:
            of_event.setdefault(job.event_id, []).append(job)
        calls = list(_divided(list(of_event.values()), len))
        replies = self._scripts.run([self._enqueue_call(groups) for groups in calls])
        answers: dict[int, Iterator[Enqueueing]] = {}
        for groups, reply in zip(calls, replies, strict=True):
            answers.update(_enqueueings(groups, reply))
        return [next(answers[job.event_id]) for job in jobs]

    def seed(self, event_id: int, *, highest_number: int, last_decided: int) -> None:
        """Let the event's numbers start above ``highest_number``, unless they have started already."""
        self.seed_all([(event_id, highest_number, last_decided)])

    def seed_all(self, seeds: Sequence[tuple[int, int, int]]) -> None:
        """Seed many: (event, highest number, last decided number) each, in one round trip."""
        calls = []
        for event_id, highest_number, last_decided in seeds:
            keys = [meta_key(event_id), stream_key(event_id)]
            calls.append(scripts.Call(self._seed, keys, [highest_number, last_decided]))
        self._scripts.run(calls)

    def close_queue(self, event_id: int) -> None:
        """Let no new job into the queue of an event that is gone; those that wait stay."""
        with translated():
            self._client.hset(f"{event_tag(event_id)}event:{event_id}:meta", "gone", 1)

    def depth(self, event_id: int) -> int:
        """Return how many of the event's jobs are undecided."""
        with translated():
            return int(self._client.xlen(f"{event_tag(event_id)}event:{event_id}:jobs"))

    def read_pending(self, event_id: int, *, after: int, count: int, highest_number: int) -> Pending:
        """Read up to ``count`` undecided jobs with a queue number above ``after``, in order."""
        keys = [stream_key(event_id), meta_key(event_id)]
        call = scripts.Call(self._read_pending, keys, [after, count, highest_number])
        [(next_number, entries)] = self._scripts.run([call])
        return Pending([job_of_entry(event_id, entry) for entry in entries], next_number)

    def announce(self, handed_in: Sequence[tuple[int, int]]) -> None:
        """Note for each event up to which queue number its jobs are now being processed."""
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for event_id, number in handed_in:
                pipeline.hset(meta_key(event_id), "handed_in", number)
            pipeline.execute()

    def finish(self, finishes: Sequence[Finish]) -> None:
        """Take decided jobs out of the queue and note their outcomes, in one round trip; repeatable."""
        calls = _divided(finishes, lambda finish: len(finish.jobs))
        self._scripts.run([self._finish_call(together) for together in calls])

    def status(self, job_id: UUID) -> QueuedStatus | None:
        """Read what Redis knows of the job; None when that is nothing."""
        tag = shard_tag(shard_of_job(job_id))
        [reply] = self._scripts.run([scripts.Call(self._status, [job_key(tag, job_id)], [tag])])
        return _queued_status(job_id, reply) if reply else None

    def next_numbers(self, event_ids: Sequence[int]) -> list[int]:
        """Return the number that each event's next accepted job would get; 0 where Redis does not know."""
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for event_id in event_ids:
                pipeline.hget(meta_key(event_id), "next")
            return [int(reply or 0) for reply in pipeline.execute()]

    def events_with_work(self, per_shard_max: int) -> list[int]:
        """Return events that have undecided jobs, of each shard those that wait longest."""
        return [event_id for _, event_id in self._waiting(per_shard_max)]

    def backlog(self, per_shard_max: int) -> Backlog:
        """Count what waits, in the events that wait longest of each shard; the queues' lengths cost nothing."""
        waiting = self._waiting(per_shard_max)
        # Records that nothing was added to since they expired are still listed.
        alive_from = int((time.time() - self._ttl_s) * 1_000_000)
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for status in (COMPLETED, FAILED):
                for shard in range(SHARDS):
                    pipeline.zcount(finished_key(shard, status), alive_from, "+inf")
            for _, event_id in waiting:
                pipeline.xlen(stream_key(event_id))
                pipeline.hmget(meta_key(event_id), "handed_in", "last_decided")
            replies: list[Any] = pipeline.execute()
        events = replies[2 * SHARDS :]
        jobs_of = {event_id: length for (_, event_id), length in zip(waiting, events[::2], strict=True)}
        return Backlog(
            jobs=sum(jobs_of.values()),
            events=len(waiting),
            oldest_accepted_at=time_of(int(waiting[0][0])) if waiting else None,
            active=sum(_active(length, meta) for length, meta in zip(events[::2], events[1::2], strict=True)),
            completed=sum(replies[:SHARDS]),
            failed=sum(replies[SHARDS : 2 * SHARDS]),
            jobs_of=jobs_of,
        )

    def _waiting(self, per_shard_max: int) -> list[tuple[float, int]]:
        # When the event's oldest job was accepted (us), and the event; those that wait longest first.
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for shard in range(SHARDS):
                pipeline.zrange(pending_key(shard), 0, per_shard_max - 1, withscores=True)
            replies: list[list[tuple[bytes, float]]] = pipeline.execute()
        return sorted((since, int(event_id)) for reply in replies for event_id, since in reply)

    def _enqueue_call(self, groups: Sequence[Sequence[NewJob]]) -> scripts.Call:
        keys: list[str] = []
        arguments: list[scripts.Argument] = [self._depth_max, self._user_jobs_max, self._ttl_s]
        for jobs in groups:
            event_id = jobs[0].event_id
            tag = event_tag(event_id)
            event = f"{tag}event:{event_id}:"
            keys += (event + "jobs", event + "meta", event + "users", tag + "pending")
            arguments += (event_id, len(jobs))
            for job in jobs:
                keys.append(job_key(tag, job.job_id))
                arguments += (job.user_id, job.quantity, job.request_id or "")
        return scripts.Call(self._enqueue, keys, arguments)

    def _finish_call(self, finishes: Sequence[Finish]) -> scripts.Call:
        keys: list[str] = []
        arguments: list[scripts.Argument] = [self._ttl_s]
        for finish in finishes:
            tag = event_tag(finish.event_id)
            event = f"{tag}event:{finish.event_id}:"
            keys += (event + "jobs", event + "meta", event + "users", tag + "pending", tag + COMPLETED, tag + FAILED)
            pace = round(finish.pace_s * 1_000_000)
            arguments += (finish.event_id, finish.last_decided, pace, tag + "decided", len(finish.jobs))
            for finished in finish.jobs:
                job, outcome = finished.job, finished.outcome
                keys.append(job_key(tag, job.job_id))
                arguments += (
                    job.queue_number,
                    job.user_id,
                    COMPLETED if outcome.kind is Kind.CONFIRMED else FAILED,
                    outcome.reason or "",
                    outcome.booking_id or "",
                    (outcome.decided_at - _EPOCH) // _MICROSECOND,
                    finished.attempts,
                )
        return scripts.Call(self._finish, keys, arguments)


def time_of(microseconds: int) -> datetime:
    """Return the time so long after 1970 began, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _active(length: int, meta: Sequence[bytes | None]) -> int:
    # Of what was handed in, some may have been withdrawn.
    handed_in, last_decided = (int(value or 0) for value in meta)
    return max(0, min(length, handed_in - last_decided))


def _divided(parts: Sequence[T], jobs_of: Callable[[T], int]) -> Iterator[list[T]]:
    # Into calls of about as many jobs.
    together: list[T] = []
    jobs = 0
    for part in parts:
        together.append(part)
        jobs += jobs_of(part)
        if jobs >= _CALL_JOBS:
            yield together
            together, jobs = [], 0
    if together:
        yield together


def _enqueueings(groups: Sequence[Sequence[NewJob]], reply: bytes) -> Iterator[tuple[int, Iterator[Enqueueing]]]:
    words = iter(reply.split(b" "))
    accepted_at = time_of(int(next(words)))
    for jobs in groups:
        last_decided, pace, jitter = int(next(words)), int(next(words)), int(next(words))
        forgettable, waited = next(words) == b"1", next(words) == b"1"
        standing = _Standing(last_decided, pace / 1_000_000, jitter / 1_000_000, forgettable, waited, accepted_at)
        yield jobs[0].event_id, iter([_enqueueing(job, next(words), standing) for job in jobs])


@dataclass(slots=True)
class _Standing:
    # Where an event's queue stands.
    last_decided: int
    pace_s: float
    jitter_s: float
    forgettable: bool
    waited: bool
    now: datetime


def _enqueueing(job: NewJob, answer: bytes, event: _Standing) -> Enqueueing:
    if answer.isdigit():
        accepted = _numbered(job, int(answer), event.now)
        return Enqueued(
            accepted,
            event.last_decided,
            event.pace_s,
            known=False,
            jitter_s=event.jitter_s,
            forgettable=event.forgettable,
            at_head=not event.waited,
        )
    if answer.startswith(b"known:"):
        _, number, at, decided = answer.split(b":")
        before = _numbered(job, int(number), time_of(int(at)))
        return Enqueued(
            before, event.last_decided, event.pace_s, known=True, decided=decided == b"1", jitter_s=event.jitter_s
        )
    return _REFUSALS[answer]


def _numbered(job: NewJob, number: int, accepted_at: datetime) -> Job:
    return Job(job.job_id, job.event_id, job.user_id, job.quantity, number, accepted_at, job.request_id)


def job_of_entry(event_id: int, entry: list[Any]) -> Job:
    """Return the job that an entry of the event's stream, as XRANGE gives it, stands for."""
    entry_id, fields = entry
    _, job_id, _, user, _, quantity, _, accepted, _, request_id = fields
    return Job(
        UUID(job_id.decode()),
        event_id,
        int(user),
        int(quantity),
        int(entry_id.partition(b"-")[0]),
        time_of(int(accepted)),
        request_id.decode() or None,
    )


def _queued_status(job_id: UUID, reply: list[bytes | None]) -> QueuedStatus:
    event, user, quantity, number, accepted, status, reason, booking, decided, attempts, *meta = reply
    last_decided, handed_in, pace, jitter = (int(value or 0) for value in meta)
    job = Job(
        job_id,
        int(event or 0),
        int(user or 0),
        int(quantity or 0),
        int(number or 0),
        time_of(int(accepted or 0)),
        None,
    )
    outcome = None
    if status is not None:
        word = (reason or b"").decode()
        outcome = Outcome(
            job_id=job_id,
            kind=_kind(status, word),
            reason=Reason(word) if word else None,
            booking_id=int(booking) if booking else None,
            decided_at=time_of(int(decided or 0)),
        )
    return QueuedStatus(job, outcome, int(attempts or 0), last_decided, handed_in, pace / 1_000_000, jitter / 1_000_000)


def _kind(status: bytes, reason: str) -> Kind:
    if status == b"completed":
        return Kind.CONFIRMED
    if reason == Reason.CANCELLED:
        return Kind.CANCELLED
    return Kind.FAILED if reason == Reason.POISON else Kind.REJECTED
