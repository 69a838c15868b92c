"""What a change of an event is written as."""

from __future__ import annotations

import orjson
import pytest

from aurora_atlan.persistence.inventory import Change, Draft, encode
from aurora_atlan.persistence.records import Kind, Reason
from booking_fakes import NOW, an_inventory, job_id_of


def confirmed(number: int) -> Draft:
    return Draft(Kind.CONFIRMED, number, 10, job_id=job_id_of(number), booking_id=number, user_id=number, quantity=1)


def cancelled(number: int) -> Draft:
    return Draft(Kind.CANCELLED, 0, 10, booking_id=number, user_id=number, quantity=1, reason=Reason.CANCELLED)


def withdrawn(number: int) -> Draft:
    return Draft(Kind.CANCELLED, 0, 10, job_id=job_id_of(number), user_id=number, quantity=1, reason=Reason.CANCELLED)


def rejected(number: int) -> Draft:
    return Draft(Kind.REJECTED, 0, 10, job_id=job_id_of(number), user_id=number, quantity=1, reason=Reason.SOLD_OUT)


@pytest.mark.parametrize(
    ("entries", "bookings"),
    [
        ([], 0),
        ([Draft(Kind.OPENED, 0, 10)], 0),
        ([confirmed(1), confirmed(2)], 2),
        ([cancelled(1), cancelled(2), cancelled(3)], -3),
        ([rejected(1), confirmed(2), withdrawn(3), Draft(Kind.CAPACITY_CHANGED, 1, 12), cancelled(4)], 0),
        ([withdrawn(1), rejected(2), Draft(Kind.QUEUE_RESTARTED, 0, 10)], 0),
    ],
)
def test_the_counter_of_bookings_moves_with_the_entries(entries: list[Draft], bookings: int) -> None:
    """One more for each that is confirmed, one less for each that is cancelled; jobs without a booking do not count."""
    row = orjson.loads(encode(Change(an_inventory(sold=3, sold_at_lock=3), entries), NOW).inventory)

    assert row["bookings"] == bookings
