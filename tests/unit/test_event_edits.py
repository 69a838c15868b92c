"""An edit, held against the event as it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aurora_atlan.persistence.events import Event, EventEdit
from booking_fakes import NOW

EVENT = Event(
    id=1,
    name="Concert",
    venue="Hall",
    time=NOW,
    capacity=10,
    booked=3,
    impressions=5,
    version=2,
    cap_per_user=1,
    opens_at=None,
    closes_at=NOW,
    created_at=NOW,
    updated_at=NOW,
)


@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        ({}, {}),
        ({"name": "Concert", "capacity": 10, "opens_at": None, "closes_at": NOW}, {}),
        ({"name": "Gala", "venue": "Hall"}, {"name": "Gala"}),
        ({"closes_at": None}, {"closes_at": None}),
        ({"opens_at": NOW - timedelta(days=1)}, {"opens_at": NOW - timedelta(days=1)}),
        ({"capacity": 0, "cap_per_user": 2}, {"capacity": 0, "cap_per_user": 2}),
    ],
)
def test_only_what_is_not_yet_so_is_a_change(wanted: dict[str, Any], changes: dict[str, Any]) -> None:
    """What is not named stays, and no bound of the window is not the same as no change."""
    assert EventEdit(**wanted).changes_of(EVENT) == changes
