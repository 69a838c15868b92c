"""The decision, held to the promises by property."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_atlan.actors.decide import Facts, Ruling, decide
from aurora_atlan.persistence.inventory import Change, Draft
from aurora_atlan.persistence.records import Inventory, Job, Kind, Outcome, Reason
from booking_fakes import NOW, a_job, an_inventory, an_outcome, facts, job_id_of

_SECOND = timedelta(seconds=1)

# Few users and small numbers, so that limits are met all the time.
_WISHES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4)), max_size=16)


@st.composite
def _sales(draw: st.DrawFn) -> tuple[Inventory, list[Job], Facts]:
    """Draw a sale under way: a row, the slots held, answers known already, and a batch in rising order."""
    capacity = draw(st.integers(0, 25))
    cap = draw(st.integers(1, 3))
    inventory = an_inventory(
        capacity=capacity,
        sold=draw(st.integers(0, capacity)),
        cap_per_user=cap,
        last_queue_number=draw(st.integers(0, 40)),
    )
    wishes = draw(_WISHES)
    first = draw(st.integers(max(1, inventory.last_queue_number - 5), inventory.last_queue_number + 5))
    gaps = draw(st.lists(st.integers(1, 3), min_size=len(wishes), max_size=len(wishes)))
    jobs, number = [], first
    for (user_id, quantity), gap in zip(wishes, gaps, strict=True):
        jobs.append(a_job(number, user_id=user_id, quantity=quantity))
        number += gap
    known = draw(st.sets(st.sampled_from([job.queue_number for job in jobs]))) if jobs else set()
    poisoned = draw(st.sets(st.sampled_from([job.queue_number for job in jobs]), max_size=2)) if jobs else set()
    held = draw(st.dictionaries(st.integers(1, 6), st.sets(st.integers(1, cap))))
    seats = min(len(jobs), inventory.capacity - inventory.sold)
    return (
        inventory,
        jobs,
        facts(
            outcomes={job_id_of(number): an_outcome(number) for number in known},
            poisoned=frozenset(job_id_of(number) for number in poisoned),
            held_slots=held,
            booking_ids=range(1000, 1000 + seats),
        ),
    )


def _decided_now(jobs: list[Job], known: Facts) -> list[Job]:
    return [job for job in jobs if job.job_id not in known.outcomes]


def _answers(ruling: Ruling) -> list[tuple[Kind, Reason | None]]:
    return [(outcome.kind, outcome.reason) for outcome in ruling.outcomes]


def _bookings(change: Change) -> list[Draft]:
    return [entry for entry in change.entries if entry.slot is not None]


def _reason(inventory: Inventory, job: Job, **known: object) -> Reason | None:
    [outcome] = decide(inventory, [job], facts(**known)).outcomes
    return outcome.reason


@given(_sales())
def test_it_never_oversells(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """Sold is what was sold plus what is confirmed, and never above the capacity."""
    inventory, jobs, known = sale

    change = decide(inventory, jobs, known).change

    confirmed = sum(booking.quantity for booking in _bookings(change))
    assert change.inventory.sold == inventory.sold + confirmed
    assert 0 <= change.inventory.sold <= inventory.capacity


@given(_sales())
def test_nobody_is_refused_sold_out_while_there_are_seats_at_his_turn(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """A refusal for want of seats is told only when fewer are left at that turn than are asked for."""
    inventory, jobs, known = sale

    ruling = decide(inventory, jobs, known)

    sold = inventory.sold
    for entry in ruling.change.entries:
        if entry.reason is Reason.SOLD_OUT:
            assert inventory.capacity - sold < entry.quantity
        sold = entry.sold_after


@given(st.integers(0, 20), st.integers(0, 40))
def test_single_tickets_sell_out_exactly(capacity: int, demand: int) -> None:
    """With one ticket each, as many are sold as there are buyers or seats, and the first come are served."""
    jobs = [a_job(number) for number in range(1, demand + 1)]

    ruling = decide(an_inventory(capacity=capacity), jobs, facts(booking_ids=range(min(capacity, demand))))

    sold = min(capacity, demand)
    assert ruling.change.inventory.sold == sold
    expected = [(Kind.CONFIRMED, None)] * sold + [(Kind.REJECTED, Reason.SOLD_OUT)] * (demand - sold)
    assert _answers(ruling) == expected


@given(_sales())
def test_every_job_is_answered_once_in_the_order_of_the_batch(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """The answers are the batch's jobs in their order, each with what its entry says."""
    inventory, jobs, known = sale

    ruling = decide(inventory, jobs, known)

    assert [outcome.job_id for outcome in ruling.outcomes] == [job.job_id for job in jobs]
    entries = [entry for entry in ruling.change.entries if entry.kind is not Kind.QUEUE_RESTARTED]
    new = [outcome for outcome in ruling.outcomes if outcome.job_id not in known.outcomes]
    assert [(entry.job_id, entry.kind, entry.reason, entry.booking_id) for entry in entries] == [
        (outcome.job_id, outcome.kind, outcome.reason, outcome.booking_id) for outcome in new
    ]
    assert all(outcome.decided_at == NOW for outcome in new)


