"""A queue with the semantics of the Lua scripts, which loses its memory, its replies or its temper when told to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from aurora_atlan.persistence.durability import Durability, RedisState
from aurora_atlan.persistence.errors import StoreError, StoreRefusesError, StoreTimeoutError, StoreUnavailableError
from aurora_atlan.persistence.jobs import (
    Conflict,
    Enqueued,
    Enqueueing,
    Finish,
    FinishedJob,
    Pending,
    QueuedStatus,
    QueueFull,
    Unseeded,
    UserCrowded,
)
from aurora_atlan.persistence.records import Job, NewJob, Outcome

if TYPE_CHECKING:
    from simulation.world import World

T = TypeVar("T")

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Hash:
    """A job's hash."""

    job: Job
    outcome: Outcome | None = None
    attempts: int = 0


@dataclass(slots=True)
class EventQueue:
    """The keys of one event; ``next`` is 0 while its meta is missing."""

    next: int = 0
    last_decided: int = 0
    handed_in: int = 0
    stream: dict[int, Job] = field(default_factory=dict)
    last_generated: int = 0
    users: dict[int, int] = field(default_factory=dict)


class Memory:
    """What Redis holds."""

    def __init__(self) -> None:
        self.events: dict[int, EventQueue] = {}
        self.hashes: dict[UUID, Hash] = {}
        # Events with work, and since when.
        self.index: dict[int, datetime] = {}

    def event(self, event_id: int) -> EventQueue:
        """Return an event's keys."""
        return self.events.setdefault(event_id, EventQueue())

    def clone(self) -> Memory:
        """Copy it, as a snapshot on disk does."""
        twin = Memory()
        for event_id, queue in self.events.items():
            twin.events[event_id] = copy.copy(queue)
            twin.events[event_id].stream = dict(queue.stream)
            twin.events[event_id].users = dict(queue.users)
        twin.hashes = {job_id: copy.copy(known) for job_id, known in self.hashes.items()}
        twin.index = dict(self.index)
        return twin


