"""The journal, with a queue that fails as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from aurora_atlan.actors.journal import JournalActor
from aurora_atlan.actors.messages import AcceptJob, Flush, Refused, Reply
from aurora_atlan.persistence.errors import StoreRefusesError, StoreTimeoutError, StoreUnavailableError
from aurora_atlan.persistence.jobs import Enqueued, Enqueueing, QueueFull
from aurora_atlan.persistence.records import Job, NewJob
from booking_fakes import EVENT_ID, FakeSwitchboard, a_job, job_id_of, numbers, pump


class _Queue:
    """Numbers jobs from 1; what it should do otherwise is lined up in ``next``."""

    def __init__(self) -> None:
        self.trips: list[list[NewJob]] = []
        self.next: list[Callable[[Sequence[NewJob]], list[Enqueueing]]] = []
        self.number = 0

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueueing]:
        self.trips.append(list(jobs))
        return self.next.pop(0)(jobs) if self.next else self.accept(jobs)

    def accept(self, jobs: Sequence[NewJob]) -> list[Enqueueing]:
        answers: list[Enqueueing] = []
        for job in jobs:
            self.number += 1
            answers.append(Enqueued(a_job(self.number, job_id=job.job_id), 0, 0.0, known=False, at_head=True))
        return answers


def _failing(error: BaseException) -> Callable[[Sequence[NewJob]], list[Enqueueing]]:
    def fail(jobs: Sequence[NewJob]) -> list[Enqueueing]:
        raise error

    return fail


class _Stage:
    def __init__(self) -> None:
        self.queue = _Queue()
        self.board = FakeSwitchboard()
        self.announced: list[Job] = []
        self.at_head: list[bool] = []
        self.deaths: list[BaseException | None] = []
        self.journal = JournalActor(self.board, self.queue, self._announce, self.deaths.append)  # type: ignore[arg-type]

    def _announce(self, jobs: Sequence[Job], *, at_head: bool) -> None:
        self.announced += jobs
        self.at_head.append(at_head)

    def ask(self, *wanted: int) -> list[Reply]:
        replies = [Reply() for _ in wanted]
        for number, reply in zip(wanted, replies, strict=True):
            new = NewJob(job_id_of(number), EVENT_ID, number, 1, None)
            self.journal.actor_ref.tell(AcceptJob(new, reply))
        pump(self.journal)
        return replies


@pytest.fixture
def stage() -> _Stage:
    return _Stage()


def _answers(replies: Sequence[Reply]) -> list[Any]:
    return [reply.wait(0) for reply in replies]


def test_all_that_wait_are_enqueued_together_and_told_in_the_order_of_the_log(stage: _Stage) -> None:
    """One round trip for all; events' actors hear of the jobs in the order of their numbers."""
    replies = stage.ask(11, 12, 13)

    assert [len(trip) for trip in stage.queue.trips] == [3]
    assert numbers(stage.announced) == [1, 2, 3]
    assert [answer.job.job_id for answer in _answers(replies)] == [job_id_of(number) for number in (11, 12, 13)]


@pytest.mark.parametrize("at_head", [True, False])
def test_it_is_told_whether_jobs_are_all_that_waits_for_their_event(stage: _Stage, *, at_head: bool) -> None:
    """As Redis says of them; one that was not at the head of the queue is enough to know that more waits."""
    accepted = [Enqueued(a_job(number), 0, 0.0, known=False, at_head=True) for number in (4, 5)]
    accepted[1].at_head = at_head
    stage.queue.accept = lambda jobs: list(accepted)  # type: ignore[method-assign]

    stage.ask(4, 5)

    assert numbers(stage.announced) == [4, 5]
    assert stage.at_head == [at_head]


def test_only_newly_accepted_jobs_are_announced(stage: _Stage) -> None:
    """A job that was known, or one that was refused, is no news to its event's actor."""
    known = Enqueued(a_job(1), 0, 0.0, known=True)
    new = Enqueued(a_job(2), 0, 0.0, known=False)
    stage.queue.next.append(lambda _: [known, QueueFull(), new])

    replies = stage.ask(11, 12, 13)

    assert numbers(stage.announced) == [2]
    assert _answers(replies) == [known, QueueFull(), new]


