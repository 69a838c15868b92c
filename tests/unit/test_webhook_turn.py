"""What follows a delivery that failed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from aurora_atlan.actors.webhook_turn import what_follows
from aurora_atlan.persistence.webhook_deliveries import Delivery, Failure, Lane, Target

NOW = datetime(2026, 11, 22, 19, 30, tzinfo=UTC)
LANE = Lane(3, 7)
TARGET = Target("https://example.com/", b"", None, None)
FIRST = Delivery(UUID(int=1), 2, NOW, 0, None, None)


def judge(delivery: Delivery, target: Target = TARGET, *, gone: bool = False) -> Failure:
    return what_follows(LANE, delivery, target, "it answered 500", NOW, gone=gone)


@pytest.mark.parametrize(
    ("attempts", "wait_s"), [(0, 5), (1, 10), (2, 20), (5, 160), (9, 2560), (10, 3600), (11, 3600), (1_000, 3600)]
)
def test_the_pause_doubles_up_to_an_hour_more_or_less(attempts: int, wait_s: float):
    pauses = {judge(replace(FIRST, attempts=attempts)).wait_s for _ in range(50)}

    assert all(0.75 * wait_s <= pause <= 1.25 * wait_s for pause in pauses)
    assert len(pauses) > 1


@pytest.mark.parametrize("since", [None, NOW, NOW - timedelta(days=4, hours=23)])
def test_for_five_days_it_is_tried_again(since: datetime | None):
    failure = judge(replace(FIRST, failing_since=since, attempts=50))

    assert not failure.given_up
    assert failure.disabling is None


def test_what_is_refused_while_others_are_taken_is_given_up():
    failing = replace(FIRST, failing_since=NOW - timedelta(days=5, hours=1))

    failure = judge(failing, replace(TARGET, last_success_at=NOW - timedelta(days=1)))

    assert failure.given_up
    assert failure.disabling is None


@pytest.mark.parametrize("last_success_at", [None, NOW - timedelta(days=6)])
def test_when_nothing_was_taken_the_webhook_is_switched_off_and_nothing_is_given_up(last_success_at: datetime | None):
    failing = replace(FIRST, failing_since=NOW - timedelta(days=5, hours=1))

    failure = judge(failing, replace(TARGET, last_success_at=last_success_at))

    assert not failure.given_up
    assert failure.disabling is not None
    assert (failure.disabling.action, failure.disabling.subject) == ("webhook.disable", "webhook 3")
    assert failure.disabling.after == {"enabled": False, "error": "it answered 500"}


def test_who_says_that_he_is_gone_is_switched_off_at_once():
    failure = judge(FIRST, replace(TARGET, last_success_at=NOW), gone=True)

    assert failure.disabling is not None
    assert not failure.given_up
