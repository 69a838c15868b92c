"""The booking actor, not started: each message is handled by the test, on a log in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.cell import CellState, EventCell, RestartPolicy
from aurora_atlan.actors.messages import (
    Batch,
    BatchDecided,
    BatchFailed,
    BatchFenced,
    BatchForeign,
    BatchPaused,
    CommitterReplaced,
    Drain,
    Flush,
    JobsAccepted,
    Passivate,
    ReleaseLease,
    Rescan,
)
from aurora_atlan.persistence.records import Job
from booking_fakes import EVENT_ID, FakeLog, FakeSwitchboard, a_job, numbers, pump

_BATCH_MAX = 8


class _Stage:
    """One actor, its cell, its log, and a committer that answers when the test says so."""

    def __init__(self, log: FakeLog | None = None, batch_max: int = _BATCH_MAX, cell: EventCell | None = None) -> None:
        self.board = FakeSwitchboard()
        self.log = log or FakeLog()
        self.cell = cell or EventCell(EVENT_ID, RestartPolicy(5, 30.0, 0.1, 5.0, 30.0, lambda: 1.0))
        self.generation = self.cell.begin()
        self.deaths: list[Any] = []
        self.actor = BookingActor(
            self.cell,
            self.generation,
            self.board,  # type: ignore[arg-type]
            self.log,  # type: ignore[arg-type]
            batch_max,
            lambda *death: self.deaths.append(death),
        )
        self.cell.started(self.generation, self.actor.actor_ref, time.monotonic())
        # pykka's message by which the actor asks itself to stop.
        self.stopping = False

    def say(self, *messages: Any) -> None:
        """Let the actor handle these, and whatever it tells itself because of them."""
        for message in messages:
            self.actor.on_receive(message)
        self.pump()

    def pump(self) -> None:
        self.stopping = bool(pump(self.actor)) or self.stopping

    def accept(self, count: int = 1, *, told: bool = True, **changes: Any) -> list[Job]:
        """Append jobs to the log and, unless asked otherwise, tell the actor of them together."""
        jobs = [self.log.accept(**changes) for _ in range(count)]
        for job in jobs:
            if not told:
                self.cell.seen(job.queue_number)
            elif self.cell.accepted([job]) is not None:
                self.actor.on_receive(JobsAccepted([job]))
        self.pump()
        return jobs

    @property
    def batches(self) -> list[Batch]:
        return self.board.batches

    @property
    def handed_in(self) -> list[list[int]]:
        return [numbers(batch.jobs) for batch in self.batches]

    def decide(self, epoch: int = 1) -> Batch:
        """Answer the last batch, as the committer does when it is committed and finished."""
        batch = self.batches[-1]
        self.log.remove(batch.jobs)
        self.say(BatchDecided(batch.batch_id, epoch, batch.jobs[-1].queue_number))
        return batch

    def fail(self) -> None:
        self.say(BatchFailed(self.batches[-1].batch_id, "refused"))


@pytest.fixture
def stage() -> _Stage:
    """An actor that has read an empty log."""
    stage = _Stage()
    stage.say(Rescan())
    return stage


def _started_over(jobs: Sequence[Job], batch_max: int = _BATCH_MAX) -> _Stage:
    stage = _Stage(FakeLog(jobs), batch_max)
    stage.say(Rescan())
    return stage


# Reading and taking.


def test_a_new_incarnation_decides_what_waits_in_the_log() -> None:
    """At its start it reads the stream from the beginning and hands in what is there, in order."""
    stage = _started_over([a_job(3), a_job(4), a_job(9)])

    assert stage.handed_in == [[3, 4, 9]]
    assert stage.batches[0].epoch is None
    assert stage.cell.highest_number == 9


def test_a_new_incarnation_that_was_left_all_that_waits_reads_nothing() -> None:
    """It takes what was accepted when nothing waited, and goes on from there."""
    stage = _Stage()
    stage.cell.passivate(stage.generation, 0, idle=bool(stage.cell.ask_to_passivate()))
    waiting = [stage.log.accept() for _ in range(2)]
    stage.cell.accepted(waiting, at_head=True)
    successor = _Stage(stage.log, cell=stage.cell)

    successor.say(Flush())

    assert successor.handed_in == [[1, 2]]
    assert successor.log.reads == []
    successor.decide()
    successor.accept()
    assert successor.handed_in == [[1, 2], [3]]
    assert successor.log.reads == []


def test_a_new_incarnation_that_was_left_nothing_reads_what_waits() -> None:
    """Also when it is told of a job before it has read."""
    stage = _Stage(FakeLog([a_job(3), a_job(4)]))

    stage.accept()
    stage.say(Flush())

    assert stage.handed_in == [[3, 4, 5]]


def test_the_next_job_is_taken_straight_from_its_message(stage: _Stage) -> None:
    """A job whose number is the expected one needs no reading."""
    reads = len(stage.log.reads)

    stage.accept()

    assert stage.handed_in == [[1]]
    assert len(stage.log.reads) == reads


def test_jobs_that_have_arrived_go_in_one_batch(stage: _Stage) -> None:
    """What came before the flush is handed in together."""
    stage.accept(3)

    assert stage.handed_in == [[1, 2, 3]]


def test_one_batch_is_in_flight_at_a_time(stage: _Stage) -> None:
    """What arrives meanwhile waits, and goes when the answer is there."""
    stage.accept(1)
    stage.accept(2)
    assert stage.handed_in == [[1]]

    stage.decide()

    assert stage.handed_in == [[1], [2, 3]]
    assert stage.batches[0].batch_id != stage.batches[1].batch_id


def test_the_epoch_of_the_first_batch_is_used_for_those_that_follow(stage: _Stage) -> None:
    """The first batch takes the event over; the next ones name the epoch that it got."""
    stage.accept()
    stage.decide(epoch=7)
    stage.accept()

    assert [batch.epoch for batch in stage.batches] == [None, 7]


def test_a_gap_makes_it_read_the_log(stage: _Stage) -> None:
    """A job accepted by another process shows as a gap; the log gives it its place."""
    stage.accept(1)
    stage.decide()
    stage.accept(2, told=False)

    stage.accept(1)

    assert stage.handed_in == [[1], [2, 3, 4]]


def test_numbers_that_were_never_used_do_not_hold_it_up(stage: _Stage) -> None:
    """A gap in the log itself, as withdrawals leave, is passed over."""
    stage.log.next_number = 20

    stage.accept(2)

    assert stage.handed_in == [[20, 21]]


def test_a_message_that_was_overtaken_by_a_reading_is_not_taken_twice(stage: _Stage) -> None:
    """A job that was read before its message came is decided once."""
    first, second, third = [stage.log.accept() for _ in range(3)]
    stage.say(JobsAccepted([third]))
    stage.say(JobsAccepted([first]), JobsAccepted([second]))
    stage.decide()

    assert stage.handed_in == [[1, 2, 3]]


def test_jobs_accepted_while_a_batch_is_in_flight_are_its_next_batch(stage: _Stage) -> None:
    """Nobody wakes the actor for them; it collects them with its answer, and reads no log."""
    stage.accept()
    reads = list(stage.log.reads)
    later = [stage.log.accept() for _ in range(3)]
    assert [stage.cell.accepted([job]) for job in later] == [None] * 3

    stage.decide()

    assert stage.handed_in == [[1], [2, 3, 4]]
    assert stage.log.reads == reads


def test_a_job_announced_after_it_was_handed_in_makes_nobody_read(stage: _Stage) -> None:
    """The actor had read it from the log before the journal came to announce it."""
    job = stage.log.accept()
    stage.say(Rescan())
    assert stage.handed_in == [[1]]
    assert stage.cell.accepted([job]) is None
    reads = list(stage.log.reads)

    stage.decide()
    stage.accept()

    assert stage.handed_in == [[1], [2]]
    assert stage.log.reads == reads


@pytest.mark.parametrize("news", ["rescan", "fenced"])
def test_jobs_kept_for_an_actor_survive_a_queue_that_lost_them(stage: _Stage, news: str) -> None:
    """They are as good as in its memory: what was accepted is decided."""
    stage.accept()
    later = [stage.log.accept() for _ in range(3)]
    assert [stage.cell.accepted([job]) for job in later] == [None] * 3
    stage.log.jobs.clear()

    stage.say(Rescan() if news == "rescan" else BatchFenced(stage.batches[-1].batch_id))
    stage.decide()
    if news == "fenced":
        stage.decide()

    assert [job for batch in stage.batches for job in batch.jobs][-3:] == later


def test_a_job_kept_while_the_batch_is_landing_is_handed_in_at_once(
    stage: _Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came after the actor had collected, and before it was told of jobs again: nobody would wake it for it."""
    stage.accept()
    late = stage.log.accept()
    landed = stage.cell.landed

    def land_late(generation: int) -> None:
        assert stage.cell.accepted([late]) is None
        landed(generation)

    monkeypatch.setattr(stage.cell, "landed", land_late)
    stage.decide()

    assert stage.handed_in == [[1], [2]]


