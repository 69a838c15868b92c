"""The undecided jobs of all events, in pages: events in the order of their ids, jobs in that of their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from aurora_atlan.persistence import scripts
from aurora_atlan.persistence.errors import translated
from aurora_atlan.persistence.job_ids import SHARDS
from aurora_atlan.persistence.jobs import job_of_entry
from aurora_atlan.persistence.queue_keys import meta_key, pending_key, stream_key
from aurora_atlan.persistence.records import Job

# Of each of the 64 shards, those that wait longest.
_EVENTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of all undecided jobs; number 0 is before an event's first."""

    event_id: int
    queue_number: int


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """An undecided job."""

    job: Job
    # It is being decided.
    active: bool


@dataclass(frozen=True, slots=True)
class QueuePage:
    """A stretch of all undecided jobs."""

    jobs: Sequence[QueuedJob]
    # What the next page comes after; None: this is the last page.
    end: Place | None


class QueuePages:
    """Reads the queues of all events, a bounded part of them at a time."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._scripts = scripts.Runner(client)
        self._peek = scripts.load("peek_queue")

    def page(self, limit: int, after: Place | None = None, only_event: int | None = None) -> QueuePage:
        """Return up to ``limit`` jobs after a place, of all events or of one.

        Following each page's end neither repeats a job nor leaves one out that stays. A page may be short, or
        empty, although another follows. Raises a :class:`~aurora_atlan.persistence.errors.StoreError`.
        """
        start = after or Place(0, 0)
        events = self._events() if only_event is None else [only_event]
        events = [event_id for event_id in events if event_id >= start.event_id]
        if not events:
            return QueuePage((), None)
        # Each has a job at least, unless it was decided just now. One more than the limit tells of a next page.
        first, *rest = events[: limit + 1]
        number = start.queue_number if first == start.event_id else 0
        jobs = self._read([(first, number, limit + 1)])
        room = limit + 1 - len(jobs)
        wanted = _fitting(rest, self._lengths(rest) if room else [], room)
        jobs += self._read(wanted)

        if len(jobs) > limit:
            del jobs[limit:]
            return QueuePage(jobs, Place(jobs[-1].job.event_id, jobs[-1].job.queue_number))
        full = sum(count for _, _, count in wanted) >= room
        if not full and len(events) <= limit + 1:
            return QueuePage(jobs, None)
        # Jobs were decided while we looked, or there are more events.
        last = wanted[-1][0] if full else events[limit]
        numbers = [queued.job.queue_number for queued in jobs if queued.job.event_id == last]
        return QueuePage(jobs, Place(last, max(numbers, default=0)))

    def _events(self) -> list[int]:
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for shard in range(SHARDS):
                pipeline.zrange(pending_key(shard), 0, _EVENTS_MAX - 1)
            replies: list[list[bytes]] = pipeline.execute()
        return sorted(int(event_id) for reply in replies for event_id in reply)

    def _lengths(self, event_ids: Sequence[int]) -> list[int]:
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for event_id in event_ids:
                pipeline.xlen(stream_key(event_id))
            lengths: list[int] = pipeline.execute()
        return lengths

    def _read(self, stretches: Sequence[tuple[int, int, int]]) -> list[QueuedJob]:
        # Of each: the event, the number before it, and how many jobs at most.
        calls = [
            scripts.Call(self._peek, [stream_key(event_id), meta_key(event_id)], [number, count])
            for event_id, number, count in stretches
        ]
        jobs = []
        for (event_id, _, _), reply in zip(stretches, self._scripts.run(calls) if calls else (), strict=True):
            handed_in, last_decided = (int(value or 0) for value in reply[:2])
            for entry in reply[2]:
                job = job_of_entry(event_id, entry)
                jobs.append(QueuedJob(job, last_decided < job.queue_number <= handed_in))
        return jobs


def _fitting(event_ids: Sequence[int], lengths: Sequence[int], room: int) -> list[tuple[int, int, int]]:
    # Whole events from their beginnings, as long as there is room, and a part of the last.
    stretches = []
    for event_id, length in zip(event_ids, lengths, strict=False):
        count = min(length, room)
        room -= count
        if count:
            stretches.append((event_id, 0, count))
    return stretches
