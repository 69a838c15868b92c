"""The gathering pattern."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pykka
import pytest

from aurora_atlan.actors.gathering import Gatherer
from aurora_atlan.actors.messages import Flush
from aurora_atlan.actors.supervised import SupervisedActor
from booking_fakes import pump
from harness_sales import wait_until


@dataclass(frozen=True)
class _Wish:
    number: int


class _Wishes(Gatherer[_Wish]):
    gathers = _Wish

    def __init__(self) -> None:
        super().__init__()
        self.trips: list[list[int]] = []
        # Arrives while the first round trip is under way.
        self.late: list[_Wish] = []

    def round_trip(self, gathered: Sequence[_Wish]) -> None:
        self.trips.append([wish.number for wish in gathered])
        late, self.late = self.late, []
        for wish in late:
            self.actor_ref.tell(wish)


@pytest.fixture
def wishes() -> _Wishes:
    return _Wishes()


def _tell(actor: _Wishes, *numbers: int) -> None:
    for number in numbers:
        actor.actor_ref.tell(_Wish(number))


def test_what_has_arrived_makes_one_round_trip_in_order(wishes: _Wishes) -> None:
    """All that waits goes together, in the order in which it came."""
    _tell(wishes, 1, 2, 3)

    pump(wishes)

    assert wishes.trips == [[1, 2, 3]]


def test_what_arrives_during_a_round_trip_makes_the_next(wishes: _Wishes) -> None:
    """The second trip takes all that came while the first was under way."""
    wishes.late = [_Wish(3), _Wish(4)]
    _tell(wishes, 1, 2)

    pump(wishes)

    assert wishes.trips == [[1, 2], [3, 4]]


def test_a_single_message_does_not_wait_for_company(wishes: _Wishes) -> None:
    """One is enough for a round trip."""
    _tell(wishes, 1)
    pump(wishes)
    _tell(wishes, 2)
    pump(wishes)

    assert wishes.trips == [[1], [2]]


def test_many_messages_are_one_flush(wishes: _Wishes) -> None:
    """However many are gathered, the actor tells itself to flush once."""
    for number in range(50):
        wishes.on_receive(_Wish(number))

    assert wishes.actor_inbox.qsize() == 1


def test_a_bare_flush_is_a_round_trip_with_nothing_new(wishes: _Wishes) -> None:
    """Whoever rings gets a round trip, for what was left over from the last."""
    wishes.actor_ref.tell(Flush())

    pump(wishes)

    assert wishes.trips == [[]]


def test_a_failed_round_trip_does_not_keep_its_messages(wishes: _Wishes) -> None:
    """What was gathered for a trip that raised is gone: its askers are told otherwise."""
    wishes.round_trip = lambda gathered: 1 / 0  # type: ignore[method-assign, assignment]
    wishes.on_receive(_Wish(1))

    with pytest.raises(ZeroDivisionError):
        wishes.on_receive(wishes.actor_inbox.get().message)

    assert wishes.waiting == []


def test_somebody_elses_flush_divides_nothing(wishes: _Wishes) -> None:
    """However often others ring, what waits makes one round trip, and so it does ever after."""
    for number in range(3):
        _tell(wishes, number)
        wishes.actor_ref.tell(Flush())
    wishes.late = [_Wish(number) for number in range(3, 6)]

    pump(wishes)

    assert wishes.trips == [[0, 1, 2], [3, 4, 5]]


def test_an_unknown_message_is_logged_and_ignored(wishes: _Wishes, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody can bring the actor down with a message it does not know."""
    with caplog.at_level(logging.WARNING):
        wishes.on_receive("what?")

    assert "unknown message of type str" in caplog.text
    assert wishes.trips == []


class _Leaving(SupervisedActor):
    def leave(self) -> None:
        raise SystemExit("as the test wants")

    def handle(self, message: object) -> None:
        """Do nothing."""


class _Host(pykka.ThreadingActor):
    def on_receive(self, message: object) -> object:
        return message


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_actor_that_exits_while_it_stops_takes_nobody_along() -> None:
    """Pykka takes a SystemExit as the end of every actor of the process; the host's must live on."""
    host = _Host.start()
    try:
        ours = _Leaving.start_hidden()
        leaving = ours._actor_weakref()
        ours.stop()
        wait_until(lambda: leaving is None or leaving.ended, 5.0, "it has ended")
        assert host.ask("are you there?", timeout=5.0) == "are you there?"
    finally:
        host.stop()