def test_jobs_kept_are_taken_after_those_that_were_told_before(stage: _Stage) -> None:
    """A message that waited in the inbox is older than what was kept since."""
    first, second, third = (stage.log.accept() for _ in range(3))
    assert stage.cell.accepted([first]) is stage.cell.accepted([second])
    stage.actor.on_receive(JobsAccepted([first]))
    # The flush, which hands in the first one, overtakes what stands behind it in the inbox.
    stage.pump()
    assert stage.cell.accepted([third]) is None
    reads = list(stage.log.reads)

    stage.say(JobsAccepted([second]))
    stage.decide()

    assert stage.handed_in == [[1], [2, 3]]
    assert stage.log.reads == reads


def test_news_of_a_job_that_was_decided_meanwhile_changes_nothing(stage: _Stage) -> None:
    """An old message makes it look at the log, where the job is no longer."""
    [job] = stage.accept()
    stage.decide()

    stage.say(JobsAccepted([job]))

    assert stage.handed_in == [[1]]
    stage.accept()
    assert stage.handed_in == [[1], [2]]


def test_a_number_given_twice_means_that_redis_went_back(stage: _Stage) -> None:
    """What is in memory is decided first, for it was accepted earlier; then what the log holds, from its start."""
    stage.accept(2)
    stage.accept(2)
    stage.log.jobs.clear()
    stage.log.next_number = 1
    again = a_job(1, user_id=50, job_id=a_job(1001).job_id)
    stage.log.jobs[1] = again

    stage.say(JobsAccepted([again]))
    stage.decide()
    stage.decide()

    held = [job.job_id for batch in stage.batches for job in batch.jobs]
    assert held == [a_job(number).job_id for number in (1, 2, 3, 4)] + [again.job_id]


