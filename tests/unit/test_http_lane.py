"""The lane: many requests wait in one thread, and none holds up another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import Refused
from aurora_atlan.http.lane import Lane
from harness_sales import wait_until

_ANSWER = Refused("an answer", attempted=False)


class _Task:
    """Does what it is told, once, as waitress's tasks are done."""

    def __init__(self, step: Callable[[], object]) -> None:
        self._step = step
        self.done = threading.Event()
        self.cancelled = False
        self.result: Any = None
        self.thread: threading.Thread | None = None

    def service(self) -> None:
        self.thread = threading.current_thread()
        try:
            self.result = self._step()
        except UnavailableError as error:
            self.result = error
        except TimeoutError as error:
            self.result = error
        finally:
            self.done.set()

    def cancel(self) -> None:
        self.cancelled = True


class _Elsewhere:
    """Another thread for each task, or none while ``holds``."""

    def __init__(self) -> None:
        self.holds = False
        self.held: list[Any] = []

    def __call__(self, task: Any) -> None:
        if self.holds:
            self.held.append(task)
        else:
            threading.Thread(target=task.service, daemon=True).start()


@pytest.fixture
def elsewhere() -> _Elsewhere:
    return _Elsewhere()


@pytest.fixture
def lane(elsewhere: _Elsewhere) -> Iterator[Lane]:
    lane = Lane("lane", elsewhere)
    yield lane
    lane.join(5)
    assert not lane.thread.is_alive()


def _do(lane: Lane, *steps: Callable[[], object]) -> list[_Task]:
    tasks = [_Task(step) for step in steps]
    for task in tasks:
        lane.add(task)
    return tasks


def test_while_one_waits_the_same_thread_works_for_the_next(lane: Lane) -> None:
    """A hundred wait at once; each gets its own answer, in whatever order the answers come."""
    replies = [lane.reply() for _ in range(100)]
    answers = [Refused(f"answer {number}", attempted=False) for number in range(100)]
    began = []

    def waiting_for(number: int) -> Callable[[], object]:
        def step() -> object:
            began.append(number)
            return replies[number].wait(5)

        return step

    tasks = _do(lane, *map(waiting_for, range(100)))
    wait_until(lambda: len(began) == 100, 5, "all have begun although none has its answer")
    for number in reversed(range(100)):
        replies[number].set(answers[number])

    assert all(task.done.wait(5) for task in tasks)
    assert [task.result for task in tasks] == answers
    assert {task.thread for task in tasks} == {lane.thread}


def test_an_answer_that_is_there_is_not_waited_for(lane: Lane) -> None:
    reply = lane.reply()
    reply.set(_ANSWER)

    [task] = _do(lane, lambda: reply.wait(5))

    assert task.done.wait(5)
    assert task.result is _ANSWER


def test_only_the_first_answer_counts(lane: Lane) -> None:
    reply = lane.reply()
    reply.set(_ANSWER)
    reply.set(Refused("another", attempted=True))

    [task] = _do(lane, lambda: reply.wait(5))

    assert task.done.wait(5)
    assert task.result is _ANSWER


def test_who_gets_no_answer_in_time_goes_on_without_and_may_wait_again(lane: Lane) -> None:
    """As those do who look now and then whether there is still anybody who could answer."""
    reply = lane.reply()
    missed = []

    def step() -> object:
        while (answer := reply.wait(0.01)) is None:
            missed.append(time.monotonic())
        return answer

    [task] = _do(lane, step)
    wait_until(lambda: len(missed) >= 3, 5, "it has looked around three times")
    reply.set(_ANSWER)

    assert task.done.wait(5)
    assert task.result is _ANSWER


def test_time_is_up_also_while_others_keep_the_thread_busy(lane: Lane) -> None:
    """Someone who waits in vain is not forgotten in a rush."""
    [impatient] = _do(lane, lambda: lane.reply().wait(0.01))

    def again() -> None:
        if not impatient.done.is_set():
            lane.add(_Task(again))

    _do(lane, again)

    assert impatient.done.wait(5)
    assert impatient.result is None


