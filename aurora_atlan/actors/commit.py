"""One transaction for the batches of many events: lock, read, decide, record, COMMIT.

The verdicts leave here as values; who is told what is the committer's business.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from aurora_atlan.actors.decide import Facts, decide
from aurora_atlan.actors.faults import NO_FAULTS, Faults
from aurora_atlan.actors.job_log import batch_fields
from aurora_atlan.actors.messages import Batch
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.inventory import EncodedChange, Locked, Reading, UnitOfWork, encode
from aurora_atlan.persistence.records import Inventory, Outcome

log = logging.getLogger(__name__)


class Decided(NamedTuple):
    """Committed: the jobs have these answers, in their order."""

    batch: Batch
    epoch: int
    last_queue_number: int
    outcomes: Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class RowBusy:
    """Somebody else holds the event's row; nothing was decided."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class NoSuchEvent:
    """There is no row to lock."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Paused:
    """The event is paused; nothing was decided."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Fenced:
    """The event has a newer epoch than the batch; nothing was decided."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Foreign:
    """Another living process owns the event; nothing was decided."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Failed:
    """The batch's own data cannot be decided or recorded."""

    batch: Batch
    error: str


Verdict = Decided | RowBusy | NoSuchEvent | Paused | Fenced | Foreign | Failed


class _Claim(NamedTuple):
    batch: Batch
    inventory: Inventory
    # Under which the event is ours.
    epoch: int


class Committing:
    """Decides batches, at most one of each event, under the rows' locks."""

    def __init__(
        self,
        bookings: BookingStore,
        owner: int,
        lease_s: float,
        job_age_max: timedelta | None,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self._bookings = bookings
        self._faults = faults
        self._owner = owner
        self._lease = timedelta(seconds=lease_s)
        self._job_age_max = job_age_max

    def commit(self, batches: Sequence[Batch], *, patient: bool) -> list[Verdict]:
        """Decide the batches in one transaction; when this returns, it is committed.

        A row that somebody else holds is left out, or with ``patient`` waited for up to the lock timeout.
        Raises :mod:`aurora_atlan.persistence.errors`; then nothing was decided, or when a connection was
        lost during COMMIT perhaps everything. Committing the same batches again is right in both cases.
        """
        with self._bookings.unit_of_work() as work:
            work.hold_off_pause()
            if patient:
                rows = {batch.event_id: row for batch in batches if (row := work.lock(batch.event_id))}
            else:
                rows = work.lock_free([batch.event_id for batch in batches])
            self._faults.reach("after_lock")
            verdicts: list[Verdict] = []
            claims: list[_Claim] = []
            for batch in batches:
                claim = self._claim(batch, rows.get(batch.event_id), patient=patient)
                if isinstance(claim, _Claim):
                    claims.append(claim)
                else:
                    verdicts.append(claim)
            if claims:
                verdicts += self._decide(work, claims)
            self._faults.reach("before_commit")
        return verdicts

    def _claim(self, batch: Batch, row: Locked | None, *, patient: bool) -> _Claim | Verdict:
        if row is None:
            return NoSuchEvent(batch) if patient else RowBusy(batch)
        inventory = row.inventory
        if inventory.paused:
            return Paused(batch)
        if batch.epoch is not None:
            # The epoch alone fences: a lease that lapsed while nobody took over is as good as new.
            return _Claim(batch, inventory, batch.epoch) if batch.epoch == inventory.epoch else Fenced(batch)
        if row.takeable:
            return _Claim(batch, inventory, inventory.epoch + 1)
        return Foreign(batch)

    def _decide(self, work: UnitOfWork, claims: Sequence[_Claim]) -> list[Verdict]:
        seats = [min(len(claim.batch.jobs), claim.inventory.capacity - claim.inventory.sold) for claim in claims]
        read = work.read([job for claim in claims for job in claim.batch.jobs], sum(seats))

        booking_ids = read.booking_ids
        verdicts: list[Verdict] = []
        changes: list[EncodedChange] = []
        for claim, count in zip(claims, seats, strict=True):
            own_ids, booking_ids = booking_ids[:count], booking_ids[count:]
            try:
                change, decided = self._rule(claim, read, own_ids)
            except Exception as error:  # one event's data must not stop the others'
                fields = batch_fields(claim.batch.jobs)
                log.exception("event %d: a batch could not be decided", claim.batch.event_id, extra=fields)
                verdicts.append(Failed(claim.batch, repr(error)))
                continue
            changes.append(change)
            verdicts.append(decided)
        work.record(changes)
        return verdicts

    def _rule(
        self,
        claim: _Claim,
        read: Reading,
        booking_ids: Sequence[int],
    ) -> tuple[EncodedChange, Decided]:
        batch = claim.batch
        facts = Facts(
            now=read.now,
            outcomes=read.outcomes,
            held_slots=read.held_slots.get(batch.event_id, {}),
            booking_ids=booking_ids,
            poisoned=batch.poisoned,
            age_max=self._job_age_max,
        )
        leased = claim.inventory._replace(owner=self._owner, epoch=claim.epoch, lease_until=read.now + self._lease)
        ruling = decide(leased, batch.jobs, facts)
        decided = Decided(batch, claim.epoch, ruling.change.inventory.last_queue_number, ruling.outcomes)
        return encode(ruling.change, read.now), decided
