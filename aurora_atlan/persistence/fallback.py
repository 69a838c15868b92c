"""When to ask a store that one can do without."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Fallback:
    """After a failure nobody asks for ``pause_s`` seconds; then one tries, and the others go on doing without.

    Any thread may call any method.
    """

    def __init__(self, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._clock = clock
        # Guards changes of both.
        self._lock = threading.Lock()
        self._failures = 0
        # When to try again; None while it works.
        self._try_at: float | None = None

    def permit(self) -> int | None:
        """Return what to tell :meth:`worked` afterwards; None: do without."""
        if self._try_at is None:
            return self._failures
        with self._lock:
            if self._try_at is not None:
                now = self._clock()
                if now < self._try_at:
                    return None
                self._try_at = now + self._pause_s
            return self._failures

    def worked(self, permit: int) -> None:
        """Note that it answered who had this permit; that it failed meanwhile counts for more."""
        if self._try_at is not None:
            with self._lock:
                if permit == self._failures:
                    self._try_at = None

    def failed(self) -> None:
        """Note that it did not answer, or not well."""
        with self._lock:
            self._failures += 1
            self._try_at = self._clock() + self._pause_s