def test_a_rescan_finds_what_another_process_accepted_after_redis_went_back(stage: _Stage) -> None:
    """The sweep's message makes it read the log from its start, whatever numbers it has read before."""
    stage.accept(5)
    stage.decide()
    stage.log.next_number = 1
    stage.log.accept(job_id=a_job(1001).job_id)

    stage.say(Rescan())

    assert stage.handed_in == [[1, 2, 3, 4, 5], [1]]
    assert stage.batches[-1].jobs[0].job_id == a_job(1001).job_id


def test_numbers_go_on_above_all_that_this_process_has_seen(stage: _Stage) -> None:
    """Reading the log raises the next number over the highest one seen, also if Redis forgot it."""
    stage.accept(5)
    stage.decide()
    stage.log.next_number = 1

    stage.say(Rescan())

    assert stage.log.next_number == 6


def test_it_holds_at_most_two_batches_and_reads_on_when_it_falls_below_one() -> None:
    """However much is in the log, memory holds two batches of it, and nothing is left out."""
    stage = _started_over([a_job(number) for number in range(1, 61)])

    held = []
    while sum(len(batch) for batch in stage.handed_in) < 60:
        held.append(len(stage.actor._pending) + len(stage.batches[-1].jobs))
        stage.decide()

    assert max(held) <= 2 * _BATCH_MAX
    assert [number for batch in stage.handed_in for number in batch] == list(range(1, 61))
    assert max(len(batch) for batch in stage.handed_in) <= _BATCH_MAX
    assert all(count <= 2 * _BATCH_MAX for _, count in stage.log.reads)


