"""The decision: a pure function from an event's locked row and a batch of jobs to what shall be recorded.

No clock, no I/O, no randomness: the same facts give the same ruling, so a property test can hold it
to every promise, and a simulation can replay it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from aurora_atlan.persistence.inventory import Change, Draft
from aurora_atlan.persistence.records import Inventory, Job, Kind, Outcome, Reason


class Facts(NamedTuple):
    """What was read after the lock."""

    # PostgreSQL's clock.
    now: datetime
    # Answers that jobs of the batch have already.
    outcomes: Mapping[UUID, Outcome]
    # Slots that users hold of this event with confirmed bookings.
    held_slots: Mapping[int, AbstractSet[int]]
    # Fresh ids for bookings, at least as many as there can be confirmations.
    booking_ids: Sequence[int]
    # Jobs that failed alone too often: answered "poison" without looking at them again.
    poisoned: AbstractSet[UUID]
    # Jobs older than this expire; None: never.
    age_max: timedelta | None


class Ruling(NamedTuple):
    """What becomes of a batch: the change to record, and each job's answer in the batch's order."""

    change: Change
    outcomes: Sequence[Outcome]


def decide(inventory: Inventory, jobs: Sequence[Job], facts: Facts) -> Ruling:
    """Decide the jobs in their order.

    A job that has an answer keeps it. A job whose number is not above the last one was queued after the
    queue lost its memory; an entry says so before it. A job that was never queued has no place in the order.
    """
    sold = inventory.sold
    last_number = inventory.last_queue_number
    slots = {user_id: set(held) for user_id, held in facts.held_slots.items()}
    booking_ids = iter(facts.booking_ids)
    entries: list[Draft] = []
    outcomes: list[Outcome] = []

    for job in jobs:
        known = facts.outcomes.get(job.job_id)
        if known is not None:
            outcomes.append(known)
            continue
        if job.queue_number:
            if job.queue_number <= last_number:
                entries.append(Draft(Kind.QUEUE_RESTARTED, sold, inventory.capacity, queue_number=job.queue_number))
            last_number = job.queue_number

        held = slots.setdefault(job.user_id, set())
        kind, reason = _verdict(inventory, job, facts, sold, len(held))
        booking_id = slot = None
        if kind is Kind.CONFIRMED:
            booking_id = next(booking_ids)
            slot = _lowest_free(held)
            held.add(slot)
            sold += job.quantity
        entries.append(
            Draft(
                kind,
                sold,
                inventory.capacity,
                job_id=job.job_id,
                booking_id=booking_id,
                user_id=job.user_id,
                quantity=job.quantity,
                reason=reason,
                queue_number=job.queue_number or None,
                accepted_at=job.accepted_at,
                slot=slot,
            )
        )
        outcomes.append(
            Outcome(job_id=job.job_id, kind=kind, reason=reason, booking_id=booking_id, decided_at=facts.now)
        )

    highest = max([inventory.last_queue_number, *(job.queue_number for job in jobs)])
    after = inventory._replace(sold=sold, last_queue_number=highest)
    return Ruling(Change(after, entries), outcomes)


def _verdict(inventory: Inventory, job: Job, facts: Facts, sold: int, bookings_held: int) -> tuple[Kind, Reason | None]:
    if job.job_id in facts.poisoned:
        return Kind.FAILED, Reason.POISON
    reason = _refusal(inventory, job, facts, sold, bookings_held)
    return (Kind.CONFIRMED, None) if reason is None else (Kind.REJECTED, reason)


def _refusal(inventory: Inventory, job: Job, facts: Facts, sold: int, bookings_held: int) -> Reason | None:
    # The order is part of the contract: a client is told the first that applies.
    if inventory.gone:
        return Reason.EVENT_GONE
    if inventory.opens_at is not None and facts.now < inventory.opens_at:
        return Reason.EVENT_CLOSED
    if inventory.closes_at is not None and facts.now >= inventory.closes_at:
        return Reason.EVENT_CLOSED
    if facts.age_max is not None and facts.now - job.accepted_at > facts.age_max:
        return Reason.EXPIRED
    if bookings_held >= inventory.cap_per_user:
        return Reason.ALREADY_BOOKED if inventory.cap_per_user == 1 else Reason.LIMIT_REACHED
    if inventory.capacity - sold < job.quantity:
        return Reason.SOLD_OUT
    return None


def _lowest_free(held: AbstractSet[int]) -> int:
    slot = 1
    while slot in held:
        slot += 1
    return slot
