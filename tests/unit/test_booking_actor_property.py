"""The booking actor under any interleaving: whatever happens, jobs are decided once, in the order of the log."""

from __future__ import annotations

import logging
import time
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.cell import EventCell, RestartPolicy
from aurora_atlan.actors.messages import (
    Batch,
    BatchDecided,
    BatchFailed,
    BatchFenced,
    BatchPaused,
    CommitterReplaced,
    Flush,
    HandIn,
    JobsAccepted,
    Passivate,
    Rescan,
)
from aurora_atlan.persistence.records import Job
from booking_fakes import EVENT_ID, FakeLog, FakeSwitchboard, a_job, pump

_POLICY = RestartPolicy(5, 30.0, 0.1, 5.0, 30.0, lambda: 1.0)


class _Sale(RuleBasedStateMachine):
    """A log, a committer with a ledger, lost and late messages, and an actor that crashes and comes back."""

    def __init__(self) -> None:
        super().__init__()
        # Thousands of outages are not worth a line each.
        logging.getLogger("aurora_atlan.actors.breaker").disabled = True
        self.log = FakeLog()
        self.cell = EventCell(EVENT_ID, _POLICY)
        self.board = FakeSwitchboard()
        self.mailbox: deque[Job] = deque()
        self.accepted: list[Job] = []
        # What the ledger holds.
        self.decided: list[Job] = []
        self.poisoned: set[int] = set()
        self.epoch = 0
        self.actor: BookingActor

    @initialize()
    def an_actor_starts(self) -> None:
        self.board.committer.told.clear()
        generation = self.cell.begin()
        self.actor = BookingActor(self.cell, generation, self.board, self.log, 3, lambda *_: None)  # type: ignore[arg-type]
        self.cell.started(generation, self.actor.actor_ref, time.monotonic())
        self.actor.on_receive(Rescan())

    @rule(count=st.integers(1, 7), told=st.booleans(), poisoned=st.booleans())
    def jobs_are_accepted(self, count: int, *, told: bool, poisoned: bool) -> None:
        for _ in range(count):
            job = self.log.accept()
            self.accepted.append(job)
            if told and self.cell.accepted([job]) is not None:
                self.mailbox.append(job)
            elif not told:
                self.cell.seen(job.queue_number)
        if poisoned:
            self.poisoned.add(self.accepted[-1].queue_number)

    @precondition(lambda self: self.mailbox)
    @rule(count=st.integers(1, 4), lost=st.booleans())
    def messages_arrive(self, count: int, *, lost: bool) -> None:
        for _ in range(min(count, len(self.mailbox))):
            job = self.mailbox.popleft()
            if not lost:
                self.actor.on_receive(JobsAccepted([job]))

    @rule()
    def the_actor_works(self) -> None:
        pump(self.actor)

    @rule()
    def the_sweep_rings(self) -> None:
        self.actor.on_receive(Rescan())

    @rule()
    def the_log_fails_once(self) -> None:
        self.log.failing = True
        pump(self.actor)
        self.log.failing = False
        self.board.scheduler.tell_all()

    @rule()
    def the_actor_crashes(self) -> None:
        self.cell.crashed(self.cell.generation, time.monotonic())
        self.mailbox.clear()
        self.an_actor_starts()

    @rule(idle=st.integers(0, 3), starting=st.integers(0, 3), running=st.integers(0, 3))
    def the_actor_is_passivated_and_the_next_one_starts(self, *, idle: int, starting: int, running: int) -> None:
        if self.cell.ask_to_passivate() is not None:
            self.actor.on_receive(Passivate())
        if self.cell.alive:
            return
        self._accept_at_once(idle)
        generation = self.cell.begin()
        self._accept_at_once(starting)
        self.actor = BookingActor(self.cell, generation, self.board, self.log, 3, lambda *_: None)  # type: ignore[arg-type]
        self.cell.started(generation, self.actor.actor_ref, time.monotonic())
        for _ in range(running):
            self.jobs_are_accepted(1, told=True, poisoned=False)
        self.actor.on_receive(Flush())

    def _accept_at_once(self, count: int) -> None:
        at_head = not self.log.jobs
        jobs = [self.log.accept() for _ in range(count)]
        self.accepted += jobs
        if jobs:
            assert self.cell.accepted(jobs, at_head=at_head) is None

    @precondition(lambda self: self._in_hand())
    @rule(finished=st.booleans())
    def the_committer_decides(self, *, finished: bool) -> None:
        batch = self._in_hand()
        assert batch is not None
        if batch.epoch not in (None, self.epoch):
            return self.another_process_takes_over(decides=False)
        if any(self._bad(job, batch) for job in batch.jobs):
            self._answer(batch, BatchFailed(batch.batch_id, "refused"))
            return None
        if batch.epoch is None:
            self.epoch += 1
        self._record(batch)
        if finished:
            self.log.remove(batch.jobs)
            self._answer(batch, BatchDecided(batch.batch_id, self.epoch, batch.jobs[-1].queue_number))
        else:
            # Committed, and the committer died before it could say so.
            self.board.committer.told.clear()
            self.actor.on_receive(CommitterReplaced())
        return None

    @precondition(lambda self: self._in_hand())
    @rule(decides=st.booleans())
    def another_process_takes_over(self, *, decides: bool) -> None:
        batch = self._in_hand()
        assert batch is not None
        self.epoch += 1
        if decides:
            # The other owner works off the head of the log, as far as it is no poison.
            undecided = [job for job in self.accepted if job not in self.decided]
            self.decided += [job for job in undecided[:1] if job.queue_number not in self.poisoned]
            self.log.remove(self.decided)
        self._answer(batch, BatchFenced(batch.batch_id))

    @precondition(lambda self: self._in_hand())
    @rule()
    def the_event_is_paused_and_resumed(self) -> None:
        batch = self._in_hand()
        assert batch is not None
        self._answer(batch, BatchPaused(batch.batch_id))
        self.actor.on_receive(Rescan())

    def teardown(self) -> None:
        """When all trouble is over everything is decided, and in order."""
        logging.getLogger("aurora_atlan.actors.breaker").disabled = False
        if not hasattr(self, "actor"):
            return
        for _ in range(40 + 12 * len(self.accepted)):
            pump(self.actor)
            self.board.scheduler.tell_all()
            if self._in_hand():
                self.the_committer_decides(finished=True)
            elif self.log.jobs:
                self.actor.on_receive(Rescan())
        assert [job.queue_number for job in self.decided] == [job.queue_number for job in self.accepted]
        assert not self.log.jobs
        assert not self.cell.busy

    def _in_hand(self) -> Batch | None:
        handed_in = self.board.committer.of(HandIn)
        return handed_in[-1].batch if handed_in else None

    def _answer(self, batch: Batch, answer: object) -> None:
        self.board.committer.told.clear()
        self.actor.on_receive(answer)

    def _bad(self, job: Job, batch: Batch) -> bool:
        return job.queue_number in self.poisoned and job.job_id not in batch.poisoned and job not in self.decided

    def _record(self, batch: Batch) -> None:
        assert list(batch.jobs) == sorted(batch.jobs, key=lambda job: job.queue_number)
        self.decided += [job for job in batch.jobs if job not in self.decided]


class TestAnyInterleaving(_Sale.TestCase):  # type: ignore[name-defined, misc]
    """Each accepted job is decided exactly once, in the order of acceptance, and nothing hangs."""

    settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_the_fakes_jobs_can_be_told_apart() -> None:
    """What the property compares are whole jobs."""
    assert a_job(1) == a_job(1) != a_job(1)._replace(quantity=2)
