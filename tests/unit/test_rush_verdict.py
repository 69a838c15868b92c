"""The verdict over a rush: an honest history passes, and each broken promise is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aurora_atlan.commands.rush.history import Answer, Attempt, History, Proof, Receipt, SoldEvent
from aurora_atlan.commands.rush.verdict import judge

_EVENT = 7
_SEATS = 3
_BUYERS = 6

Attempts = list[Attempt]


def honest_attempt(number: int, event_id: int = _EVENT) -> Attempt:
    """Make the attempt with this queue number; the first three get a seat."""
    confirmed = number <= _SEATS
    job_id = f"job-{event_id}-{number}"
    answer = Answer(
        status="completed" if confirmed else "failed",
        reason=None if confirmed else "sold_out",
        job_id=job_id,
        event_id=event_id,
        user_id=100 + number,
        quantity=1,
        queue_number=number,
        booking_id=event_id * 100 + number if confirmed else None,
        booking_status="confirmed" if confirmed else None,
    )
    return Attempt(
        event_id=event_id,
        user_id=100 + number,
        sent_s=number * 1.0,
        accepted_s=number + 0.5,
        answered_s=number + 10.0,
        receipts=[Receipt(job_id, number, 1, f"/api/bookings/status/{job_id}", "always")] * 2,
        answers=[answer, answer],
        lowest_position=1,
    )


def honest_attempts(event_id: int = _EVENT) -> Attempts:
    return [honest_attempt(number, event_id) for number in range(1, _BUYERS + 1)]


def honest_proof() -> Proof:
    return Proof(
        event_id=_EVENT,
        entries=_BUYERS + 1,
        seats_booked=_SEATS,
        confirmed=_SEATS,
        refused=_BUYERS - _SEATS,
        queue_restarts=0,
    )


def history(attempts: Attempts, **others: Any) -> History:
    facts: dict[str, Any] = {
        "events": [SoldEvent(_EVENT, _SEATS, booked=_SEATS)],
        "attempts": attempts,
        "proofs": [honest_proof()],
    }
    return History(**(facts | others))


def change_answer(attempt: Attempt, **changes: Any) -> None:
    """Let the service say something else, both times."""
    attempt.answers = [replace(answer, **changes) for answer in attempt.answers]


def change_receipt(attempt: Attempt, **changes: Any) -> None:
    """Let the first receipt say something else."""
    attempt.receipts[0] = replace(attempt.receipts[0], **changes)


def test_an_honest_rush_keeps_every_promise() -> None:
    verdict = judge(history(honest_attempts()))

    assert verdict.violations == ()
    assert verdict.kept
    assert (verdict.sold, verdict.capacity, verdict.sold_out) == (3, 3, 3)
    assert (verdict.oversold, verdict.undersold, verdict.out_of_order) == (0, 0, 0)
    assert (verdict.accepted, verdict.answered, verdict.asked_again, verdict.changed) == (6, 6, 6, 0)
    assert (verdict.queue_restarts, verdict.ledger_entries) == (0, 7)


def test_several_events_are_judged_each_by_itself() -> None:
    attempts = honest_attempts() + honest_attempts(8)
    events = [SoldEvent(_EVENT, _SEATS, _SEATS), SoldEvent(8, _SEATS, _SEATS)]

    verdict = judge(history(attempts, events=events, proofs=None))

    assert verdict.violations == ()
    assert (verdict.sold, verdict.capacity) == (6, 6)
    assert verdict.queue_restarts is None


def test_fewer_buyers_than_seats_leave_seats_over_without_a_violation() -> None:
    events = [SoldEvent(_EVENT, 10, 3)]

    assert judge(history(honest_attempts()[:3], events=events, proofs=None)).kept


def _oversold(attempts: Attempts) -> None:
    change_answer(attempts[3], status="completed", reason=None, booking_id=999, booking_status="confirmed")


def _undersold(attempts: Attempts) -> None:
    change_answer(attempts[2], status="failed", reason="sold_out", booking_id=None, booking_status=None)


def _jumped(attempts: Attempts) -> None:
    _oversold(attempts)
    _undersold(attempts)


def _numbered_late(attempts: Attempts) -> None:
    for attempt, number in ((attempts[4], 6), (attempts[5], 5)):
        attempt.receipts = [replace(receipt, queue_number=number) for receipt in attempt.receipts]
        change_answer(attempt, queue_number=number)


def _same_number(attempts: Attempts) -> None:
    attempts[1].receipts = [replace(receipt, queue_number=1) for receipt in attempts[1].receipts]
    change_answer(attempts[1], queue_number=1)


def _no_receipt(attempts: Attempts) -> None:
    attempts[5].receipts.clear()
    attempts[5].answers.clear()


def _no_answer(attempts: Attempts) -> None:
    attempts[5].answers.clear()


def _complaint(attempts: Attempts) -> None:
    attempts[5].complaints.append("was not accepted: 500 Something went wrong")
    _no_receipt(attempts)


def _position_rose(attempts: Attempts) -> None:
    attempts[5].tell_position(4)


def _changed_its_mind(attempts: Attempts) -> None:
    attempts[5].answers[1] = replace(attempts[0].answers[0], job_id="job-7-6")


def _another_job(attempts: Attempts) -> None:
    change_receipt(attempts[0], job_id="job-x")
    change_answer(attempts[0], job_id="job-x")


def _another_number(attempts: Attempts) -> None:
    change_receipt(attempts[0], queue_number=9)


def _job_of_a_503(attempts: Attempts) -> None:
    attempts[0].possible_job_ids.add("job-y")


def _shared_job(attempts: Attempts) -> None:
    attempts[1].receipts = [replace(receipt, job_id="job-7-1") for receipt in attempts[1].receipts]
    change_answer(attempts[1], job_id="job-7-1")


def _shared_booking(attempts: Attempts) -> None:
    change_answer(attempts[1], booking_id=701)


def _other_user(attempts: Attempts) -> None:
    change_answer(attempts[1], user_id=101)


def _other_reason(attempts: Attempts) -> None:
    change_answer(attempts[4], reason="poison")


def _without_booking(attempts: Attempts) -> None:
    change_answer(attempts[1], booking_id=None, booking_status=None)


def _refused_with_booking(attempts: Attempts) -> None:
    change_answer(attempts[4], booking_id=1, booking_status="confirmed")


def _renumbered(attempts: Attempts) -> None:
    change_answer(attempts[4], queue_number=50)


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (_oversold, "event 7 is oversold: 4 tickets were confirmed of 3"),
        (_undersold, "event 7 is undersold: 1 of those told sold_out could have been served"),
        (_jumped, "event 7: user 103 with queue number 3 was told sold_out, but number 4 was confirmed"),
        (
            _numbered_late,
            "event 7: user 106 got queue number 5 although number 6 had been accepted before the attempt was sent",
        ),
        (_same_number, "event 7: users 101 and 102 both have queue number 1"),
        (_no_receipt, "user 106 got no receipt"),
        (_no_answer, "job job-7-6 was accepted and never answered"),
        (_complaint, "user 106 was not accepted: 500 Something went wrong"),
        (_position_rose, "user 106 was told position 4 after position 1"),
        (
            _changed_its_mind,
            (
                "job job-7-6 of user 106 was answered failed (sold_out) at first "
                "and completed, booking 701 confirmed later"
            ),
        ),
        (_another_job, "user 101 repeated one attempt and got several jobs: job-7-1, job-x"),
        (_another_number, "user 101 repeated one attempt and got several queue numbers"),
        (_job_of_a_503, "user 101 repeated one attempt and got several jobs: job-7-1, job-y"),
        (_shared_job, "job job-7-1 was given to 2 buyers"),
        (_shared_booking, "booking 701 was given to 2 buyers"),
        (_other_user, "job job-7-2 of user 102 got the answer of another attempt: ('job-7-2', 7, 101, 1)"),
        (_other_reason, "job job-7-5 of user 105 was answered failed (poison), which nothing in a rush explains"),
        (_without_booking, "job job-7-2 of user 102 was answered completed without a confirmed booking"),
        (_refused_with_booking, "job job-7-5 of user 105 was answered failed with a booking"),
        (_renumbered, "job job-7-5 of user 105 had queue number 5 and was answered with 50"),
    ],
)
def test_a_broken_promise_is_found(plant: Callable[[Attempts], None], expected: str) -> None:
    attempts = honest_attempts()
    plant(attempts)

    verdict = judge(history(attempts))

    assert expected in verdict.violations
    assert not verdict.kept


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            {"events": [SoldEvent(_EVENT, _SEATS, booked=2)]},
            "event 7: the service shows 2 booked, but 3 buyers were told completed",
        ),
        (
            {"proofs": [replace(honest_proof(), violations=("event 7, entry 2: its hash ...",))]},
            "event 7, entry 2: its hash ...",
        ),
        (
            {"proofs": [replace(honest_proof(), queue_restarts=1)]},
            "event 7: its order of acceptance began anew, queue restarts: 1",
        ),
        (
            {"proofs": [replace(honest_proof(), confirmed=4, refused=2)]},
            "event 7: buyers were told completed 3 times and failed 3 times, but the ledger has 4 and 2",
        ),
        (
            {"proofs": [replace(honest_proof(), seats_booked=4)]},
            "event 7: 4 seats are booked, but 3 buyers were told completed",
        ),
        ({"proofs": []}, "event 7 was not found when its rows were audited"),
        ({"incidents": ["the service has not answered for 60 s"]}, "the service has not answered for 60 s"),
    ],
)
def test_what_the_service_or_its_rows_say_otherwise_is_found(facts: dict[str, Any], expected: str) -> None:
    verdict = judge(history(honest_attempts(), **facts))

    assert verdict.violations == (expected,)


def test_when_the_service_is_gone_the_unanswered_are_counted_instead_of_listed() -> None:
    attempts = honest_attempts()
    _no_answer(attempts)
    attempts[4].receipts.clear()
    attempts[4].answers.clear()

    verdict = judge(history(attempts, incidents=["gone"], proofs=None))

    assert verdict.violations[-1] == "until then accepted but not answered: 1; without a receipt: 1"


def test_the_figures_count_what_was_broken() -> None:
    attempts = honest_attempts()
    _jumped(attempts)
    _changed_its_mind(attempts)

    verdict = judge(history(attempts))

    assert (verdict.changed, verdict.out_of_order) == (1, 1)