@given(_sales())
def test_a_job_with_an_answer_keeps_it_and_gets_no_entry(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """A replay is told what the ledger says, is written nowhere, and still moves the queue's position on."""
    inventory, jobs, known = sale

    ruling = decide(inventory, jobs, known)

    for outcome in ruling.outcomes:
        if outcome.job_id in known.outcomes:
            assert outcome is known.outcomes[outcome.job_id]
    assert {entry.job_id for entry in ruling.change.entries}.isdisjoint(known.outcomes)
    highest = max([inventory.last_queue_number, *(job.queue_number for job in jobs)])
    assert ruling.change.inventory.last_queue_number == highest


@given(_sales())
def test_deciding_the_same_batch_again_changes_nothing(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """With the answers of the first time known, a second time gives the same answers and no entry."""
    inventory, jobs, known = sale
    first = decide(inventory, jobs, known)

    outcomes: dict[UUID, Outcome] = {outcome.job_id: outcome for outcome in first.outcomes}
    second = decide(first.change.inventory, jobs, known._replace(outcomes=outcomes, booking_ids=()))

    assert list(second.outcomes) == list(first.outcomes)
    assert list(second.change.entries) == []
    assert second.change.inventory == first.change.inventory


@given(_sales(), st.integers(0, 16))
def test_where_a_batch_is_cut_makes_no_difference(sale: tuple[Inventory, list[Job], Facts], cut: int) -> None:
    """Two batches get the answers that one would have got."""
    inventory, jobs, known = sale
    whole = decide(inventory, jobs, known)

    first = decide(inventory, jobs[:cut], known)
    held = {user_id: set(slots) for user_id, slots in known.held_slots.items()}
    for booking in _bookings(first.change):
        held.setdefault(booking.user_id, set()).add(booking.slot)
    left = known.booking_ids[len(_bookings(first.change)) :]
    second = decide(first.change.inventory, jobs[cut:], known._replace(held_slots=held, booking_ids=left))

    assert [*first.outcomes, *second.outcomes] == list(whole.outcomes)
    assert [*_bookings(first.change), *_bookings(second.change)] == _bookings(whole.change)
    assert second.change.inventory.sold == whole.change.inventory.sold


@given(_sales())
def test_the_entries_add_up(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """Each entry's sold_after follows from the one before: more by the quantity when confirmed, else the same."""
    inventory, jobs, known = sale
    by_id = {job.job_id: job for job in jobs}

    change = decide(inventory, jobs, known).change

    sold = inventory.sold
    for entry in change.entries:
        sold += entry.quantity if entry.kind is Kind.CONFIRMED else 0
        assert (entry.sold_after, entry.capacity_after) == (sold, inventory.capacity)
        if entry.kind is not Kind.QUEUE_RESTARTED:
            job = by_id[entry.job_id]
            assert (entry.user_id, entry.quantity) == (job.user_id, job.quantity)
            assert (entry.queue_number, entry.accepted_at) == (job.queue_number, job.accepted_at)
    assert change.inventory.sold == sold


@given(_sales())
def test_confirmations_make_bookings_and_nothing_else_does(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """Every confirmation has a slot and a fresh id of its own, and no other entry has either."""
    inventory, jobs, known = sale

    change = decide(inventory, jobs, known).change

    assert _bookings(change) == [entry for entry in change.entries if entry.kind is Kind.CONFIRMED]
    ids = [entry.booking_id for entry in change.entries if entry.booking_id is not None]
    assert len(set(ids)) == len(ids) == len(_bookings(change))
    assert set(ids) <= set(known.booking_ids)


@given(_sales())
def test_nobody_holds_more_than_the_cap_nor_two_in_one_slot(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """A booking gets the lowest free slot of its user, from 1 to the cap."""
    inventory, jobs, known = sale

    change = decide(inventory, jobs, known).change

    held = {user_id: set(slots) for user_id, slots in known.held_slots.items()}
    for booking in _bookings(change):
        slots = held.setdefault(booking.user_id, set())
        free = next(slot for slot in range(1, inventory.cap_per_user + 1) if slot not in slots)
        assert booking.slot == free
        slots.add(free)


@given(_sales())
def test_a_user_is_told_of_the_limit_only_when_he_has_reached_it(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """already_booked and limit_reached are told exactly to those who hold the cap at their turn."""
    inventory, jobs, known = sale

    ruling = decide(inventory, jobs, known)

    word = Reason.ALREADY_BOOKED if inventory.cap_per_user == 1 else Reason.LIMIT_REACHED
    held = Counter({user_id: len(slots) for user_id, slots in known.held_slots.items()})
    for entry in ruling.change.entries:
        if entry.kind in (Kind.QUEUE_RESTARTED, Kind.FAILED):
            continue
        at_the_limit = held[entry.user_id] >= inventory.cap_per_user
        assert (entry.reason is word) == at_the_limit
        held[entry.user_id] += entry.kind is Kind.CONFIRMED


@given(_sales())
def test_numbers_rise_between_two_restarts_of_the_queue(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """An entry queue_restarted stands before a number that is not above the one before it, and nowhere else."""
    inventory, jobs, known = sale

    entries = decide(inventory, jobs, known).change.entries

    last, restarted = inventory.last_queue_number, False
    for entry in entries:
        if entry.kind is Kind.QUEUE_RESTARTED:
            assert not restarted
            assert entry.queue_number is not None
            assert entry.queue_number <= last
            restarted = True
            continue
        assert (entry.queue_number <= last) == restarted
        last, restarted = entry.queue_number, False
    assert not restarted


@given(_sales())
def test_the_same_facts_give_the_same_ruling(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """It is a pure function: it changes none of what it is given and depends on nothing else."""
    inventory, jobs, known = sale
    before = hashlib.sha256(repr((inventory, jobs, known)).encode()).digest()

    assert decide(inventory, jobs, known) == decide(inventory, jobs, known)

    assert hashlib.sha256(repr((inventory, jobs, known)).encode()).digest() == before


@given(_sales())
def test_a_poisoned_job_fails_and_harms_no_other(sale: tuple[Inventory, list[Job], Facts]) -> None:
    """A poisoned job is failed unless it has an answer, and the others are answered as if it were not there."""
    inventory, jobs, known = sale

    ruling = decide(inventory, jobs, known)

    answers = dict(zip((job.job_id for job in jobs), _answers(ruling), strict=True))
    poisoned = known.poisoned - known.outcomes.keys()
    assert all(answers.pop(job_id) == (Kind.FAILED, Reason.POISON) for job_id in poisoned)
    others = [job for job in jobs if job.job_id not in poisoned]
    alone = decide(inventory, others, known)
    assert list(answers.values()) == _answers(alone)


def test_an_empty_batch_changes_nothing() -> None:
    """Without jobs there is nothing to record."""
    inventory = an_inventory(sold=3, last_queue_number=9)

    ruling = decide(inventory, [], facts())

    assert ruling.change.inventory == inventory
    assert list(ruling.change.entries) == list(ruling.outcomes) == []


_TOO_LATE = {"opens_at": NOW - 2 * _SECOND, "closes_at": NOW - _SECOND}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"gone": True, **_TOO_LATE, "capacity": 0}, Reason.EVENT_GONE),
        ({**_TOO_LATE, "capacity": 0}, Reason.EVENT_CLOSED),
        ({"capacity": 0}, Reason.ALREADY_BOOKED),
        ({"capacity": 0, "cap_per_user": 2}, Reason.LIMIT_REACHED),
    ],
)
def test_the_first_refusal_that_applies_is_told(row: dict[str, object], reason: Reason) -> None:
    """A gone event is told before a closed one, that before the user's limit, and that before sold out."""
    assert _reason(an_inventory(**row), a_job(1), held_slots={1: {1, 2}}) is reason


def test_sold_out_is_told_last() -> None:
    """Who has no other fault is told that there are too few seats."""
    assert _reason(an_inventory(capacity=0), a_job(1)) is Reason.SOLD_OUT


def test_a_larger_wish_is_refused_and_a_smaller_one_behind_it_still_served() -> None:
    """All of a wish's tickets or none; what is left goes to those behind."""
    ruling = decide(an_inventory(capacity=3), [a_job(1, quantity=2), a_job(2, quantity=2), a_job(3)], facts())

    expected = [(Kind.CONFIRMED, None), (Kind.REJECTED, Reason.SOLD_OUT), (Kind.CONFIRMED, None)]
    assert _answers(ruling) == expected
    assert ruling.change.inventory.sold == 3


def test_a_user_who_tries_twice_books_once() -> None:
    """The second attempt of the same user in the same batch is refused."""
    ruling = decide(an_inventory(), [a_job(1, user_id=5), a_job(2, user_id=5)], facts())

    assert _answers(ruling) == [(Kind.CONFIRMED, None), (Kind.REJECTED, Reason.ALREADY_BOOKED)]


def test_a_cancelled_slot_is_given_again() -> None:
    """The lowest free slot is taken, also below one that is held."""
    ruling = decide(an_inventory(cap_per_user=3), [a_job(1, user_id=5)], facts(held_slots={5: {1, 3}}))

    assert [entry.slot for entry in ruling.change.entries] == [2]


@pytest.mark.parametrize(
    ("opens_at", "closes_at", "reason"),
    [
        (NOW, None, None),
        (NOW + _SECOND, None, Reason.EVENT_CLOSED),
        (None, NOW + _SECOND, None),
        (None, NOW, Reason.EVENT_CLOSED),
        (NOW - _SECOND, NOW + _SECOND, None),
    ],
)
def test_the_window_is_open_from_its_beginning_until_before_its_end(
    opens_at: object, closes_at: object, reason: Reason | None
) -> None:
    """The window is judged by the time of the decision."""
    job = a_job(1, accepted_at=NOW - timedelta(days=1))

    assert _reason(an_inventory(opens_at=opens_at, closes_at=closes_at), job) is reason


@pytest.mark.parametrize(
    ("age_s", "age_max_s", "reason"), [(60, 60, None), (61, 60, Reason.EXPIRED), (10**6, None, None)]
)
def test_a_job_expires_only_where_an_age_is_set(age_s: int, age_max_s: int | None, reason: Reason | None) -> None:
    """Without a limit no job is too old; with one, the age is measured at the decision."""
    job = a_job(1, accepted_at=NOW - timedelta(seconds=age_s))
    age_max = None if age_max_s is None else timedelta(seconds=age_max_s)

    assert _reason(an_inventory(), job, age_max=age_max) is reason


def test_a_known_job_with_a_new_number_does_not_break_the_order() -> None:
    """A keyed job queued again is no restart of the queue, whatever number it has now."""
    inventory = an_inventory(last_queue_number=20)
    jobs = [a_job(3), a_job(21), a_job(22)]

    ruling = decide(inventory, jobs, facts(outcomes={job_id_of(3): an_outcome(3)}))

    assert [entry.kind for entry in ruling.change.entries] == [Kind.CONFIRMED, Kind.CONFIRMED]
    assert ruling.change.inventory.last_queue_number == 22


def test_a_job_that_was_never_queued_has_no_place_in_the_order() -> None:
    """Decided directly: an ordinary entry without a number, and the queue's position stays."""
    inventory = an_inventory(last_queue_number=20)

    ruling = decide(inventory, [a_job(0, user_id=1)], facts())

    [entry] = ruling.change.entries
    assert (entry.kind, entry.queue_number) == (Kind.CONFIRMED, None)
    assert ruling.change.inventory.last_queue_number == 20