def test_answers_that_race_with_those_who_begin_to_wait_all_arrive(lane: Lane) -> None:
    """Eight threads answer as fast as they can what is just being asked."""
    asked: list[Any] = []
    handed = threading.Semaphore(0)
    rounds = 2_000

    def step() -> object:
        reply = lane.reply()
        asked.append(reply)
        handed.release()
        return reply.wait(5)

    def answer() -> None:
        for _ in range(rounds // 8):
            handed.acquire()
            asked.pop().set(_ANSWER)

    answerers = [threading.Thread(target=answer, daemon=True) for _ in range(8)]
    for answerer in answerers:
        answerer.start()
    tasks = _do(lane, *[step] * rounds)

    assert all(task.done.wait(10) for task in tasks)
    assert {id(task.result) for task in tasks} == {id(_ANSWER)}


def test_what_blocks_is_done_in_another_thread_while_the_lane_goes_on(lane: Lane) -> None:
    """And its outcome comes back, a value or an exception."""
    go_on = threading.Event()

    def slow() -> threading.Thread:
        assert go_on.wait(5)
        return threading.current_thread()

    def failing() -> None:
        raise UnavailableError("it could not be done")

    [waits] = _do(lane, lambda: lane.aside(slow))
    [next_one, fails] = _do(lane, lambda: "went on", lambda: lane.aside(failing))
    assert next_one.done.wait(5)
    assert fails.done.wait(5)
    assert not waits.done.is_set()
    go_on.set()

    assert waits.done.wait(5)
    assert isinstance(waits.result, threading.Thread)
    assert waits.result is not lane.thread
    assert str(fails.result) == "it could not be done"


def test_what_blocks_for_too_long_is_given_up_at_the_deadline(lane: Lane, elsewhere: _Elsewhere) -> None:
    """Nobody has a thread for it; when it is done after all, nobody is confused."""
    elsewhere.holds = True

    [task] = _do(lane, lambda: lane.aside(lambda: "late", time.monotonic() + 0.02))

    assert task.done.wait(5)
    assert isinstance(task.result, TimeoutError)
    elsewhere.held[0].service()
    [next_one] = _do(lane, lambda: "fine")
    assert next_one.done.wait(5)


def test_what_blocks_and_is_cancelled_is_unavailable(lane: Lane, elsewhere: _Elsewhere) -> None:
    """The server stops, and nobody does it any more."""
    elsewhere.holds = True
    [task] = _do(lane, lambda: lane.aside(lambda: "never"))
    wait_until(lambda: elsewhere.held, 5, "it was handed over")

    elsewhere.held[0].cancel()

    assert task.done.wait(5)
    assert isinstance(task.result, UnavailableError)


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_a_request_that_fails_in_any_way_harms_no_other(lane: Lane, error: type[BaseException]) -> None:
    """Others wait in its thread."""
    reply = lane.reply()

    def fail() -> None:
        raise error

    [waits, failed] = _do(lane, lambda: reply.wait(5), fail)
    assert failed.done.wait(5)
    [next_one] = _do(lane, lambda: "went on")
    assert next_one.done.wait(5)
    reply.set(_ANSWER)

    assert waits.done.wait(5)
    assert waits.result is _ANSWER


def test_a_stop_waits_for_those_who_wait(elsewhere: _Elsewhere) -> None:
    """They have been accepted, perhaps: they are told."""
    lane = Lane("lane", elsewhere)
    reply = lane.reply()
    [task] = _do(lane, lambda: reply.wait(5))
    stopping = threading.Thread(target=lane.join, args=(5,))
    stopping.start()
    reply.set(_ANSWER)
    stopping.join(5)

    assert task.done.is_set()
    assert task.result is _ANSWER
    assert not lane.thread.is_alive()


def test_a_stop_that_takes_too_long_drops_what_was_not_begun(elsewhere: _Elsewhere) -> None:
    """One that hangs holds up the stop no longer than allowed."""
    lane = Lane("lane", elsewhere)
    release = threading.Event()
    [hangs, left] = _do(lane, release.wait, lambda: "never")
    lane.join(0.05)

    assert left.cancelled
    assert not hangs.done.is_set()
    release.set()
    lane.thread.join(5)
    assert not left.done.is_set()
