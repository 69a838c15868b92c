"""Messages to be told later. One thread, the supervisor's, tells them."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Any

from aurora_atlan.actors.supervised import Ref, tell


class Scheduler:
    """A heap of messages by the time they are due, on the clock it is given."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._due: list[tuple[float, int, Ref, Any]] = []
        # Set when something earlier than anything before was scheduled, or somebody rings.
        self.wake = threading.Event()

    def after(self, delay_s: float, ref: Ref, message: Any) -> None:
        """Tell the actor this message in ``delay_s`` seconds."""
        with self._lock:
            heapq.heappush(self._due, (self._clock() + delay_s, next(self._order), ref, message))
        self.wake.set()

    def tell_due(self) -> float | None:
        """Tell everything that is due; return the seconds until the next, None when nothing waits."""
        now = self._clock()
        due: list[tuple[Ref, Any]] = []
        with self._lock:
            while self._due and self._due[0][0] <= now:
                _, _, ref, message = heapq.heappop(self._due)
                due.append((ref, message))
            wait_s = self._due[0][0] - now if self._due else None
        for ref, message in due:
            tell(ref, message)
        return wait_s
