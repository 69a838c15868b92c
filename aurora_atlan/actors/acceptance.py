"""Accepting a booking attempt: from the wish to the receipt, in the caller's thread."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from uuid import UUID

from aurora_atlan.actors.cell import CellState
from aurora_atlan.actors.cells import Cells
from aurora_atlan.actors.direct import DirectBooking
from aurora_atlan.actors.errors import (
    DurabilityUnmetError,
    EventQuarantinedError,
    IdempotencyConflictError,
    QueueFullError,
    TooManyInFlightError,
    UnavailableError,
    UnknownEventError,
)
from aurora_atlan.actors.estimates import wait_p50_s, wait_p90_s
from aurora_atlan.actors.job_log import job_fields
from aurora_atlan.actors.messages import AcceptJob, BookTickets, JobStatus, Receipt, Refused, Reply
from aurora_atlan.actors.seeding import Seeding
from aurora_atlan.actors.supervised import lives, tell
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.durability import Durability
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.job_ids import is_keyed, keyed_job_id, random_job_id
from aurora_atlan.persistence.jobs import (
    Conflict,
    Enqueued,
    Enqueueing,
    EventGone,
    QueueFull,
    Unseeded,
    UserCrowded,
)
from aurora_atlan.persistence.receipts import Claim, ReceiptSigner
from aurora_atlan.persistence.records import ID_MAX, QUANTITY_MAX, NewJob

log = logging.getLogger(__name__)

# A journal that dies without refusing those who wait for it is noticed by them within twice this time.
_LOOK_UP_S = 0.1
# How long to look for the answer that a repeated key had: it only says so sooner.
_LOOK_BACK_S = 0.25

_OUT_OF_REACH = "the booking queue is out of reach; try again"
_UNSAFE_RETRY_S = 30.0


class Acceptance:
    """Puts attempts into the queue through the journal."""

    def __init__(
        self,
        switchboard: Switchboard,
        cells: Cells,
        seeding: Seeding,
        bookings: BookingStore,
        *,
        timeout_s: float,
        required: Durability,
        direct: DirectBooking | None,
    ) -> None:
        self._switchboard = switchboard
        self._cells = cells
        self._seeding = seeding
        self._bookings = bookings
        self._timeout_s = timeout_s
        self._required = required
        # Decides while Redis is away; None: bookings are refused then.
        self._direct = direct

    def accept(
        self,
        attempt: BookTickets,
        installation_key: bytes | None,
        durability: Durability,
        receipts: ReceiptSigner | None,
    ) -> Receipt:
        """Queue the attempt; see ``Supervisor.submit`` for what it raises. Without a signer nothing is signed."""
        deadline = time.monotonic() + self._timeout_s
        _refuse_impossible(attempt)
        self._refuse_quarantined(attempt.event_id)
        self._refuse_unsafe(durability)
        job = NewJob(
            self._job_id(attempt, installation_key),
            attempt.event_id,
            attempt.user_id,
            attempt.quantity,
            attempt.request_id,
        )
        try:
            answer = self._enqueue(job, deadline)
        except UnavailableError:
            # Under the same id: had Redis accepted it all the same, there is one outcome.
            if self._direct is None or not (self._switchboard.redis.is_open or self._switchboard.redis_writes.is_open):
                raise
            decided, known = self._direct.book(job)
            return _decided_receipt(decided, known, durability)
        match answer:
            case Enqueued():
                answer = self._as_recorded(answer)
                if log.isEnabledFor(logging.DEBUG):
                    log.debug("accepted", extra=job_fields(answer.job))
                return _receipt(answer, durability, receipts)
            case EventGone():
                raise UnknownEventError("there is no such event")
            case QueueFull():
                raise QueueFullError("too many bookings wait for this event; try again in a moment")
            case UserCrowded():
                raise TooManyInFlightError("you have too many bookings waiting for this event; wait for an answer")
            case Conflict():
                raise IdempotencyConflictError("this Idempotency-Key was used for a different request")
            case Unseeded():
                raise UnavailableError(_OUT_OF_REACH)

    def _enqueue(self, job: NewJob, deadline: float) -> Enqueueing:
        answer = self._ask_journal(job, deadline)
        if isinstance(answer, Unseeded):
            self._seeding.seed(job.event_id, deadline)
            answer = self._ask_journal(job, deadline)
        return answer

    def _as_recorded(self, answer: Enqueued) -> Enqueued:
        # A key that Redis does not know may have had its answer before Redis forgot it. What is decided before the
        # ledger is read has the number that the job was given just now, or an older one.
        job = answer.job
        may_be_repeated = answer.forgettable or self._direct is not None
        if answer.known or not may_be_repeated or not is_keyed(job.job_id) or self._switchboard.postgres.is_open:
            return answer
        try:
            recorded = self._bookings.recorded(job.job_id, _LOOK_BACK_S)
        except StoreError:
            # It is accepted, and its answer will be the old one, whether or not that is said now.
            return answer
        if recorded is None or recorded.queue_number == job.queue_number:
            return answer
        return replace(answer, known=True, decided=True)

    def _refuse_unsafe(self, durability: Durability) -> None:
        if not durability.suffices(self._required):
            raise DurabilityUnmetError(
                f"bookings are held back: they would be kept with durability {durability.value}, and "
                f"{self._required.value} is required",
                _UNSAFE_RETRY_S,
            )

    def _refuse_quarantined(self, event_id: int) -> None:
        cell = self._cells.get(event_id)
        if cell is not None and cell.state is CellState.QUARANTINED:
            retry_after_s = max(1.0, cell.retry_after_s(time.monotonic()))
            raise EventQuarantinedError(
                "bookings of this event are held back after repeated failures; try again later",
                math.ceil(retry_after_s),
            )

    def _job_id(self, attempt: BookTickets, installation_key: bytes | None) -> UUID:
        if attempt.idempotency_key is None:
            return random_job_id(attempt.event_id)
        if installation_key is None:
            raise UnavailableError("the database has not been reached yet; try again")
        return keyed_job_id(installation_key, attempt.event_id, attempt.user_id, attempt.idempotency_key)

    def _ask_journal(self, job: NewJob, deadline: float) -> Enqueueing:
        if self._switchboard.redis.is_open:
            raise UnavailableError(_OUT_OF_REACH)
        reply = Reply()
        journal = self._switchboard.journal
        if not tell(journal, AcceptJob(job, reply)):
            raise UnavailableError("the booking queue is restarting; try again")
        answer = reply.wait(max(0.0, min(deadline - time.monotonic(), _LOOK_UP_S)))
        while answer is None:
            # Looked at before waiting: what it answered as its last deed is waited for.
            dead = not lives(journal)
            answer = reply.wait(max(0.0, min(deadline - time.monotonic(), _LOOK_UP_S)))
            if answer is None and (dead or time.monotonic() >= deadline):
                raise UnavailableError("the booking queue did not answer in time", job_id=job.job_id)
        if isinstance(answer, Refused):
            raise UnavailableError(answer.message, job_id=job.job_id if answer.attempted else None)
        return answer


def _refuse_impossible(attempt: BookTickets) -> None:
    if not 1 <= attempt.quantity <= QUANTITY_MAX:
        raise ValueError(f"a booking is of 1 to {QUANTITY_MAX} tickets, not {attempt.quantity}")
    if not 1 <= attempt.user_id <= ID_MAX:
        raise ValueError(f"a user's id is a number from 1 to {ID_MAX}, not {attempt.user_id}")
    if not 1 <= attempt.event_id <= ID_MAX:
        raise UnknownEventError("there is no such event")


def _receipt(enqueued: Enqueued, durability: Durability, receipts: ReceiptSigner | None) -> Receipt:
    job = enqueued.job
    position = 0 if enqueued.decided else max(1, job.queue_number - enqueued.last_decided)
    claim = Claim(job.job_id, job.event_id, job.quantity, job.queue_number, job.accepted_at)
    return Receipt(
        job_id=job.job_id,
        event_id=job.event_id,
        quantity=job.quantity,
        queue_number=job.queue_number,
        queue_position=position,
        estimated_wait_s=wait_p50_s(position, enqueued.pace_s),
        estimated_wait_p90_s=wait_p90_s(position, enqueued.pace_s, enqueued.jitter_s),
        accepted_at=job.accepted_at,
        replayed=enqueued.known,
        durability=durability.value,
        signature=None if receipts is None else receipts.sign(claim),
    )


def _decided_receipt(answer: JobStatus, known: bool, durability: Durability) -> Receipt:
    assert answer.finished_at is not None
    return Receipt(
        job_id=answer.job_id,
        event_id=answer.event_id,
        quantity=answer.quantity,
        queue_number=answer.queue_number,
        queue_position=0,
        estimated_wait_s=0.0,
        estimated_wait_p90_s=0.0,
        accepted_at=answer.accepted_at or answer.finished_at,
        replayed=known,
        durability=durability.value,
        answer=answer,
    )
