"""Seeding: those who wait take turns, and each turn seeds for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from aurora_atlan.actors.errors import BookingError, UnavailableError, UnknownEventError
from aurora_atlan.actors.seeding import Seeding
from aurora_atlan.persistence.errors import StoreUnavailableError
from booking_fakes import FakeSwitchboard

_UNKNOWN = 999


class _Bookings:
    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.patience: list[float] = []
        self.before_answering: Callable[[], None] = lambda: None

    def last_queue_numbers(self, event_ids: Sequence[int], within_s: float) -> dict[int, int]:
        self.asked.append(sorted(event_ids))
        self.patience.append(within_s)
        self.before_answering()
        return {event_id: 10 * event_id for event_id in event_ids if event_id != _UNKNOWN}


class _Jobs:
    def __init__(self) -> None:
        self.seeded: list[tuple[int, int, int]] = []
        self.failing = False

    def seed_all(self, seeds: Sequence[tuple[int, int, int]]) -> None:
        if self.failing:
            raise StoreUnavailableError("down")
        self.seeded += seeds


class _Cell:
    def __init__(self, highest_number: int) -> None:
        self.highest_number = highest_number


class _Losses:
    def __init__(self) -> None:
        self.compared = 0

    def compare(self) -> None:
        self.compared += 1


class _Stage:
    def __init__(self) -> None:
        self.board = FakeSwitchboard()
        self.bookings, self.jobs, self.losses = _Bookings(), _Jobs(), _Losses()
        self.cells: dict[int, _Cell] = {}
        parts: list[Any] = [self.board, self.cells, self.jobs, self.bookings, self.losses]
        self.seeding = Seeding(*parts)
        self.errors: dict[int, BookingError] = {}

    def seed(self, event_id: int, within_s: float = 10.0) -> None:
        self.seeding.seed(event_id, time.monotonic() + within_s)

    def start(self, event_id: int) -> threading.Thread:
        def work() -> None:
            try:
                self.seed(event_id)
            except BookingError as error:
                self.errors[event_id] = error

        thread = threading.Thread(target=work)
        thread.start()
        return thread


@pytest.fixture
def stage() -> _Stage:
    return _Stage()


def test_an_event_starts_above_what_was_decided(stage: _Stage) -> None:
    """Redis gets PostgreSQL's last number; where this process has seen a higher one, that."""
    stage.cells[5] = _Cell(77)

    stage.seed(4)
    stage.seed(5)

    assert stage.jobs.seeded == [(4, 40, 40), (5, 77, 50)]
    # Only for an event that had been seeded before.
    assert stage.losses.compared == 1


def test_a_crowd_at_many_fresh_events_asks_once_for_all_who_wait(stage: _Stage) -> None:
    """While the first one asks, the others gather; the next turn does it for all of them, an unknown one too."""
    asking, answer = threading.Event(), threading.Event()

    def answer_late() -> None:
        asking.set()
        assert answer.wait(10)

    stage.bookings.before_answering = answer_late
    threads = [stage.start(1)]
    assert asking.wait(10)
    others = [*range(2, 33), _UNKNOWN]
    threads += [stage.start(event_id) for event_id in others]
    deadline = time.monotonic() + 10
    while len(stage.seeding._waiting) < len(others):
        assert time.monotonic() < deadline
    answer.set()
    for thread in threads:
        thread.join(10)

    assert stage.bookings.asked == [[1], others]
    assert sorted(event_id for event_id, _, _ in stage.jobs.seeded) == list(range(1, 33))
    assert stage.errors.keys() == {_UNKNOWN}
    assert isinstance(stage.errors[_UNKNOWN], UnknownEventError)


@pytest.mark.parametrize("store", ["postgres", "redis"])
def test_a_store_that_is_away_is_told_and_kept_by_nobody(stage: _Stage, store: str) -> None:
    """The next one asks anew."""

    def fail() -> None:
        raise StoreUnavailableError("down")

    stage.jobs.failing = store == "redis"
    stage.bookings.before_answering = fail if store == "postgres" else lambda: None
    with pytest.raises(UnavailableError):
        stage.seed(4)
    stage.jobs.failing, stage.bookings.before_answering = False, lambda: None
    stage.board.redis.close()

    stage.seed(4)

    assert stage.jobs.seeded == [(4, 40, 40)]


def test_nobody_waits_for_redis_after_somebody_who_waited_in_vain(stage: _Stage) -> None:
    """Else those who wait for their turn would wait once for each of those before them."""
    stage.jobs.failing = True
    with pytest.raises(UnavailableError):
        stage.seed(4)
    stage.jobs.failing = False

    with pytest.raises(UnavailableError):
        stage.seed(5)

    assert stage.bookings.asked == [[4]]
    stage.board.redis.close()
    stage.seed(5)
    assert stage.jobs.seeded == [(5, 50, 50)]


def test_what_escapes_leaves_nobody_waiting(stage: _Stage) -> None:
    """Whatever it was: those who wait in the same turn are refused, and the turn goes on to the next."""

    def crash() -> None:
        raise KeyboardInterrupt

    stage.bookings.before_answering = crash
    with pytest.raises(KeyboardInterrupt):
        stage.seed(4)
    stage.bookings.before_answering = lambda: None

    stage.seed(4)

    assert stage.jobs.seeded == [(4, 40, 40)]


def test_whoever_has_no_time_left_seeds_for_nobody(stage: _Stage) -> None:
    """Its haste would fail the others; what it asked for, the next one asks, too."""
    with pytest.raises(UnavailableError):
        stage.seed(4, within_s=0.05)
    assert stage.bookings.asked == []

    stage.seed(5)

    assert stage.bookings.asked == [[4, 5]]
    assert stage.bookings.patience[0] > 5.0


def test_the_turn_is_not_waited_for_beyond_the_deadline(stage: _Stage) -> None:
    """Somebody else's hanging question costs no more than one's own time."""
    asking, answer = threading.Event(), threading.Event()

    def answer_late() -> None:
        asking.set()
        assert answer.wait(10)

    stage.bookings.before_answering = answer_late
    thread = stage.start(1)
    assert asking.wait(10)

    with pytest.raises(UnavailableError):
        stage.seed(2, within_s=0.2)

    answer.set()
    thread.join(10)
