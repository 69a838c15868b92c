"""The life of an event in this process, as a state machine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aurora_atlan.actors.cell import CellState, EventCell, RestartPolicy
from booking_fakes import EVENT_ID, Recorder, a_job


def _policy(**changes: Any) -> RestartPolicy:
    values: dict[str, Any] = {
        "crashes_max": 3,
        "window_s": 30.0,
        "backoff_min_s": 0.1,
        "backoff_max_s": 5.0,
        "quarantine_s": 30.0,
        "chance": lambda: 1.0,
    }
    return RestartPolicy(**(values | changes))


def _cell(**changes: Any) -> EventCell:
    return EventCell(EVENT_ID, _policy(**changes))


def _running(cell: EventCell, now: float = 0.0) -> tuple[int, Recorder]:
    generation, ref = cell.begin(), Recorder()
    assert cell.started(generation, ref, now)
    return generation, ref


def _crash(cell: EventCell, now: float) -> CellState | None:
    generation, _ = _running(cell, now)
    return cell.crashed(generation, now)


def test_an_event_begins_idle_and_may_start_at_once() -> None:
    """A new cell has no actor and nothing to wait for."""
    cell = _cell()

    assert (cell.state, cell.alive, cell.may_start(0.0)) == (CellState.IDLE, False, True)
    assert cell.accepted([a_job(1)]) is None


def test_a_started_actor_is_the_one_to_be_told() -> None:
    """From RUNNING on, an accepted job's actor is the incarnation that was started."""
    cell = _cell()

    _, ref = _running(cell)

    assert cell.state is CellState.RUNNING
    assert cell.accepted([a_job(1)]) is ref
    assert not cell.may_start(0.0)


def test_a_starting_actor_is_told_nothing() -> None:
    """A job accepted while the actor starts is found by it in the log."""
    cell = _cell()
    cell.begin()

    assert cell.accepted([a_job(1)]) is None
    assert cell.alive


def test_an_incarnation_that_died_while_it_started_is_not_the_running_one() -> None:
    """When the death comes before the start is noted, the start is void."""
    cell = _cell()
    generation = cell.begin()
    cell.crashed(generation, 0.0)

    assert not cell.started(generation, Recorder(), 0.0)
    assert (cell.state, cell.ref) == (CellState.BACKOFF, None)


def test_a_queue_that_went_back_has_lost_what_was_neither_decided_nor_kept() -> None:
    """Of eleven numbers seven are decided and nine are still there; the loss is told once."""
    cell = _cell()
    cell.accepted([a_job(11)])
    assert cell.unsettled
    cell.settled(7)

    assert cell.went_back(cell.highest_number, 12) == 0
    assert cell.went_back(cell.highest_number, 10) == 2
    assert cell.went_back(cell.highest_number, 10) == 0
    assert not cell.unsettled


def test_what_was_accepted_while_redis_was_asked_is_not_lost() -> None:
    """Redis answered before it gave those numbers."""
    cell = _cell()
    cell.accepted([a_job(3)])
    cell.settled(2)
    highest = cell.highest_number
    cell.accepted([a_job(6)])

    assert cell.went_back(highest, 4) == 0
    assert cell.unsettled
    assert cell.went_back(highest, 3) == 1
    # The later ones are still to be watched over.
    assert cell.unsettled


def test_an_emptied_queue_has_lost_all_that_was_undecided() -> None:
    """Number 0 is what an empty Redis would give."""
    cell = _cell()
    cell.seen(5)
    cell.settled(3)

    assert cell.went_back(cell.highest_number, 0) == 2
    assert cell.went_back(cell.highest_number, 0) == 0


def test_what_is_decided_cannot_be_lost() -> None:
    """Another process may have decided numbers that this one never saw."""
    cell = _cell()
    cell.seen(3)
    cell.settled(9)

    assert not cell.unsettled
    assert cell.went_back(cell.highest_number, 0) == 0