class Queue:
    """The server: one memory for all processes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.memory = Memory()
        self.snapshot = Memory()
        self.down_until = 0.0
        self.refusing_until = 0.0
        # Asked of a server that answered too late.
        self.late: list[Callable[[], Any]] = []
        # In the order of acceptance, and what was lost; for the checks alone.
        self.log: list[Job] = []
        self.lost: set[UUID] = set()
        self.losses = 0

    @property
    def depth(self) -> int:
        """How many jobs wait."""
        return sum(len(queue.stream) for queue in self.memory.events.values())

    def save(self) -> None:
        """Remember the memory as it is now."""
        self.snapshot = self.memory.clone()

    def restart(self, *, older: bool) -> None:
        """Come back with the last snapshot, or empty."""
        before = self.memory
        self.memory = self.snapshot.clone() if older else Memory()
        self.lost.update(job_id for job_id in before.hashes if job_id not in self.memory.hashes)
        # A job queued again under a new number after its hash had expired.
        for event_id, queue in before.events.items():
            kept = {job.job_id for job in self.memory.event(event_id).stream.values()}
            self.lost.update(job.job_id for job in queue.stream.values() if job.job_id not in kept)
        self.losses += 1
        self.late.clear()

    def enqueue(self, job: NewJob, depth_max: int, user_jobs_max: int) -> Enqueueing:
        """enqueue_jobs.lua."""
        queue = self.memory.event(job.event_id)
        known = self.memory.hashes.get(job.job_id)
        if known is not None:
            if known.job.quantity != job.quantity:
                return Conflict()
            return Enqueued(known.job, queue.last_decided, 0.0, known=True, decided=known.outcome is not None)
        if not queue.next:
            return Unseeded()
        if len(queue.stream) >= depth_max:
            return QueueFull()
        if queue.users.get(job.user_id, 0) >= user_jobs_max:
            return UserCrowded()
        number = queue.next
        if number <= queue.last_generated:
            raise StoreError("The ID specified in XADD is equal or smaller than the target stream top item")
        accepted_at = _EPOCH + timedelta(seconds=self._world.clock.now)
        queued = Job(job.job_id, job.event_id, job.user_id, job.quantity, number, accepted_at, job.request_id)
        queue.next = number + 1
        queue.users[job.user_id] = queue.users.get(job.user_id, 0) + 1
        queue.stream[number] = queued
        queue.last_generated = number
        self.memory.hashes[job.job_id] = Hash(queued)
        self.memory.index.setdefault(job.event_id, accepted_at)
        self.log.append(queued)
        return Enqueued(queued, queue.last_decided, 0.0, known=False)

    def seed(self, event_id: int, highest: int, last_decided: int) -> None:
        """seed_queue.lua."""
        queue = self.memory.event(event_id)
        if queue.next:
            return
        highest = max(highest, queue.last_generated)
        queue.next = highest + 1
        queue.last_decided = last_decided if queue.stream else highest

    def read(self, event_id: int, after: int, count: int, highest: int) -> Pending:
        """read_pending.lua."""
        queue = self.memory.event(event_id)
        if 0 < queue.next <= highest:
            queue.next = highest + 1
        jobs = [job for number, job in queue.stream.items() if number > after][:count]
        return Pending(jobs, queue.next)

    def finish(self, finish: Finish) -> None:
        """finish_jobs.lua."""
        queue = self.memory.event(finish.event_id)
        for finished in finish.jobs:
            self._finish_job(queue, finished)
        if finish.last_decided > 0 and queue.next:
            queue.next = max(queue.next, finish.last_decided + 1)
            queue.last_decided = max(queue.last_decided, finish.last_decided)
        oldest = next(iter(queue.stream.values()), None)
        if oldest is not None:
            self.memory.index[finish.event_id] = oldest.accepted_at
        else:
            self.memory.index.pop(finish.event_id, None)

    def _finish_job(self, queue: EventQueue, finished: FinishedJob) -> None:
        job = finished.job
        known = self.memory.hashes.get(job.job_id)
        entry = queue.stream.get(job.queue_number)
        ours = known.job.queue_number == job.queue_number if known else entry is not None and entry.job_id == job.job_id
        if ours and entry is not None:
            del queue.stream[job.queue_number]
            left = queue.users.get(job.user_id, 0) - 1
            if left > 0:
                queue.users[job.user_id] = left
            else:
                queue.users.pop(job.user_id, None)
        if known is not None:
            known.outcome, known.attempts = finished.outcome, finished.attempts

    def expire(self) -> None:
        """Forget the jobs that have their answer, as time does."""
        hashes = self.memory.hashes
        self.memory.hashes = {job_id: known for job_id, known in hashes.items() if known.outcome is None}


class JobStoreDouble:
    """Stands in for ``JobStore`` in one process."""

    def __init__(self, world: World, settings: Any) -> None:
        self._world = world
        self._queue = world.queue
        self._settings = settings

    def close(self) -> None:
        """Do nothing."""

    def ping(self) -> None:
        """Answer, if the server does."""
        self._ask("ping", lambda: None)

    def probe_writing(self) -> None:
        """Write, if the server takes writes."""
        self._ask("probe_writing", lambda: None, writes=True)

    def redis_state(self) -> RedisState:
        """Tell how safe the queue is."""
        return self._ask("redis_state", lambda: RedisState(Durability.ALWAYS, "noeviction", "master", "6.2"))

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueueing]:
        """Accept the jobs one after the other; a broken connection may have carried a part of them."""
        limits = self._settings.queue_depth_max, self._settings.user_jobs_in_flight_max

        def enqueue(job: NewJob) -> Enqueueing:
            answer = self._queue.enqueue(job, *limits)
            self._world.note_answer("enqueued", job.job_id, answer)
            return answer

        def apply() -> list[Enqueueing]:
            waited = {job.event_id for job in jobs if self._queue.memory.event(job.event_id).stream}
            answers = [enqueue(job) for job in jobs]
            for answer in answers:
                if isinstance(answer, Enqueued) and not answer.known:
                    answer.at_head = answer.job.event_id not in waited
            return answers

        if self._world.bad_luck():
            for job in jobs[: self._world.below(len(jobs) + 1)]:
                enqueue(job)
            self._world.note("the connection broke after part of the pipeline")
            raise StoreUnavailableError("connection reset")
        return self._ask("enqueue", apply, writes=True)

    def next_numbers(self, event_ids: Sequence[int]) -> list[int]:
        """Return the events' next numbers."""
        return self._ask("next_numbers", lambda: [self._queue.memory.event(event_id).next for event_id in event_ids])

    def seed_all(self, seeds: Sequence[tuple[int, int, int]]) -> None:
        """Give events' queues their first numbers."""
        self._ask("seed", lambda: [self._queue.seed(*seed) for seed in seeds], writes=True)
        self._world.reached("an event seeded")

    def read_pending(self, event_id: int, *, after: int, count: int, highest_number: int) -> Pending:
        """Read undecided jobs in order."""
        read = self._ask("read_pending", lambda: self._queue.read(event_id, after, count, highest_number))
        if read.jobs:
            self._world.reached("a catch-up from the stream")
        return read

    def announce(self, handed_in: Sequence[tuple[int, int]]) -> None:
        """Note what is being processed."""

        def apply() -> None:
            for event_id, number in handed_in:
                self._queue.memory.event(event_id).handed_in = number

        self._ask("announce", apply, writes=True)

    def finish(self, finishes: Sequence[Finish]) -> None:
        """Take decided jobs out of the queue."""

        def apply() -> None:
            for finish in finishes:
                self._queue.finish(finish)

        self._ask("finish", apply, writes=True)

    def status(self, job_id: UUID, *_: Any, **__: Any) -> QueuedStatus | None:
        """Read what Redis knows of the job."""

        def apply() -> QueuedStatus | None:
            known = self._queue.memory.hashes.get(job_id)
            if known is None:
                return None
            queue = self._queue.memory.event(known.job.event_id)
            return QueuedStatus(known.job, known.outcome, known.attempts, queue.last_decided, queue.handed_in, 0.0)

        return self._ask("status", apply)

    def events_with_work(self, per_shard_max: int) -> list[int]:
        """Return the events with work, those that wait longest first."""
        index = self._queue.memory.index
        return self._ask("events_with_work", lambda: sorted(index, key=lambda event: (index[event], event)))

    def _ask(self, name: str, apply: Callable[[], T], *, writes: bool = False) -> T:
        world, queue = self._world, self._queue
        world.preempt()
        if world.clock.now < queue.down_until:
            world.note(f"redis {name}: refused")
            raise StoreUnavailableError("connection refused")
        if writes and world.clock.now < queue.refusing_until:
            raise StoreRefusesError("READONLY")
        if world.bad_luck():
            self._timeout(name, apply)
        answer = apply()
        world.preempt()
        if world.bad_luck():
            world.note(f"redis {name}: the reply was lost")
            world.clock.now += self._settings.redis_timeout_s
            raise StoreTimeoutError("timed out")
        return answer

    def _timeout(self, name: str, apply: Callable[[], Any]) -> None:
        world = self._world
        world.note(f"redis {name}: timed out")
        if world.below(2):
            self._queue.late.append(apply)
        world.clock.now += self._settings.redis_timeout_s
        raise StoreTimeoutError("timed out")
