"""A breaker: open while a dependency fails, closed again by one probe or by work that succeeds."""

from __future__ import annotations

import logging
import threading

log = logging.getLogger(__name__)


class Breaker:
    """Remembers whether a dependency fails, and why. Any thread may open or close it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._reason: str | None = None
        # Counted since the start.
        self.failures = 0

    @property
    def is_open(self) -> bool:
        """True while the dependency fails."""
        return self._reason is not None

    @property
    def reason(self) -> str | None:
        """Why it is open; None while it is closed."""
        return self._reason

    def open(self, reason: str) -> None:
        """Note that the dependency fails."""
        with self._lock:
            self.failures += 1
            opened = self._reason is None
            self._reason = reason
        if opened:
            log.warning("%s fails, and is tried again until it works: %s", self.name, reason)

    def close(self) -> bool:
        """Note that the dependency works; True when it did not before."""
        with self._lock:
            closed = self._reason is not None
            self._reason = None
        if closed:
            log.warning("%s works again", self.name)
        return closed
