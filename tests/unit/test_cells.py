"""The directory of events and who of them gets an actor."""

from __future__ import annotations

import pykka
import pytest

from aurora_atlan.actors.cell import CellState, EventCell, RestartPolicy
from aurora_atlan.actors.cells import Cells
from aurora_atlan.actors.messages import JobsAccepted
from booking_fakes import Recorder, a_job


class _Rings:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


class _DeadRef:
    def tell(self, message: object) -> None:
        raise pykka.ActorDeadError("it is dead")


@pytest.fixture
def rings() -> _Rings:
    return _Rings()


@pytest.fixture
def cells(rings: _Rings) -> Cells:
    return Cells(RestartPolicy(5, 30.0, 0.1, 5.0, 30.0, lambda: 1.0), rings)


def _running(cells: Cells, event_id: int) -> tuple[EventCell, Recorder]:
    cell, ref = cells.get_or_make(event_id), Recorder()
    cell.started(cell.begin(), ref, 0.0)
    return cell, ref


def test_asking_for_an_event_makes_no_cell(cells: Cells) -> None:
    """Only an accepted job makes a cell."""
    assert cells.get(7) is None
    assert cells.count() == 0


def test_an_event_has_one_cell(cells: Cells) -> None:
    """The same id gives the same cell."""
    assert cells.get_or_make(7) is cells.get_or_make(7) is cells.get(7)


def test_a_running_actor_is_told_of_an_accepted_job(cells: Cells, rings: _Rings) -> None:
    """With an actor at hand nobody is rung."""
    _, ref = _running(cells, 7)
    job = a_job(3)

    cells.announce([job], at_head=False)

    assert ref.told == [JobsAccepted([job])]
    assert (rings.count, cells.wanting()) == (0, 0)


def test_a_job_without_an_actor_asks_for_one(cells: Cells, rings: _Rings) -> None:
    """The first job of an event rings the supervisor."""
    cells.announce([a_job(3)], at_head=False)

    assert (rings.count, cells.wanting()) == (1, 1)
    assert cells.startable(5) == [cells.get(7)]
    assert cells.wanting() == 0


def test_a_job_for_a_dead_actor_asks_for_a_new_one(cells: Cells) -> None:
    """An actor whose death nobody has noticed yet does not swallow the job."""
    cell = cells.get_or_make(7)
    generation = cell.begin()
    cell.started(generation, _DeadRef(), 0.0)

    cells.announce([a_job(3)], at_head=False)
    cell.crashed(generation, -100.0)

    assert cells.startable(5) == [cell]


def test_an_event_that_waits_already_rings_nobody_again(cells: Cells, rings: _Rings) -> None:
    """A hundred jobs of an event that waits for its actor wake the supervisor once."""
    for number in range(1, 101):
        cells.announce([a_job(number)], at_head=False)

    assert rings.count == 1


def test_those_who_waited_longest_start_first_as_far_as_there_is_room(cells: Cells) -> None:
    """Places are given in the order in which they were asked for; the rest goes on waiting."""
    for event_id in (9, 7, 8):
        cells.announce([a_job(1)._replace(event_id=event_id)], at_head=False)

    assert [cell.event_id for cell in cells.startable(2)] == [9, 7]
    assert cells.startable(0) == []
    assert cells.startable(-3) == []
    assert [cell.event_id for cell in cells.startable(2)] == [8]


def test_an_event_in_backoff_waits_and_keeps_nobody_else_waiting(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event whose time has not come keeps its place in the line without blocking it."""
    monkeypatch.setattr("aurora_atlan.actors.cells.time.monotonic", lambda: 1000.0)
    crashed = cells.get_or_make(7)
    crashed.crashed(crashed.begin(), 1000.0)
    cells.want(crashed)
    cells.want(cells.get_or_make(8))

    assert [cell.event_id for cell in cells.startable(5)] == [8]
    monkeypatch.setattr("aurora_atlan.actors.cells.time.monotonic", lambda: 1000.2)
    assert [cell.event_id for cell in cells.startable(5)] == [7]


def test_an_event_that_has_an_actor_wants_none(cells: Cells) -> None:
    """One that was wanted and has been started meanwhile is not started twice."""
    cell = cells.get_or_make(7)
    cells.want(cell)
    _running(cells, 7)

    assert cells.startable(5) == []
    assert cells.wanting() == 0


def test_alive_are_the_events_with_an_actor(cells: Cells) -> None:
    """Idle events are known, but not alive."""
    cell, _ = _running(cells, 7)
    cells.get_or_make(8)

    assert cells.alive() == [cell]
    assert [known.event_id for known in cells.every()] == [7, 8]
    cell.stopped(cell.generation)
    assert cell.state is CellState.IDLE
    assert cells.alive() == []
