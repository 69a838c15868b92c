"""The threads that answer requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from waitress.task import ThreadedTaskDispatcher

if TYPE_CHECKING:
    from aurora_atlan.http.channel import Channel


class Workers(ThreadedTaskDispatcher):  # type: ignore[misc]
    """waitress's thread pool, with threads that can be joined and no log line per waiting request.

    ``apart`` are the requests, given method and path, that others shall not hold up, and how many threads they have.
    """

    def __init__(self, name: str, count: int, apart: tuple[Callable[[str, str], bool], int] | None = None) -> None:
        super().__init__()
        self._name = name
        self._started: list[threading.Thread] = []
        self.set_thread_count(count)
        self._apart: tuple[Callable[[str, str], bool], Workers] | None = None
        if apart is not None:
            is_apart, threads = apart
            self._apart = is_apart, Workers(f"{name}-apart", threads)

    def start_new_thread(self, target: Callable[[int], None], thread_no: int) -> None:
        """Start a worker (waitress)."""
        thread = threading.Thread(target=target, args=(thread_no,), name=f"{self._name}-{thread_no}", daemon=True)
        self._started.append(thread)
        thread.start()

    def add_task(self, task: Channel) -> None:
        """Queue a connection's oldest request (waitress, which would log a warning if no thread is free)."""
        request = task.requests[0]
        if self._apart is not None and request.error is None:
            is_apart, workers = self._apart
            if is_apart(request.command, request.path):
                workers.add_task(task)
                return
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()

    def join(self, timeout_s: float) -> None:
        """Stop every thread once its request is answered, drop what is queued, and wait up to ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        if self._apart is not None:
            self._apart[1].join(timeout_s)
        self.shutdown(cancel_pending=True, timeout=max(0.1, deadline - time.monotonic()))
        for thread in self._started:
            # The pool counts a thread as gone a moment before it is.
            thread.join(timeout=0.1)