def test_a_flood_of_messages_does_not_fill_its_memory(stage: _Stage) -> None:
    """Beyond two batches it only notes that there is more, and reads it from the log in its turn."""
    stage.accept(1)
    stage.accept(100)
    assert len(stage.actor._pending) <= 2 * _BATCH_MAX

    while sum(len(batch) for batch in stage.handed_in) < 101:
        stage.decide()

    assert [number for batch in stage.handed_in for number in batch] == list(range(1, 102))


def test_a_log_that_cannot_be_read_is_read_again_later() -> None:
    """The breaker opens, a reading is scheduled as a message, and nothing is lost."""
    stage = _Stage(FakeLog([a_job(1)]))
    stage.log.failing = True
    stage.say(Rescan())
    assert stage.handed_in == []
    assert stage.board.redis.is_open
    assert stage.cell.busy

    stage.log.failing = False
    assert stage.board.scheduler.tell_all() == 1
    stage.pump()

    assert stage.handed_in == [[1]]


# Answers.


def test_an_answer_for_another_batch_is_ignored(stage: _Stage) -> None:
    """Whatever belongs to a batch that it does not wait for changes nothing."""
    stage.accept()
    other = stage.batches[0].batch_id + 1000

    stage.say(BatchDecided(other, 9, 9), BatchFailed(other, ""), BatchFenced(other))
    stage.say(BatchPaused(other), BatchForeign(other))

    assert (stage.handed_in, stage.stopping, stage.cell.state) == ([[1]], False, CellState.RUNNING)
    stage.accept()
    stage.decide()
    assert stage.handed_in == [[1], [2]]


def test_a_second_answer_for_the_same_batch_is_ignored(stage: _Stage) -> None:
    """Handed in twice, a batch is answered twice; the second answer finds another batch in flight."""
    stage.accept()
    first = stage.decide()
    stage.accept()

    stage.say(BatchDecided(first.batch_id, 1, 1))
    stage.accept()

    assert stage.handed_in == [[1], [2]]


def test_a_committed_batch_clears_the_crashes_before_it(stage: _Stage) -> None:
    """Progress is noted in the cell: the restart budget is whole again."""
    stage.cell._crashes.extend([1.0, 2.0])
    stage.accept()

    stage.decide()

    assert not stage.cell._crashes


def test_a_replaced_committer_is_handed_the_same_batch_again(stage: _Stage) -> None:
    """The batch in flight keeps its id, so that an answer of the old committer counts once."""
    stage.accept(2)

    stage.say(CommitterReplaced())

    assert stage.batches[0] is stage.batches[1]
    stage.decide()
    stage.say(CommitterReplaced())
    assert len(stage.batches) == 2


def test_a_fenced_batch_is_handed_in_again_without_its_epoch(stage: _Stage) -> None:
    """Somebody took the event over: it is asked for again, with all that is left in the log, in order."""
    stage.accept(2)
    stage.decide(epoch=4)
    stage.accept(2)
    stage.accept(1)

    stage.say(BatchFenced(stage.batches[-1].batch_id))

    assert stage.batches[2].epoch is None
    stage.decide()
    assert list(dict.fromkeys(number for batch in stage.handed_in[2:] for number in batch)) == [3, 4, 5]


def test_a_foreign_event_stops_the_actor_and_keeps_its_queue(stage: _Stage) -> None:
    """While another process owns the event this one has no actor for it, and asks nothing."""
    stage.accept(3)

    stage.say(BatchForeign(stage.batches[0].batch_id))

    assert stage.stopping
    assert stage.cell.state is CellState.FOREIGN
    assert not stage.cell.may_start(time.monotonic())
    assert len(stage.log.jobs) == 3