@pytest.mark.parametrize("say", ["crashed", "foreign", "stopped", "passivate", "committed"])
def test_what_a_replaced_incarnation_says_is_ignored(say: str) -> None:
    """An old generation cannot move the cell of the new one."""
    cell = _cell()
    old, _ = _running(cell)
    cell.crashed(old, 0.0)
    _, ref = _running(cell, 1.0)
    cell.ask_to_passivate()

    match say:
        case "crashed":
            assert cell.crashed(old, 2.0) is None
        case "foreign":
            cell.foreign(old, 9.0)
        case "stopped":
            cell.stopped(old)
        case "passivate":
            assert not cell.passivate(old, 0, idle=True)
        case "committed":
            cell.committed(old, 2.0)

    assert (cell.state, cell.ref, cell.last_progress) == (CellState.PASSIVATING, ref, 1.0)


def test_an_idle_actor_that_has_handled_everything_is_passivated() -> None:
    """Passivation goes through when the actor is idle and has seen every job it was told."""
    cell = _cell()
    generation, ref = _running(cell)
    cell.accepted([a_job(1)])

    assert cell.ask_to_passivate() is ref
    assert cell.passivate(generation, 1, idle=True)
    assert (cell.state, cell.ref) == (CellState.IDLE, None)
    assert cell.may_start(0.0)


@pytest.mark.parametrize(("handled", "idle"), [(1, True), (2, False)])
def test_an_actor_with_work_is_not_passivated(handled: int, *, idle: bool) -> None:
    """A job told but not yet seen, or work in memory, sends the cell back to RUNNING."""
    cell = _cell()
    generation, ref = _running(cell)
    cell.accepted([a_job(1)])
    cell.ask_to_passivate()
    assert cell.accepted([a_job(2)]) is ref

    assert not cell.passivate(generation, handled, idle=idle)
    assert (cell.state, cell.ref) == (CellState.RUNNING, ref)


def test_an_actor_with_a_batch_in_flight_is_not_woken_for_more() -> None:
    """What is accepted meanwhile is kept for it, in its order, and collected once."""
    cell = _cell()
    generation, ref = _running(cell)
    cell.launched(generation, 1, 0.0)
    groups = [[a_job(2), a_job(3)], [a_job(4)]]

    assert [cell.accepted(group) for group in groups] == [None, None]
    assert cell.highest_number == 4
    cell.landed(generation)

    assert cell.accepted([a_job(5)]) is ref
    assert list(cell.collect(generation)) == groups
    assert list(cell.collect(generation)) == []


def test_an_actor_to_come_collects_all_that_waits() -> None:
    """What came when nothing waited, and what came after it, before the actor was there and while it started."""
    cell = _cell()
    groups = [[a_job(3)], [a_job(4), a_job(5)], [a_job(6)]]
    cell.accepted(groups[0], at_head=True)
    cell.accepted(groups[1])
    generation = cell.begin()
    cell.accepted(groups[2])
    cell.started(generation, Recorder(), 0.0)

    assert list(cell.collect(generation)) == groups
    cell.ask_to_passivate()
    # It has to handle each of them.
    assert not cell.passivate(generation, 2, idle=True)
    cell.ask_to_passivate()
    assert cell.passivate(generation, 3, idle=True)


def test_an_actor_to_come_collects_nothing_when_more_waits() -> None:
    """Before what was told, or more than is kept: then it reads the log."""
    behind, crowded, back = _cell(), _cell(), _cell()
    behind.accepted([a_job(3)])
    behind.accepted([a_job(4)])
    for number in range(1, 101):
        crowded.accepted([a_job(number)], at_head=number == 1)
    # Redis has gone back, and gave a number once more.
    back.seen(7)
    back.accepted([a_job(7)], at_head=True)

    for cell in (behind, crowded, back):
        generation, _ = _running(cell)
        assert list(cell.collect(generation)) == []


