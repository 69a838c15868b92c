"""Messages to be told later, on a clock that stands still."""

from __future__ import annotations

import pykka
import pytest

from aurora_atlan.actors.scheduler import Scheduler
from booking_fakes import Recorder


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def scheduler(clock: _Clock) -> Scheduler:
    return Scheduler(clock)


def test_nothing_waits_at_first(scheduler: Scheduler) -> None:
    """Without messages there is nothing to wait for."""
    assert scheduler.tell_due() is None


def test_a_message_is_told_when_its_time_has_come_and_once(scheduler: Scheduler, clock: _Clock) -> None:
    """Before its time it waits, and the seconds until then are returned."""
    ref = Recorder()
    scheduler.after(2.0, ref, "later")

    assert scheduler.tell_due() == pytest.approx(2.0)
    clock.now += 1.5
    assert scheduler.tell_due() == pytest.approx(0.5)
    assert ref.told == []
    clock.now += 0.5
    assert scheduler.tell_due() is None
    assert scheduler.tell_due() is None
    assert ref.told == ["later"]


def test_messages_are_told_in_the_order_of_their_times(scheduler: Scheduler, clock: _Clock) -> None:
    """Whoever is due earlier is told earlier; of two at the same time, the one scheduled first."""
    ref = Recorder()
    for delay_s, message in [(3.0, "c"), (1.0, "a"), (3.0, "d"), (2.0, "b"), (9.0, "e")]:
        scheduler.after(delay_s, ref, message)

    clock.now += 3.0

    assert scheduler.tell_due() == pytest.approx(6.0)
    assert ref.told == ["a", "b", "c", "d"]


def test_messages_that_cannot_be_compared_may_be_due_together(scheduler: Scheduler, clock: _Clock) -> None:
    """Neither actors nor messages need an order."""
    ref = Recorder()
    scheduler.after(0.0, ref, object())
    scheduler.after(0.0, Recorder(), {})

    assert scheduler.tell_due() is None
    assert len(ref.told) == 1


def test_a_dead_actor_does_not_keep_the_others_from_being_told(scheduler: Scheduler) -> None:
    """A message for somebody who is gone is dropped."""

    class Gone:
        def tell(self, message: object) -> None:
            raise pykka.ActorDeadError("gone")

    ref = Recorder()
    scheduler.after(0.0, Gone(), "lost")
    scheduler.after(0.0, ref, "told")

    assert scheduler.tell_due() is None
    assert ref.told == ["told"]


def test_scheduling_wakes_whoever_sleeps_until_the_next(scheduler: Scheduler) -> None:
    """The watching thread must learn that something earlier is due."""
    assert not scheduler.wake.is_set()

    scheduler.after(1.0, Recorder(), "later")

    assert scheduler.wake.is_set()
