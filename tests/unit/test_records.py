"""The words that are written in the ledger and told to clients."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import pytest

from aurora_atlan.persistence.records import Kind, Reason
from booking_fakes import a_job, an_inventory, an_outcome


def test_the_reasons_are_the_agreed_words() -> None:
    """Clients compare these words; none may change or go."""
    assert {reason.value for reason in Reason} == {
        "sold_out",
        "already_booked",
        "limit_reached",
        "event_closed",
        "event_gone",
        "cancelled",
        "expired",
        "poison",
    }


def test_the_kinds_are_those_that_the_schema_accepts() -> None:
    """What the code writes as a ledger entry's kind is what the table's CHECK lists."""
    migration = resources.files("aurora_atlan.persistence").joinpath("migrations", "0004.bookings.sql")
    found = re.search(r"CHECK \(kind IN \(([^)]*)\)", migration.read_text(encoding="utf-8"))

    assert found is not None
    assert {kind.value for kind in Kind} == set(re.findall(r"'(\w+)'", found[1]))


@pytest.mark.parametrize("record", [a_job(1), an_inventory(), an_outcome(1)])
def test_records_cannot_be_changed(record: Any) -> None:
    """They travel between threads, so nobody may write to them."""
    with pytest.raises(AttributeError):
        setattr(record, record._fields[0], 8)
