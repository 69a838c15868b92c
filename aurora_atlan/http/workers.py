"""The threads that answer requests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from waitress.task import ThreadedTaskDispatcher


class Workers(ThreadedTaskDispatcher):  # type: ignore[misc]
    """waitress's thread pool, with threads that can be joined and no log line per waiting request."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__()
        self._name = name
        self._started: list[threading.Thread] = []
        self.set_thread_count(count)

    def start_new_thread(self, target: Callable[[int], None], thread_no: int) -> None:
        """Start a worker (waitress)."""
        thread = threading.Thread(target=target, args=(thread_no,), name=f"{self._name}-{thread_no}", daemon=True)
        self._started.append(thread)
        thread.start()

    def add_task(self, task: Any) -> None:
        """Queue a request for the next free thread (waitress, which would log a warning if there is none)."""
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()

    def join(self, timeout_s: float) -> None:
        """Stop every thread once its request is answered, drop what is queued, and wait up to ``timeout_s``."""
        self.shutdown(cancel_pending=True, timeout=timeout_s)
        for thread in self._started:
            # The pool counts a thread as gone a moment before it is.
            thread.join(timeout=0.1)
