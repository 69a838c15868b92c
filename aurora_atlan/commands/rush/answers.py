"""Every attempt accepted once, answered once, about itself, and for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from aurora_atlan.commands.rush.history import Attempt, History


def contradicted(attempts: Sequence[Attempt]) -> Iterator[str]:
    """Name the attempts that were answered wrongly, twice, or about another."""
    jobs: Counter[str] = Counter()
    bookings: Counter[int] = Counter()
    for attempt in attempts:
        yield from (f"user {attempt.user_id} {complaint}" for complaint in attempt.complaints)
        receipt = attempt.receipt
        if receipt is None:
            continue
        jobs[receipt.job_id] += 1
        ids = {one.job_id for one in attempt.receipts} | attempt.possible_job_ids
        if len(ids) > 1:
            yield f"user {attempt.user_id} repeated one attempt and got several jobs: {', '.join(sorted(ids))}"
        if len({one.queue_number for one in attempt.receipts}) > 1:
            yield f"user {attempt.user_id} repeated one attempt and got several queue numbers"
        if attempt.answer is None:
            continue
        if attempt.answer.booking_id is not None:
            bookings[attempt.answer.booking_id] += 1
        yield from _answer(attempt)
    yield from (f"job {job_id} was given to {count} buyers" for job_id, count in jobs.items() if count > 1)
    yield from (f"booking {booking} was given to {count} buyers" for booking, count in bookings.items() if count > 1)


def _answer(attempt: Attempt) -> Iterator[str]:
    receipt, answer = attempt.receipt, attempt.answer
    assert receipt is not None
    assert answer is not None
    subject = f"job {receipt.job_id} of user {attempt.user_id}"
    if not (answer.confirmed or answer.sold_out):
        yield f"{subject} was answered {answer}, which nothing in a rush explains"
    if answer.confirmed and (answer.booking_id is None or answer.booking_status != "confirmed"):
        yield f"{subject} was answered completed without a confirmed booking"
    if not answer.confirmed and answer.booking_id is not None:
        yield f"{subject} was answered {answer.status} with a booking"
    about = (answer.job_id, answer.event_id, answer.user_id, answer.quantity)
    if about != (receipt.job_id, attempt.event_id, attempt.user_id, 1):
        yield f"{subject} got the answer of another attempt: {about}"
    if answer.queue_number not in (None, receipt.queue_number):
        yield f"{subject} had queue number {receipt.queue_number} and was answered with {answer.queue_number}"
    for again in attempt.answers[1:]:
        if again != answer:
            yield f"{subject} was answered {answer} at first and {again} later"


def unanswered(history: History) -> Iterator[str]:
    """Name the attempts without a receipt or an answer, where no complaint says why."""
    silent = [attempt for attempt in history.attempts if attempt.answer is None and not attempt.complaints]
    accepted = [attempt.receipt.job_id for attempt in silent if attempt.receipt is not None]
    if history.incidents:
        # It is clear why: one sentence will do.
        if silent:
            receiptless = len(silent) - len(accepted)
            yield f"until then accepted but not answered: {len(accepted):,}; without a receipt: {receiptless:,}"
        return
    yield from (f"job {job_id} was accepted and never answered" for job_id in accepted)
    yield from (f"user {attempt.user_id} got no receipt" for attempt in silent if attempt.receipt is None)
