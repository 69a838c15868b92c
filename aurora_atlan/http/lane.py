"""One thread that answers bookings: while one waits for its receipt, the thread works for the next.

A booking computes for a fraction of a millisecond and then waits for a round trip that it shares with others.
With a thread for each, most of the time goes into waking threads and into their fight for the interpreter's lock.
Here each request is a greenlet, and the code that answers it is as sequential as anywhere else.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from greenlet import getcurrent, greenlet

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import Refused, Reply
from aurora_atlan.actors.waiting import Waiting
from aurora_atlan.persistence.jobs import Enqueueing

T = TypeVar("T")

# The member of a WSGI environment that says how its request waits; absent on servers other than ours.
WAITING = "aurora_atlan.waiting"

# How often to look for those who have waited long enough.
_LOOK_S = 0.05

log = logging.getLogger(__name__)


class Lane(Waiting):
    """Does waitress's tasks that only ever wait by means of this object, all in one thread.

    What blocks otherwise goes ``elsewhere``, a function that has a task done in another thread.
    """

    def __init__(self, name: str, elsewhere: Callable[[Any], None]) -> None:
        self._elsewhere = elsewhere
        self._lock = threading.Lock()
        self._tasks: deque[Any] = deque()
        # Those that wait: until when, by the monotonic clock, and what goes on then.
        self._parked: dict[_Awaited, tuple[float, greenlet]] = {}
        self._resumed: deque[greenlet] = deque()
        self._look_at = 0.0
        self._stopping = False
        # Something is put in to wake the thread while it sleeps; once too often does no harm.
        self._alarm: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._sleeps = False
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def add(self, task: Any) -> None:
        """Have a task done; from any thread."""
        with self._lock:
            self._tasks.append(task)
            self._wake()

    def join(self, timeout_s: float) -> None:
        """Finish what was begun and what waits, up to ``timeout_s``; then drop what was not begun."""
        with self._lock:
            self._stopping = True
            self._wake()
        self.thread.join(timeout_s)
        with self._lock:
            left, self._tasks = self._tasks, deque()
        for task in left:
            task.cancel()

    def reply(self) -> Reply:
        """Return a slot for an answer; waiting for it lets others go on."""
        return _ParkedReply(self)

    def aside(self, step: Callable[[], T], deadline: float | None = None) -> T:
        """Have another thread do it; see :class:`Waiting`."""
        task = _Aside(self, step)
        self._elsewhere(task)
        return task.outcome(deadline)

    def park(self, awaited: _Awaited, timeout_s: float) -> None:
        """Let others go on until what is awaited is there, or the time is up; for a greenlet of this lane."""
        with self._lock:
            if awaited.is_set:
                return
            self._parked[awaited] = (time.monotonic() + timeout_s, getcurrent())
        self._main.switch()

    def resume(self, awaited: _Awaited) -> None:
        """Let the one who waits for this go on, if there is one; from any thread, after it is there."""
        with self._lock:
            parked = self._parked.pop(awaited, None)
            if parked is not None:
                self._resumed.append(parked[1])
                self._wake()

    def _run(self) -> None:
        self._main = getcurrent()
        while (go_on := self._next()) is not None:
            go_on()

    def _next(self) -> Callable[[], object] | None:
        while True:
            now = time.monotonic()
            with self._lock:
                self._sleeps = False
                if self._parked and now >= self._look_at:
                    self._give_up_waiting(now)
                if self._resumed:
                    return self._resumed.popleft().switch
                if self._tasks:
                    return partial(greenlet(_serve).switch, self._tasks.popleft())
                if self._stopping and not self._parked:
                    return None
                self._sleeps = True
                sleep_s = max(0.0, self._look_at - now) if self._parked else None
            with suppress(queue.Empty):
                self._alarm.get(timeout=sleep_s)

    def _give_up_waiting(self, now: float) -> None:
        self._look_at = now + _LOOK_S
        for awaited in [awaited for awaited, (until, _) in self._parked.items() if until <= now]:
            self._resumed.append(self._parked.pop(awaited)[1])

    def _wake(self) -> None:
        if self._sleeps:
            self._sleeps = False
            self._alarm.put(None)


def _serve(task: Any) -> None:
    try:
        task.service()
    except BaseException:
        # Whatever it was, others wait in this thread.
        log.exception("a request escaped its handlers")


class _Awaited(Protocol):
    """Something that a greenlet waits for."""

    @property
    def is_set(self) -> bool:
        """Whether it need not wait any more."""


class _ParkedReply(Reply):
    """A reply for which a greenlet waits."""

    __slots__ = ("_lane",)

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._answer = None

    @property
    def is_set(self) -> bool:
        """Whether there is an answer."""
        return self._answer is not None

    def set(self, answer: Enqueueing | Refused) -> None:
        """Give the answer; only the first counts."""
        if self._answer is None:
            self._answer = answer
            self._lane.resume(self)

    def wait(self, timeout_s: float) -> Enqueueing | Refused | None:
        """Wait for the answer; None when there is none in time."""
        if self._answer is None:
            self._lane.park(self, timeout_s)
        return self._answer


class _Aside(Generic[T]):
    """A step that blocks, as a task for another thread, while a greenlet waits for its outcome."""

    def __init__(self, lane: Lane, step: Callable[[], T]) -> None:
        self._lane = lane
        self._step = step
        self._future: Future[T] = Future()

    @property
    def is_set(self) -> bool:
        """Whether it is done."""
        return self._future.done()

    def service(self) -> None:
        """Do it (waitress)."""
        try:
            self._future.set_result(self._step())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
            self._future.set_exception(error)
        self._lane.resume(self)

    def cancel(self) -> None:
        """Do not do it, as the server stops (waitress)."""
        self._future.set_exception(UnavailableError("the service is stopping; try again"))
        self._lane.resume(self)

    def outcome(self, deadline: float | None) -> T:
        """Wait for what it returns or raises; raises TimeoutError at the deadline."""
        self._lane.park(self, math.inf if deadline is None else deadline - time.monotonic())
        if not self._future.done():
            raise TimeoutError
        return self._future.result()