@pytest.mark.parametrize("end", ["crashed", "foreign", "passivated"])
def test_what_an_actor_did_not_collect_is_not_its_successors(end: str) -> None:
    """Nor is anything kept while an event waits after a crash, or for its other owner."""
    cell = _cell()
    cell.accepted([a_job(1)], at_head=True)
    generation, _ = _running(cell)
    if end == "crashed":
        cell.crashed(generation, 0.0)
    elif end == "foreign":
        cell.foreign(generation, 0.0)
    else:
        cell.collect(generation)
        cell.ask_to_passivate()
        assert cell.passivate(generation, 1, idle=True)
    if end != "passivated":
        cell.accepted([a_job(2)], at_head=True)

    generation, _ = _running(cell)
    assert list(cell.collect(generation)) == []


@pytest.mark.parametrize("end", ["crashed", "passivated"])
def test_an_actor_that_is_gone_launches_and_collects_nothing(end: str) -> None:
    """One that was given up while it hung may come to itself before the next one begins, which must not miss a job."""
    cell = _cell()
    old, _ = _running(cell)
    if end == "crashed":
        cell.crashed(old, 0.0)
    else:
        cell.ask_to_passivate()
        assert cell.passivate(old, 0, idle=True)
        cell.accepted([a_job(1)], at_head=True)
    cell.launched(old, 1, 0.0)
    assert list(cell.collect(old)) == []
    cell.accepted([a_job(2)])

    generation, ref = _running(cell, 9.0)

    assert cell.accepted([a_job(3)]) is ref
    assert [job.queue_number for group in cell.collect(generation) for job in group] == (
        [] if end == "crashed" else [1, 2]
    )


def test_not_too_much_is_kept_for_an_actor() -> None:
    """A batch may be in flight for as long as PostgreSQL is away; then the actor is told, and reads the log later."""
    cell = _cell()
    generation, ref = _running(cell)
    cell.launched(generation, 1, 0.0)

    woken = [cell.accepted([a_job(number)]) for number in range(2, 102)]

    assert woken.count(ref) == len(woken) - len(cell.collect(generation)) > 0


def test_what_was_kept_keeps_an_actor_from_passivating() -> None:
    """It counts as told."""
    cell = _cell()
    generation, _ = _running(cell)
    cell.launched(generation, 1, 0.0)
    cell.accepted([a_job(2)])
    cell.landed(generation)
    cell.ask_to_passivate()

    assert not cell.passivate(generation, 0, idle=True)


def test_a_replaced_incarnation_collects_nothing() -> None:
    """Nor does its batch keep the new one from being told."""
    cell = _cell()
    old, _ = _running(cell)
    cell.launched(old, 1, 0.0)
    cell.accepted([a_job(2)])
    cell.crashed(old, 0.0)
    generation, ref = _running(cell, 9.0)
    # What was kept for the old one is in the log.
    assert list(cell.collect(generation)) == []
    cell.launched(old, 2, 9.0)

    assert cell.accepted([a_job(3)]) is ref
    cell.launched(generation, 3, 9.0)
    cell.landed(old)
    assert cell.accepted([a_job(4)]) is None
    assert list(cell.collect(old)) == []
    assert list(cell.collect(generation)) == [[a_job(4)]]


def test_only_a_running_actor_is_asked_to_passivate() -> None:
    """Nobody is asked twice, nor while there is no actor."""
    cell = _cell()

    assert cell.ask_to_passivate() is None
    _running(cell)
    assert cell.ask_to_passivate() is not None
    assert cell.ask_to_passivate() is None


def test_a_new_incarnation_has_its_own_count_of_jobs() -> None:
    """What the last incarnation was told does not keep the next one from passivating."""
    cell = _cell()
    generation, _ = _running(cell)
    cell.accepted([a_job(1)])
    cell.crashed(generation, 0.0)
    generation, _ = _running(cell, 9.0)
    cell.ask_to_passivate()

    assert cell.passivate(generation, 0, idle=True)


