"""Calls that block, made for coroutines in a few threads of our own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aurora_atlan.actors.errors import UnavailableError

T = TypeVar("T")

# A call waits for a store most of its time.
_THREADS_MAX = 16


class AsyncCallers:
    """The threads; none before the first call. The event loop's own executor is left to its host."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    async def run(self, call: Callable[[], T]) -> T:
        """Return what the call returns, or raise what it raises; its context is the coroutine's."""
        context = contextvars.copy_context()
        with self._lock:
            if self._closed:
                raise UnavailableError("the service is stopping; try again")
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix="aurora-async")
            made = self._threads.submit(context.run, call)
        return await asyncio.wrap_future(made)

    def close(self) -> None:
        """Take no more calls, and wait for those that were made; each gives up within seconds."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()
