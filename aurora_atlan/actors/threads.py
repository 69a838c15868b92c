"""Threads that are used again: to start one costs more than all that an actor of few jobs does."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

# One that has had nothing to run for so long ends.
_IDLE_S = 10.0


class Threads:
    """Runs each call in a thread of its own, at once: in one that fell idle, or else in a new one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        # The one that fell idle last is used first, so that those too many stay idle, and end.
        self._idle: list[_Thread] = []
        self._alive: set[_Thread] = set()
        self._closed = False

    def run(self, call: Callable[[], None]) -> None:
        """Run a call; raises RuntimeError when no thread is to be had, or after :meth:`close`."""
        with self._lock:
            if self._closed:
                raise RuntimeError("no thread is started any more")
            while self._idle:
                idle = self._idle.pop()
                # A host may have thrown an exception into it.
                if idle.is_alive():
                    idle.give(call)
                    return
        new = _Thread(f"{self._name}-{next(self._numbers)}", call, self._fell_idle, self._waited_long)
        new.start()
        with self._lock:
            self._alive = {thread for thread in self._alive if thread.is_alive()} | {new}

    def close(self, deadline: float) -> None:
        """End every thread once its call has returned, and wait for that until ``deadline`` of the monotonic clock."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            alive = self._alive
        for thread in idle:
            thread.give(None)
        for thread in alive:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _fell_idle(self, thread: _Thread) -> bool:
        # False: it shall end.
        with self._lock:
            if not self._closed:
                self._idle.append(thread)
            return not self._closed

    def _waited_long(self, thread: _Thread) -> bool:
        # Whether it shall end; somebody may be about to give it a call.
        with self._lock:
            useless = thread in self._idle
            if useless:
                self._idle.remove(thread)
            return useless


class _Thread(threading.Thread):
    """Runs the calls that it is given, one after the other."""

    def __init__(
        self,
        name: str,
        call: Callable[[], None],
        fell_idle: Callable[[_Thread], bool],
        waited_long: Callable[[_Thread], bool],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._call: Callable[[], None] | None = call
        self._fell_idle = fell_idle
        self._waited_long = waited_long
        # Held, but for the moment from being given a call to taking it.
        self._given = threading.Lock()
        self._given.acquire()

    def give(self, call: Callable[[], None] | None) -> None:
        """Wake the thread, which is idle, to run a call, or to end."""
        self._call = call
        self._given.release()

    def run(self) -> None:
        """Run calls (threading)."""
        while self._call is not None:
            # An idle thread keeps nothing alive.
            call, self._call = self._call, None
            try:
                call()
            except BaseException:
                log.exception("what %s ran has failed", self.name)
            del call
            if not self._fell_idle(self):
                return
            while not self._given.acquire(timeout=_IDLE_S):
                if self._waited_long(self):
                    return