def test_the_pause_after_a_crash_doubles_up_to_its_limit() -> None:
    """Crash by crash the actor waits longer, never longer than the longest pause."""
    policy = _policy()

    assert [policy.backoff_s(crashes) for crashes in range(1, 9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_jitter_takes_away_at_most_half_of_a_pause() -> None:
    """With the smallest chance the pause is half as long."""
    assert _policy(chance=lambda: 0.0).backoff_s(2) == pytest.approx(0.1)


def test_a_crashed_actor_starts_again_after_its_pause() -> None:
    """BACKOFF ends when its time has come, and not before."""
    cell = _cell()

    assert _crash(cell, 10.0) is CellState.BACKOFF
    assert not cell.may_start(10.09)
    assert cell.retry_after_s(10.0) == pytest.approx(0.1)
    assert cell.may_start(10.11)


def test_one_crash_is_counted_once() -> None:
    """A death that is found in two ways counts as one."""
    cell = _cell()
    generation, _ = _running(cell)

    assert cell.crashed(generation, 1.0) is CellState.BACKOFF
    assert cell.crashed(generation, 1.0) is None


def test_more_crashes_than_allowed_quarantine_the_event() -> None:
    """The crash beyond the budget leads to QUARANTINED, with its own longer pause."""
    cell = _cell(crashes_max=3)

    states = [_crash(cell, float(now)) for now in range(4)]

    assert states == [CellState.BACKOFF] * 3 + [CellState.QUARANTINED]
    assert not cell.may_start(32.9)
    assert cell.may_start(33.0)


def test_crashes_long_ago_do_not_count() -> None:
    """Only crashes within the window use up the budget."""
    cell = _cell(crashes_max=3, window_s=30.0)

    states = [_crash(cell, now) for now in (0.0, 1.0, 2.0, 33.0, 34.0, 35.0)]

    assert states == [CellState.BACKOFF] * 6


def test_a_committed_batch_clears_the_crashes_before_it() -> None:
    """An event that makes progress between its crashes is never quarantined."""
    cell = _cell(crashes_max=1)

    for now in range(10):
        generation, _ = _running(cell, float(now))
        cell.committed(generation, float(now))
        assert cell.crashed(generation, float(now)) is CellState.BACKOFF


def test_a_quarantined_event_that_crashes_again_at_its_trial_stays_quarantined() -> None:
    """The trial after a quarantine is one try: a crash in it without a commit leads straight back."""
    cell = _cell(crashes_max=3, window_s=30.0, quarantine_s=30.0)
    for now in range(4):
        _crash(cell, float(now))
    assert cell.state is CellState.QUARANTINED

    assert _crash(cell, 34.0) is CellState.QUARANTINED


def test_a_quarantined_event_that_commits_at_its_trial_is_free_again() -> None:
    """One committed batch ends a quarantine; the next crash is the first."""
    cell = _cell(crashes_max=3)
    for now in range(4):
        _crash(cell, float(now))
    generation, _ = _running(cell, 40.0)
    cell.committed(generation, 40.0)

    assert cell.state is CellState.RUNNING
    assert cell.crashed(generation, 40.0) is CellState.BACKOFF


def test_a_pardon_lets_a_quarantined_event_start_at_once() -> None:
    """An operator's resume forgets the crashes and their pause."""
    cell = _cell(crashes_max=0)
    assert _crash(cell, 0.0) is CellState.QUARANTINED

    cell.pardon()

    assert cell.state is CellState.IDLE
    assert cell.may_start(0.0)


@pytest.mark.parametrize("state", [CellState.RUNNING, CellState.FOREIGN])
def test_a_pardon_leaves_other_events_alone(state: CellState) -> None:
    """A running event goes on, and a foreign one stays with its owner."""
    cell = _cell()
    generation, _ = _running(cell)
    if state is CellState.FOREIGN:
        cell.foreign(generation, 9.0)

    cell.pardon()

    assert cell.state is state


def test_a_foreign_event_waits_until_the_lease_ends() -> None:
    """FOREIGN has no actor, is told nothing, and starts when the other owner's lease is over."""
    cell = _cell()
    generation, _ = _running(cell)

    cell.foreign(generation, 12.0)

    assert (cell.state, cell.ref, cell.accepted([a_job(5)])) == (CellState.FOREIGN, None, None)
    assert not cell.may_start(11.9)
    assert cell.may_start(12.0)


def test_the_highest_number_outlives_the_actors() -> None:
    """Whatever was accepted or read raises it; nothing lowers it."""
    cell = _cell()
    cell.accepted([a_job(5)])
    cell.seen(9)
    cell.accepted([a_job(7)])
    generation, _ = _running(cell)
    cell.crashed(generation, 0.0)

    assert cell.highest_number == 9


class _Life(RuleBasedStateMachine):
    """Everybody talks to the cell in any order; a job that was told must have been handled before it is idle."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = _cell()
        self.now = 0.0
        self.number = 0
        self.generation = 0
        # Jobs the living incarnation was told and has not handled yet.
        self.mailbox = 0
        self.handled = 0

    @rule(s=st.floats(0.0, 40.0))
    def time_passes(self, s: float) -> None:
        self.now += s

    @rule()
    def a_job_is_accepted(self) -> None:
        self.number += 1
        if self.cell.accepted([a_job(self.number)]) is not None:
            self.mailbox += 1

    @precondition(lambda self: self.cell.may_start(self.now))
    @rule()
    def an_actor_begins(self) -> None:
        generation = self.cell.begin()
        assert generation == self.generation + 1
        self.generation, self.mailbox, self.handled = generation, 0, 0

    @rule()
    def the_actor_has_started(self) -> None:
        started = self.cell.state is CellState.STARTING
        assert self.cell.started(self.generation, Recorder(), self.now) == started

    @precondition(lambda self: self.mailbox > 0 and self.cell.ref is not None)
    @rule()
    def the_actor_handles_a_job(self) -> None:
        self.mailbox -= 1
        self.handled += 1

    @rule()
    def passivation_is_asked_for(self) -> None:
        self.cell.ask_to_passivate()

    @rule(idle=st.booleans())
    def the_actor_offers_to_passivate(self, *, idle: bool) -> None:
        asked = self.cell.state is CellState.PASSIVATING
        passive = self.cell.passivate(self.generation, self.handled, idle=idle)
        assert passive == (asked and idle and self.mailbox == 0)

    @rule(back=st.integers(0, 2))
    def an_incarnation_crashes(self, back: int) -> None:
        state = self.cell.crashed(self.generation - back, self.now)
        assert back == 0 or state is None

    @rule(back=st.integers(0, 2))
    def an_incarnation_commits(self, back: int) -> None:
        self.cell.committed(self.generation - back, self.now)

    @rule(lease_s=st.floats(0.0, 10.0))
    def the_event_is_foreign(self, lease_s: float) -> None:
        if self.cell.alive:
            self.cell.foreign(self.generation, self.now + lease_s)

    @rule()
    def an_operator_pardons(self) -> None:
        self.cell.pardon()

    @invariant()
    def an_actor_is_known_exactly_while_it_runs(self) -> None:
        running = self.cell.state in (CellState.RUNNING, CellState.PASSIVATING)
        assert (self.cell.ref is not None) == running

    @invariant()
    def no_event_waits_for_ever(self) -> None:
        assert self.cell.alive or self.cell.may_start(self.now + self.cell.retry_after_s(self.now) + 1e-6)
        assert self.cell.retry_after_s(self.now) <= 30.0

    @invariant()
    def the_highest_number_is_the_last_accepted(self) -> None:
        assert self.cell.highest_number == self.number


TestLife = _Life.TestCase
