"""The promises that clients can hold the ledger to: what they were told against what it says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from heapq import heappop, heappush
from uuid import UUID

from oracle.history import Attempt, Delivered, History, Told
from oracle.ledger_rows import Outcome, Snapshot
from oracle.violation import Violation, examples

Outcomes = Mapping[UUID, Outcome]

_CANCELLED = """
    SELECT asked.id, booking.status FROM unnest(%(bookings)s::bigint[]) AS asked (id)
      LEFT JOIN bookings AS booking ON booking.id = asked.id
     WHERE booking.status IS DISTINCT FROM 'cancelled' ORDER BY asked.id"""

_TO_BE_DELIVERED = """
    SELECT event_id, entry_number, job_id FROM booking_ledger
     WHERE kind IN ('confirmed', 'rejected', 'failed', 'cancelled')"""


def nobody_unasked(history: History, outcomes: Outcomes) -> Iterator[Violation]:
    """I2: nobody has an outcome who was neither accepted nor may have been."""
    known = history.accepted_jobs() | history.possible_jobs()
    yield from examples(
        "I2",
        _unasked((outcome for job_id, outcome in outcomes.items() if job_id not in known), _unheard(history.attempts)),
    )


def answered_jobs_are_recorded(history: History, outcomes: Outcomes) -> Iterator[Violation]:
    """I2: a job with a final answer has its outcome in the ledger."""
    yield from examples(
        "I2",
        (
            f"job {told.job_id} was answered {told.status} ({told.reason}), and the ledger has no outcome of it"
            for told in _by_job(history.told).values()
            if told.job_id not in outcomes
        ),
    )


def nobody_lost(history: History, outcomes: Outcomes, losses_allowed: int) -> Iterator[Violation]:
    """I6: every receipt led to an outcome, but for the losses that the class of durability allows."""
    answered = _by_job(history.told)
    lost = sorted(history.accepted_jobs() - outcomes.keys() - answered.keys(), key=str)
    if len(lost) > losses_allowed:
        named = ", ".join(str(job_id) for job_id in lost[:5])
        accepted = len(history.accepted_jobs())
        yield Violation(
            "I6", f"{len(lost)} of {accepted} accepted jobs have no outcome, {losses_allowed} may be lost: {named}"
        )


def one_job_per_key(history: History) -> Iterator[Violation]:
    """I3: a user's key for an event always means the same job, and a job is one attempt's alone."""
    jobs: defaultdict[tuple[int, int, str], set[UUID]] = defaultdict(set)
    owners: defaultdict[UUID, set[object]] = defaultdict(set)
    for number, attempt in enumerate(history.attempts):
        if attempt.job_id is None:
            continue
        place = (attempt.event_id, attempt.user_id)
        if attempt.key is not None:
            jobs[*place, attempt.key].add(attempt.job_id)
        owners[attempt.job_id].add((*place, number if attempt.key is None else attempt.key))
    yield from examples(
        "I3",
        (
            f"key {key!r} of user {user_id} for event {event_id} is several jobs: {_listed(found)}"
            for (event_id, user_id, key), found in jobs.items()
            if len(found) > 1
        ),
    )
    yield from examples(
        "I3",
        (
            f"job {job_id} was given to several attempts: {_listed(found)}"
            for job_id, found in owners.items()
            if len(found) > 1
        ),
    )


def receipts_hold(history: History, outcomes: Outcomes) -> Iterator[Violation]:
    """I4: what was asked for is what was decided, under a number that a receipt said."""
    numbers: defaultdict[UUID, set[int | None]] = defaultdict(set)
    for attempt in history.attempts:
        if attempt.job_id is not None:
            numbers[attempt.job_id].add(attempt.queue_number)
    yield from examples("I4", _wrong_receipts(history.attempts, outcomes, numbers))


def told_for_ever(history: History, outcomes: Outcomes) -> Iterator[Violation]:
    """I4: every final answer that a client was given is what the ledger says; a cancelled booking stays one."""
    yield from examples(
        "I4",
        (
            f"the client of job {told.job_id} was told {_words(told)}, the ledger says {_words_of(outcome)}"
            for told in history.told
            if not _agree(told, outcome := outcomes.get(told.job_id))
        ),
    )


def cancelled_for_ever(history: History, rows: Snapshot) -> Iterator[Violation]:
    """I4: a booking that its user was told is cancelled is so."""
    bookings = [cancelled.booking_id for cancelled in history.cancelled]
    yield from examples(
        "I4",
        (
            f"booking {row['id']} was told to be cancelled, and is {row['status'] or 'nowhere'}"
            for row in rows.rows(_CANCELLED, {"bookings": bookings})
        ),
    )


def still_told(
    jobs: Collection[UUID], outcomes: Outcomes, status_of: Callable[[UUID], Told | None]
) -> Iterator[Violation]:
    """I4: whoever asks once more is told what the ledger says; I2: and no answer is still open."""
    contradictions, unrecorded = [], []
    for job_id in jobs:
        told, outcome = status_of(job_id), outcomes.get(job_id)
        if outcome is None and told is not None:
            unrecorded.append(f"job {job_id} is said to be {_words(told)}, and the ledger has no outcome of it")
        elif outcome is not None and (told is None or not _agree(told, outcome)):
            said = "unknown" if told is None else _words(told)
            contradictions.append(f"job {job_id} is said to be {said}, the ledger says {_words_of(outcome)}")
    yield from examples("I2", unrecorded)
    yield from examples("I4", contradictions)


def first_come_first_served(history: History, outcomes: Outcomes) -> Iterator[Violation]:
    """I5: whoever held a receipt before another asked was decided before that other one.

    Of events whose queue never began anew: a Redis that lost its memory lost the order of acceptance, too.
    """
    lines: defaultdict[int, list[Outcome]] = defaultdict(list)
    for outcome in outcomes.values():
        if outcome.in_order:
            lines[outcome.event_id].append(outcome)
    asked, receipted = _times(history.attempts)
    for line in lines.values():
        if not any(outcome.era for outcome in line):
            yield from examples("I5", _overtakers(line, asked, receipted))


def delivered_in_order(history: History, rows: Snapshot) -> Iterator[Violation]:
    """I8: exactly the outcomes were delivered, and of each event first in the order of its entries."""
    wanted = {(row["event_id"], row["entry_number"]): row["job_id"] for row in rows.rows(_TO_BE_DELIVERED)}
    first: dict[tuple[int, int], Delivered] = {}
    for delivered in history.delivered:
        first.setdefault((delivered.event_id, delivered.entry_number), delivered)
    yield from examples("I8", _wrong_deliveries(wanted, first))
    yield from examples("I8", _late_deliveries(first.values()))


def _unheard(attempts: Iterable[Attempt]) -> Counter[tuple[int, int | None, int | None]]:
    """Count by event, user and quantity the attempts that may be jobs of unknown ids."""
    attempts = list(attempts)
    # Whoever repeated a key knows by now which job it is.
    known = {(one.event_id, one.user_id, one.key) for one in attempts if one.key is not None and one.job_id is not None}
    return Counter(
        (one.event_id, one.user_id, one.quantity)
        for one in attempts
        if one.unanswered and one.job_id is None and (one.event_id, one.user_id, one.key) not in known
    )


def _unasked(strangers: Iterable[Outcome], unheard: Counter[tuple[int, int | None, int | None]]) -> Iterator[str]:
    for outcome in strangers:
        wish = (outcome.event_id, outcome.user_id, outcome.quantity)
        if unheard[wish] > 0:
            unheard[wish] -= 1
        else:
            yield (
                f"job {outcome.job_id} of user {outcome.user_id}, event {outcome.event_id}, is {outcome.kind},"
                " and nobody asked for it"
            )


def _by_job(told: Iterable[Told]) -> dict[UUID, Told]:
    return {answer.job_id: answer for answer in told}


def _agree(told: Told, outcome: Outcome | None) -> bool:
    if outcome is None:
        return False
    same_booking = told.booking_id is None or told.booking_id == outcome.booking_id
    return (told.status, told.reason) == (outcome.status, outcome.reason) and same_booking


def _words(told: Told) -> str:
    return f"{told.status} (reason {told.reason}, booking {told.booking_id})"


def _words_of(outcome: Outcome | None) -> str:
    if outcome is None:
        return "nothing"
    place = f"entry {outcome.entry_number} of event {outcome.event_id}"
    return f"{outcome.kind} (reason {outcome.reason}, booking {outcome.booking_id}) in {place}"


def _listed(found: Iterable[object]) -> str:
    return ", ".join(sorted(str(one) for one in found))


def _wrong_receipts(
    attempts: Iterable[Attempt], outcomes: Outcomes, numbers: Mapping[UUID, Collection[int | None]]
) -> Iterator[str]:
    for attempt in attempts:
        outcome = None if attempt.job_id is None else outcomes.get(attempt.job_id)
        if outcome is None:
            continue
        wish = (attempt.event_id, attempt.user_id, attempt.quantity)
        decided = (outcome.event_id, outcome.user_id, outcome.quantity)
        if wish != decided:
            yield f"job {attempt.job_id}: event, user and quantity were {wish}, decided were {decided}"
        # An attempt without an answer may have had any number; so may a booking that went around the queue.
        said = numbers[outcome.job_id]
        if outcome.queue_number is not None and None not in said and outcome.queue_number not in said:
            yield f"job {outcome.job_id}: the receipts say number {_listed(said)}, the ledger {outcome.queue_number}"


def _times(attempts: Iterable[Attempt]) -> tuple[dict[UUID, float], dict[UUID, float]]:
    """Return when each job was first asked for, and when it first had a receipt."""
    asked: dict[UUID, float] = {}
    receipted: dict[UUID, float] = {}
    for attempt in attempts:
        if attempt.job_id is not None:
            asked[attempt.job_id] = min(attempt.asked_at, asked.get(attempt.job_id, attempt.asked_at))
            if attempt.accepted:
                receipted[attempt.job_id] = min(attempt.answered_at, receipted.get(attempt.job_id, attempt.answered_at))
    return asked, receipted


def _overtakers(line: Iterable[Outcome], asked: Mapping[UUID, float], receipted: Mapping[UUID, float]) -> Iterator[str]:
    """Tell who in a line was decided ahead of somebody whose receipt is older than the asking."""
    known = [outcome for outcome in line if outcome.job_id in asked]
    # By the time of the receipt; moved to `ahead`, highest entry kept, once somebody asks later than that.
    receipts: list[tuple[float, int, Outcome]] = []
    for outcome in known:
        if outcome.job_id in receipted:
            heappush(receipts, (receipted[outcome.job_id], outcome.entry_number, outcome))
    ahead: Outcome | None = None
    for outcome in sorted(known, key=lambda outcome: asked[outcome.job_id]):
        while receipts and receipts[0][0] < asked[outcome.job_id]:
            _, _, served = heappop(receipts)
            if ahead is None or served.entry_number > ahead.entry_number:
                ahead = served
        if ahead is not None and ahead.entry_number > outcome.entry_number:
            yield (
                f"event {outcome.event_id}: job {outcome.job_id} (entry {outcome.entry_number}) was asked for after"
                f" job {ahead.job_id} (entry {ahead.entry_number}) had its receipt"
            )


def _wrong_deliveries(
    wanted: Mapping[tuple[int, int], UUID | None], first: Mapping[tuple[int, int], Delivered]
) -> Iterator[str]:
    for event_id, number in sorted(wanted.keys() - first.keys()):
        yield f"event {event_id}: the outcome in entry {number} was never delivered"
    for event_id, number in sorted(first.keys() - wanted.keys()):
        yield f"event {event_id}: entry {number} was delivered, and is no outcome"
    for place in sorted(wanted.keys() & first.keys()):
        if wanted[place] != first[place].job_id:
            yield f"event {place[0]}, entry {place[1]}: delivered for job {first[place].job_id}, not {wanted[place]}"


def _late_deliveries(first: Iterable[Delivered]) -> Iterator[str]:
    highest: dict[int, int] = {}
    for delivered in first:
        before = highest.get(delivered.event_id, 0)
        if delivered.entry_number < before:
            yield f"event {delivered.event_id}: entry {delivered.entry_number} was delivered after entry {before}"
        highest[delivered.event_id] = max(before, delivered.entry_number)
