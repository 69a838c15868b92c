"""The threads that answer requests."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aurora_atlan.http.channel import Channel

log = logging.getLogger(__name__)


class Workers:
    """A pool of threads: what waitress calls a task dispatcher.

    waitress's own has its threads wait at a condition, which costs each request a lock and wakes the threads in turn;
    here the one that fell idle last is taken, whose memory is still at hand. And it would log a line for every request
    that waits for a thread.

    ``apart`` are the requests, given method and path, that others shall not hold up, and how many threads they have.
    """

    def __init__(self, name: str, count: int, apart: tuple[Callable[[str, str], bool], int] | None = None) -> None:
        self._apart: tuple[Callable[[str, str], bool], Workers] | None = None
        if apart is not None:
            is_apart, threads = apart
            self._apart = is_apart, Workers(f"{name}-apart", threads)
        self._lock = threading.Lock()
        # Connections whose oldest request waits for a thread; empty while one is idle.
        self._waiting: deque[Channel] = deque()
        self._idle: list[_Worker] = []
        self._stopping = False
        self._workers = [_Worker(f"{name}-{number}", self._next) for number in range(count)]
        for worker in self._workers:
            worker.start()

    def add_task(self, task: Channel) -> None:
        """Have a connection's oldest request answered, once a thread is free (waitress)."""
        request = task.requests[0]
        if self._apart is not None and request.error is None:
            is_apart, workers = self._apart
            if is_apart(request.command, request.path):
                workers.add_task(task)
                return
        with self._lock:
            if not self._idle:
                self._waiting.append(task)
                return
            worker = self._idle.pop()
        worker.give(task)

    def join(self, timeout_s: float) -> None:
        """Stop every thread once its request is answered, drop what is queued, and wait up to ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        if self._apart is not None:
            self._apart[1].join(timeout_s)
        with self._lock:
            self._stopping = True
            idle, self._idle = self._idle, []
            dropped, self._waiting = self._waiting, deque()
        for task in dropped:
            task.cancel()
        for worker in idle:
            worker.give(None)
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def _next(self, worker: _Worker) -> Channel | None:
        # What the worker is to do now; None: it is to end.
        with self._lock:
            if self._stopping:
                return None
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(worker)
        return worker.await_task()


class _Worker(threading.Thread):
    """One thread, which asks for a connection to serve until there is none any more."""

    def __init__(self, name: str, ask: Callable[[_Worker], Channel | None]) -> None:
        super().__init__(name=name, daemon=True)
        self._ask = ask
        self._task: Channel | None = None
        # Held, but for the moment from being given a task to taking it.
        self._given = threading.Lock()
        self._given.acquire()

    def give(self, task: Channel | None) -> None:
        """Wake the thread, which is idle, to serve a connection, or to end."""
        self._task = task
        self._given.release()

    def await_task(self) -> Channel | None:
        """Wait, in the thread itself, to be given one."""
        self._given.acquire()
        task, self._task = self._task, None
        return task

    def run(self) -> None:
        """Serve connections (threading)."""
        while (task := self._ask(self)) is not None:
            try:
                task.service()
            except BaseException:
                # Whatever it was, the thread has others to serve.
                log.exception("a request could not be answered")
            # An idle thread keeps no connection alive.
            del task