def test_a_paused_event_keeps_nothing_and_is_quiet(stage: _Stage) -> None:
    """Nothing stays in memory and nothing is handed in, whatever arrives."""
    stage.accept(2)
    stage.say(BatchPaused(stage.batches[0].batch_id))

    stage.accept(3)
    stage.say(Flush())

    assert stage.handed_in == [[1, 2]]
    assert not stage.actor._pending
    assert not stage.cell.busy


def test_a_resumed_event_decides_what_waited_in_order(stage: _Stage) -> None:
    """The resume's message makes it read the log from the start."""
    stage.accept(2)
    stage.say(BatchPaused(stage.batches[0].batch_id))
    stage.accept(3)

    stage.say(Rescan())

    assert stage.handed_in == [[1, 2], [1, 2, 3, 4, 5]]


# A batch that fails for a reason of its data.


class _Poison:
    """Answers batches: those with a poisoned job fail, unless they say that it is poison."""

    def __init__(self, stage: _Stage, *poisoned: int) -> None:
        self.stage = stage
        self.poisoned = poisoned
        self.decided: list[int] = []
        self.failed: list[int] = []
        self.tries: list[list[int]] = []

    def run(self) -> None:
        answered = 0
        while len(self.stage.batches) > answered:
            answered = len(self.stage.batches)
            batch = self.stage.batches[-1]
            self.tries.append(numbers(batch.jobs))
            known = {job.queue_number for job in batch.jobs if job.job_id in batch.poisoned}
            if set(numbers(batch.jobs)) & set(self.poisoned) - known:
                self.stage.fail()
            else:
                self.decided += numbers(batch.jobs)
                self.failed += sorted(known)
                self.stage.decide()


def test_a_failed_batch_is_halved_until_the_poison_is_alone(stage: _Stage) -> None:
    """Its neighbours are decided in their order, the poisoned job fails alone three times and is set aside."""
    stage.accept(1)
    stage.accept(8)
    stage.decide()
    poison = _Poison(stage, 5)

    poison.run()

    assert poison.tries == [
        [2, 3, 4, 5, 6, 7, 8, 9],
        [2, 3, 4, 5],
        [2, 3],
        [4, 5],
        [4],
        [5],
        [5],
        [5],
        [5],
        [6, 7, 8, 9],
    ]
    assert poison.decided == list(range(2, 10))
    assert poison.failed == [5]


@pytest.mark.parametrize("poisoned", [(1,), (8,), (1, 8), (3, 4), (1, 2, 3, 4, 5, 6, 7, 8)])
def test_any_poison_anywhere_keeps_the_order(poisoned: tuple[int, ...]) -> None:
    """One or many poisoned jobs, first, last or side by side: all jobs are decided, in order, and these fail."""
    stage = _started_over([a_job(number) for number in range(1, 9)])
    poison = _Poison(stage, *poisoned)

    poison.run()

    assert poison.decided == list(range(1, 9))
    assert poison.failed == list(poisoned)
    assert all(poison.tries.count([number]) == 4 for number in poisoned)


def test_a_poisoned_job_alone_says_how_often_it_was_tried(stage: _Stage) -> None:
    """The attempts that are told to the client count the tries."""
    stage.accept(1)

    for _ in range(3):
        stage.fail()

    assert [batch.attempts for batch in stage.batches] == [1, 2, 3, 4]
    assert [bool(batch.poisoned) for batch in stage.batches] == [False, False, False, True]


def test_jobs_that_arrive_during_a_bisection_wait_behind_it(stage: _Stage) -> None:
    """What came later is decided later, also when the earlier jobs have to be tried again."""
    stage.accept(1)
    stage.accept(4)
    stage.decide()
    stage.fail()
    stage.accept(3)
    poison = _Poison(stage)

    poison.run()

    assert poison.decided == [2, 3, 4, 5, 6, 7, 8]


