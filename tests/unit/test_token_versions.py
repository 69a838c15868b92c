"""What is remembered of voided tokens, for how long, and what PostgreSQL is asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from aurora_atlan.persistence.token_versions import TokenVersions

NOW = datetime(2026, 11, 22, 19, 30, tzinfo=UTC)


class Clock:
    """Moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeConnection:
    """Answers every question with the same rows."""

    def __init__(self, *changed: tuple[int, int]) -> None:
        self.rows: list[tuple[datetime, int | None, int | None]] = [(NOW, *row) for row in changed]
        self.asked: list[Mapping[str, Any]] = []
        self.failure: Exception | None = None

    def execute(self, _query: bytes, parameters: Mapping[str, Any]) -> FakeConnection:
        self.asked.append(parameters)
        if self.failure is not None:
            raise self.failure
        return self

    def fetchall(self) -> list[tuple[datetime, int | None, int | None]]:
        # An outer join: without a change there is the time alone.
        return self.rows or [(NOW, None, None)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def versions(clock: Clock) -> TokenVersions:
    return TokenVersions(remembered_s=900.0, clock=clock)


def refresh(versions: TokenVersions, connection: FakeConnection) -> None:
    versions.refresh(connection)  # type: ignore[arg-type]


def test_what_is_noted_is_known_at_once(versions: TokenVersions):
    versions.note(7, 2)

    assert dict(versions.least) == {7: 2}


def test_what_others_changed_is_learned(versions: TokenVersions):
    refresh(versions, FakeConnection((7, 2), (8, 5)))

    assert dict(versions.least) == {7: 2, 8: 5}


def test_without_changes_nothing_is_learned(versions: TokenVersions):
    refresh(versions, FakeConnection())

    assert dict(versions.least) == {}


def test_a_version_never_falls(versions: TokenVersions):
    """A look that began before a change was noted may come back after it."""
    versions.note(7, 3)
    refresh(versions, FakeConnection((7, 2)))

    assert versions.least[7] == 3


def test_the_first_look_goes_back_as_far_as_tokens_live_and_the_next_to_a_minute_before_the_last(
    versions: TokenVersions,
):
    connection = FakeConnection()
    refresh(versions, connection)
    refresh(versions, connection)

    assert connection.asked == [{"since": None, "look_back_s": 900.0}, {"since": NOW, "look_back_s": 60.0}]


def test_a_look_that_failed_is_made_up_for(versions: TokenVersions):
    connection = FakeConnection((7, 2))
    connection.failure = OSError("connection lost")
    with pytest.raises(OSError, match="lost"):
        refresh(versions, connection)
    connection.failure = None
    refresh(versions, connection)
    connection.failure = OSError("connection lost")
    with pytest.raises(OSError, match="lost"):
        refresh(versions, connection)

    assert dict(versions.least) == {7: 2}
    assert [asked["since"] for asked in connection.asked] == [None, None, NOW]


def test_what_is_older_than_any_token_is_forgotten(versions: TokenVersions, clock: Clock):
    versions.note(7, 2)
    clock.now += 500
    versions.note(8, 2)
    clock.now += 401
    refresh(versions, FakeConnection())

    assert dict(versions.least) == {8: 2}


def test_a_user_who_changed_again_is_remembered_from_then_on(versions: TokenVersions, clock: Clock):
    versions.note(7, 2)
    clock.now += 500
    versions.note(7, 3)
    clock.now += 401
    refresh(versions, FakeConnection())
    assert dict(versions.least) == {7: 3}

    clock.now += 500
    refresh(versions, FakeConnection())
    assert dict(versions.least) == {}
    assert not versions._noted


def test_seeing_the_same_change_again_and_again_takes_no_memory(versions: TokenVersions):
    """The overlap of two looks shows every change many times."""
    for _ in range(100):
        refresh(versions, FakeConnection((7, 2), (8, 2)))

    assert len(versions._noted) == 2


def test_nobody_can_write_to_what_is_compared_with(versions: TokenVersions):
    with pytest.raises(TypeError):
        versions.least[7] = 0  # type: ignore[index]
