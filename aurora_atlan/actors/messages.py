"""What callers and actors tell each other. All are values that nobody changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from aurora_atlan.actors.supervised import Ref
from aurora_atlan.persistence.jobs import Enqueueing
from aurora_atlan.persistence.records import Booking, Job, NewJob, Reason


@dataclass(frozen=True, slots=True)
class BookTickets:
    """A wish to book: all of the tickets or none."""

    event_id: int
    user_id: int
    quantity: int = 1
    """Tickets, 1 to 10."""
    idempotency_key: str | None = None
    """The same key by the same user for the same event is the same attempt, for ever."""
    request_id: str | None = None
    """Stands in every log line of the job."""


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    """Booked."""
    FAILED = "failed"
    """Not booked; ``reason`` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """Where a job stands, and its answer once it has one."""

    job_id: UUID
    status: JobState
    queue_position: int
    """How many decisions until its own, at most; 0 once it has its answer."""
    reason: Reason | None
    """Why it failed; None while it is undecided, and when it is completed."""
    event_id: int
    user_id: int
    quantity: int
    queue_number: int | None
    """Its place in the event's order of acceptance; None: it was decided without queueing."""
    attempts: int
    """How often its decision was tried, 1 unless something failed."""
    accepted_at: datetime | None
    finished_at: datetime | None
    booking: Booking | None
    """The booking that it made, as it is now."""
    estimated_wait_s: float
    """Seconds until its decision, as likely less as more."""
    estimated_wait_p90_s: float = 0.0
    """What nine of ten waits do not exceed."""

    @property
    def finished(self) -> bool:
        """True once it has its answer."""
        return self.status in (JobState.COMPLETED, JobState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The attempt is in the queue and will get one answer."""

    job_id: UUID
    event_id: int
    quantity: int
    queue_number: int | None
    """Its place in the event's order of acceptance; None: it was decided without queueing."""
    queue_position: int
    """How many decisions until its own, at most; 1 is next."""
    estimated_wait_s: float
    """Seconds until its decision, as likely less as more."""
    estimated_wait_p90_s: float
    """What nine of ten waits do not exceed."""
    accepted_at: datetime
    replayed: bool
    """It was accepted before, under the same idempotency key."""
    durability: str
    """What a crash of the stores leaves of accepted jobs: "always", "everysec", "none" or "unknown"."""
    answer: JobStatus | None = None
    """Its answer, if it was decided at once because the queue was away."""
    signature: str | None = None
    """Of what it says, see docs/api.md; None: it was decided without queueing, or the database that has the key was
    not reached yet."""


class Reply:
    """A slot for one answer, awaited by one thread.

    A bare lock: a future of pykka costs a queue and a condition per message.
    """

    __slots__ = ("_answer", "_answered")

    def __init__(self) -> None:
        self._answered = threading.Lock()
        self._answered.acquire()
        self._answer: Enqueueing | Refused | None = None

    def set(self, answer: Enqueueing | Refused) -> None:
        """Give the answer; only the first counts."""
        if self._answer is None:
            self._answer = answer
            self._answered.release()

    def wait(self, timeout_s: float) -> Enqueueing | Refused | None:
        """Wait for the answer; None when there is none in time."""
        if self._answer is None and not self._answered.acquire(timeout=timeout_s):
            return None
        return self._answer


@dataclass(frozen=True, slots=True)
class Refused:
    """The journal could not do it; ``attempted`` when Redis may have accepted the job all the same."""

    message: str
    attempted: bool


@dataclass(slots=True)
class AcceptJob:
    """To the journal: put this job into its event's queue."""

    job: NewJob
    reply: Reply


@dataclass(frozen=True, slots=True)
class Flush:
    """To oneself: everything that arrived before this has been gathered; go on."""


@dataclass(frozen=True, slots=True)
class JobsAccepted:
    """To an event's actor: these jobs are in its stream, in this order."""

    jobs: Sequence[Job]


@dataclass(frozen=True, slots=True)
class Rescan:
    """To an event's actor: read the stream from its start, whatever you think you know."""


@dataclass(frozen=True, slots=True)
class Passivate:
    """To an event's actor: stop if there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Drain:
    """To an event's actor: hand in nothing more, stop once nothing is in flight."""


@dataclass(frozen=True, slots=True)
class CommitterReplaced:
    """To an event's actor: what the old committer had in hand must be handed in again."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs of one event, in order, to be decided in one transaction."""

    batch_id: int
    event_id: int
    # The epoch under which this actor owns the event; None: take it over.
    epoch: int | None
    jobs: Sequence[Job]
    poisoned: frozenset[UUID]
    attempts: int
    handed_in_at: float
    sender: Ref = field(repr=False)


@dataclass(frozen=True, slots=True)
class HandIn:
    """To the committer: decide this batch."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class ReleaseLease:
    """To the committer: this process has no more work for the event."""

    event_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class BatchDecided:
    """To an event's actor: the batch is committed and its outcomes are noted."""

    batch_id: int
    epoch: int
    last_queue_number: int


@dataclass(frozen=True, slots=True)
class BatchFenced:
    """To an event's actor: somebody else took the event over; whatever you have is stale."""

    batch_id: int


@dataclass(frozen=True, slots=True)
class BatchForeign:
    """To an event's actor: another living process owns the event."""

    batch_id: int


@dataclass(frozen=True, slots=True)
class BatchPaused:
    """To an event's actor: the event is paused; nothing was decided."""

    batch_id: int


@dataclass(frozen=True, slots=True)
class BatchFailed:
    """To an event's actor: the batch's own data cannot be decided or recorded."""

    batch_id: int
    error: str


BatchAnswer = BatchDecided | BatchFenced | BatchForeign | BatchPaused | BatchFailed