def test_a_fence_in_the_middle_of_a_bisection_keeps_the_order(stage: _Stage) -> None:
    """The fenced half is handed in again before the half behind it."""
    stage.accept(1)
    stage.accept(4)
    stage.decide(epoch=4)
    stage.fail()
    assert stage.handed_in[-1] == [2, 3]

    stage.say(BatchFenced(stage.batches[-1].batch_id))
    poison = _Poison(stage)
    poison.run()

    assert poison.decided == [2, 3, 4, 5]


# Stopping.


def test_an_idle_actor_passivates_and_gives_up_its_lease(stage: _Stage) -> None:
    """Nothing to do and everything handled: it stops, and another process need not wait."""
    stage.accept()
    stage.decide(epoch=3)
    stage.cell.ask_to_passivate()

    stage.say(Passivate())

    assert stage.stopping
    assert stage.cell.state is CellState.IDLE
    assert stage.board.committer.of(ReleaseLease) == [ReleaseLease(EVENT_ID, 3)]


def test_an_actor_without_a_lease_gives_up_none(stage: _Stage) -> None:
    """One that never committed has nothing to release."""
    stage.cell.ask_to_passivate()

    stage.say(Passivate())

    assert stage.stopping
    assert stage.board.committer.told == []


def test_an_actor_with_a_batch_in_flight_does_not_passivate(stage: _Stage) -> None:
    """It stays until its work is done."""
    stage.accept()
    stage.cell.ask_to_passivate()

    stage.say(Passivate())

    assert not stage.stopping
    assert stage.cell.state is CellState.RUNNING


def test_a_job_that_raced_with_passivation_is_not_lost(stage: _Stage) -> None:
    """A job that was told after the question, and is still in the mailbox, keeps the actor alive."""
    stage.cell.ask_to_passivate()
    job = stage.log.accept()
    assert stage.cell.accepted([job]) is stage.actor.actor_ref

    stage.say(Passivate(), JobsAccepted([job]))

    assert not stage.stopping
    assert stage.handed_in == [[1]]


def test_a_draining_actor_finishes_its_batch_and_hands_in_nothing_more(stage: _Stage) -> None:
    """At a stop of the service the batch in flight is waited for; the rest stays in the log."""
    stage.accept(1)
    stage.accept(2)

    stage.say(Drain())
    assert not stage.stopping
    stage.decide(epoch=5)

    assert stage.stopping
    assert stage.handed_in == [[1]]
    assert stage.cell.state is CellState.IDLE
    assert sorted(stage.log.jobs) == [2, 3]
    assert stage.board.committer.of(ReleaseLease) == [ReleaseLease(EVENT_ID, 5)]


@pytest.mark.parametrize("answer", [BatchFailed, BatchFenced, BatchPaused, BatchForeign])
def test_a_draining_actor_stops_at_any_answer(stage: _Stage, answer: type) -> None:
    """Whatever becomes of the batch in flight, a stop does not wait for more."""
    stage.accept(3)
    stage.say(Drain())
    batch_id = stage.batches[0].batch_id

    stage.say(BatchFailed(batch_id, "refused") if answer is BatchFailed else answer(batch_id))

    assert stage.stopping
    assert not stage.cell.alive
    assert len(stage.batches) == 1


def test_an_idle_actor_drains_at_once(stage: _Stage) -> None:
    """Nothing in flight: nothing to wait for."""
    stage.say(Drain())

    assert stage.stopping
    assert stage.cell.state is CellState.IDLE


def test_its_death_is_reported_with_its_generation(stage: _Stage) -> None:
    """The supervisor learns which incarnation died, and of what."""
    error = RuntimeError("boom")

    stage.actor.died(error)

    assert stage.deaths == [(stage.cell, stage.generation, error)]


def test_an_unknown_message_is_ignored(stage: _Stage) -> None:
    """A message of another version does no harm."""
    stage.say("what?", None)

    stage.accept()

    assert stage.handed_in == [[1]]
