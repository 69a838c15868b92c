"""The threads that answer requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from waitress.task import ThreadedTaskDispatcher

from aurora_atlan.actors.waiting import IN_THREAD
from aurora_atlan.http.lane import Lane

if TYPE_CHECKING:
    from aurora_atlan.http.channel import Channel


class Workers(ThreadedTaskDispatcher):  # type: ignore[misc]
    """waitress's thread pool, with threads that can be joined and no log line per waiting request.

    Requests for which ``in_lane`` is true, given method and path, are answered by one thread of their own.
    """

    def __init__(self, name: str, count: int, in_lane: Callable[[str, str], bool] | None = None) -> None:
        super().__init__()
        self._name = name
        self._started: list[threading.Thread] = []
        self.set_thread_count(count)
        self._in_lane = in_lane
        self._lane = None if in_lane is None else Lane(f"{name}-lane", self._add)

    def start_new_thread(self, target: Callable[[int], None], thread_no: int) -> None:
        """Start a worker (waitress)."""
        thread = threading.Thread(target=target, args=(thread_no,), name=f"{self._name}-{thread_no}", daemon=True)
        self._started.append(thread)
        thread.start()

    def add_task(self, task: Channel) -> None:
        """Queue a connection's oldest request (waitress, which would log a warning if no thread is free)."""
        request = task.requests[0]
        if self._in_lane is not None and request.error is None and self._in_lane(request.command, request.path):
            assert self._lane is not None
            task.waiting = self._lane
            self._lane.add(task)
        else:
            task.waiting = IN_THREAD
            self._add(task)

    def _add(self, task: Any) -> None:
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()

    def join(self, timeout_s: float) -> None:
        """Stop every thread once its request is answered, drop what is queued, and wait up to ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        if self._lane is not None:
            # First: what it has done elsewhere is done by the others.
            self._lane.join(timeout_s)
        timeout_s = max(0.1, deadline - time.monotonic())
        self.shutdown(cancel_pending=True, timeout=timeout_s)
        for thread in self._started:
            # The pool counts a thread as gone a moment before it is.
            thread.join(timeout=0.1)