def test_a_timeout_is_not_repeated_and_opens_the_breaker(stage: _Stage) -> None:
    """It may have been done: everybody who waits is told so at once, and nobody else is kept waiting."""
    stage.queue.next.append(_failing(StoreTimeoutError("no answer")))

    first = stage.ask(11, 12)
    second = stage.ask(13)

    assert len(stage.queue.trips) == 1
    assert [(answer.attempted, type(answer)) for answer in _answers(first)] == [(True, Refused)] * 2
    assert [answer.attempted for answer in _answers(second)] == [False]
    assert stage.board.redis.is_open
    assert stage.announced == []


def test_a_broken_connection_is_tried_once_more(stage: _Stage) -> None:
    """A connection that broke while idle costs a repetition, not a refusal."""
    stage.queue.next.append(_failing(StoreUnavailableError("connection reset")))

    replies = stage.ask(11)

    assert [len(trip) for trip in stage.queue.trips] == [1, 1]
    assert isinstance(_answers(replies)[0], Enqueued)
    assert not stage.board.redis.is_open


def test_what_the_first_of_two_tries_had_queued_is_announced_all_the_same(stage: _Stage) -> None:
    """The connection broke after Redis had done its part: to the second try the job is known."""
    stage.queue.next.append(_failing(StoreUnavailableError("connection reset")))
    decided = Enqueued(a_job(2), 2, 0.0, known=True, decided=True)
    stage.queue.next.append(lambda _: [Enqueued(a_job(1), 0, 0.0, known=True), decided])

    stage.ask(11, 12)

    assert numbers(stage.announced) == [1]


def test_the_first_job_that_is_taken_again_wakes_the_committers(stage: _Stage) -> None:
    """What they could not note while Redis took no writes is noted now, whoever saw first that it does."""
    stage.board.redis_failed(StoreRefusesError("OOM"))

    stage.ask(11)
    stage.ask(12)

    assert not stage.board.redis_writes.is_open
    assert stage.board.committer.told == [Flush()]
    assert stage.board.patient.told == [Flush()]


def test_a_store_that_stays_away_opens_the_breaker(stage: _Stage) -> None:
    """After the second failure everybody is refused, and may ask for the job: it was attempted."""
    stage.queue.next += [_failing(StoreUnavailableError("refused"))] * 2

    replies = stage.ask(11)

    assert len(stage.queue.trips) == 2
    assert _answers(replies)[0].attempted
    assert stage.board.redis.is_open


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(1)])
def test_a_crash_refuses_everybody_whose_job_was_attempted(stage: _Stage, error: BaseException) -> None:
    """Nobody waits for a journal that died in the middle of his round trip."""
    stage.queue.next.append(_failing(error))
    reply = Reply()
    stage.journal.on_receive(AcceptJob(NewJob(job_id_of(1), EVENT_ID, 1, 1, None), reply))

    with pytest.raises(Exception, match=r"boom|SystemExit"):
        pump(stage.journal)

    assert reply.wait(0) == Refused("the journal crashed", attempted=True)


def test_a_death_refuses_everybody_who_waits(stage: _Stage) -> None:
    """Those whose round trip had not begun are told that nothing was attempted."""
    reply = Reply()
    stage.journal.on_receive(AcceptJob(NewJob(job_id_of(1), EVENT_ID, 1, 1, None), reply))
    error = RuntimeError("boom")

    stage.journal.died(error)

    answer = reply.wait(0)
    assert isinstance(answer, Refused)
    assert not answer.attempted
    assert stage.deaths == [error]


def test_the_first_answer_counts() -> None:
    """A reply that was given cannot be taken back by a later one."""
    reply = Reply()
    reply.set(QueueFull())
    reply.set(Refused("too late", attempted=True))

    assert reply.wait(0) == QueueFull()
    assert reply.wait(0) == QueueFull()


def test_an_answer_that_does_not_come_is_waited_for_in_vain() -> None:
    """Without an answer in time there is none."""
    assert Reply().wait(0) is None
