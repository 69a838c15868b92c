"""Jobs, rows and fakes for tests of the core that need no server."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from aurora_atlan.actors.decide import Facts
from aurora_atlan.actors.messages import HandIn
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.jobs import Pending
from aurora_atlan.persistence.records import Inventory, Job, Kind, Outcome, Reason

NOW = datetime(2026, 11, 22, 19, 30, 15, 250_000, tzinfo=UTC)
EVENT_ID = 7


def job_id_of(number: int) -> UUID:
    """Make an id that is easy to recognise."""
    return UUID(int=(EVENT_ID << 122 | 8 << 76 | 2 << 62 | number) % (1 << 128))


def a_job(number: int, *, user_id: int | None = None, quantity: int = 1, **changes: Any) -> Job:
    """Make the job with this queue number, by default of a user of its own."""
    job = Job(job_id_of(number), EVENT_ID, number if user_id is None else user_id, quantity, number, NOW, None)
    return job._replace(**changes)


def an_inventory(**changes: Any) -> Inventory:
    """Make the row of an open event with ten seats."""
    row = Inventory(
        event_id=EVENT_ID,
        capacity=10,
        sold=0,
        sold_at_lock=0,
        cap_per_user=1,
        opens_at=None,
        closes_at=None,
        gone=False,
        paused=False,
        last_queue_number=0,
        last_entry=1,
        ledger_head=bytes(32),
        owner=None,
        epoch=0,
        lease_until=None,
    )
    return row._replace(**changes)


def facts(**changes: Any) -> Facts:
    """Make the facts of a batch nothing is known of yet."""
    known = Facts(
        now=NOW,
        outcomes={},
        held_slots={},
        booking_ids=range(1, 10_001),
        poisoned=frozenset(),
        age_max=None,
    )
    return known._replace(**changes)


def an_outcome(number: int, kind: Kind = Kind.CONFIRMED, reason: Reason | None = None) -> Outcome:
    """Make an answer given a minute ago."""
    booking_id = number if kind is Kind.CONFIRMED else None
    decided_at = NOW - timedelta(minutes=1)
    return Outcome(job_id=job_id_of(number), kind=kind, reason=reason, booking_id=booking_id, decided_at=decided_at)


class Recorder:
    """Stands in for an actor's reference and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def tell(self, message: Any) -> None:
        """Keep the message."""
        self.told.append(message)

    def of(self, kind: type) -> list[Any]:
        """Return the messages of one type."""
        return [message for message in self.told if isinstance(message, kind)]


class FakeScheduler:
    """Keeps what is to be told later until the test tells it."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Any, Any]] = []
        self.wake = threading.Event()

    def after(self, delay_s: float, ref: Any, message: Any) -> None:
        """Keep the message."""
        self.later.append((delay_s, ref, message))

    def tell_all(self) -> int:
        """Tell what waits, as if its time had come; return how much that was."""
        later, self.later = self.later, []
        for _, ref, message in later:
            ref.tell(message)
        return len(later)


class FakeSwitchboard(Switchboard):
    """The switchboard with recorders in the place of actors."""

    def __init__(self) -> None:
        super().__init__(FakeScheduler())
        self.journal = Recorder()
        self.committer = Recorder()
        self.patient = Recorder()

    @property
    def batches(self) -> list[Any]:
        """What was handed to the committer, in order."""
        return [message.batch for message in self.committer.of(HandIn)]


class FakeLog:
    """One event's stream, as the store reads it."""

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self.jobs = {job.queue_number: job for job in jobs}
        self.next_number = max(self.jobs, default=0) + 1
        self.failing = False
        self.reads: list[tuple[int, int]] = []

    def accept(self, **changes: Any) -> Job:
        """Append a job."""
        job = a_job(self.next_number, **changes)
        self.jobs[job.queue_number] = job
        self.next_number += 1
        return job

    def remove(self, jobs: Iterable[Job]) -> None:
        """Take decided jobs out, as finishing does: only the very same ones."""
        for job in jobs:
            if self.jobs.get(job.queue_number) == job:
                del self.jobs[job.queue_number]

    def read_pending(self, event_id: int, *, after: int, count: int, highest_number: int) -> Pending:
        """Read on, as ``JobStore.read_pending`` does."""
        assert event_id == EVENT_ID
        if self.failing:
            raise StoreError("the log cannot be read")
        self.reads.append((after, count))
        self.next_number = max(self.next_number, highest_number + 1)
        numbers = itertools.islice((number for number in sorted(self.jobs) if number > after), count)
        return Pending([self.jobs[number] for number in numbers], self.next_number)


def pump(actor: Any, stop_message: Callable[[Any], bool] = lambda message: False) -> list[Any]:
    """Let an unstarted actor handle everything in its inbox; return what it would have stopped at."""
    left: deque[Any] = deque()
    while not actor.actor_inbox.empty():
        message = actor.actor_inbox.get().message
        if stop_message(message) or type(message).__module__.startswith("pykka"):
            left.append(message)
        else:
            actor.on_receive(message)
    return list(left)


def numbers(jobs: Sequence[Job]) -> list[int]:
    """Return the jobs' queue numbers."""
    return [job.queue_number for job in jobs]
