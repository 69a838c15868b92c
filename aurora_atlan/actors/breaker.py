"""One breaker per dependency: open while it is out of reach, closed again by one probe."""

from __future__ import annotations

import logging
import threading

log = logging.getLogger(__name__)


class Breaker:
    """Remembers whether a dependency is out of reach, and why. Any thread may open or close it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._reason: str | None = None

    @property
    def is_open(self) -> bool:
        """True while the dependency is out of reach."""
        return self._reason is not None

    @property
    def reason(self) -> str | None:
        """Why it is open; None while it is closed."""
        return self._reason

    def open(self, reason: str) -> None:
        """Note that the dependency is out of reach."""
        with self._lock:
            opened = self._reason is None
            self._reason = reason
        if opened:
            log.warning("%s is out of reach: %s", self.name, reason)

    def close(self) -> bool:
        """Note that the dependency answers; True when it did not before."""
        with self._lock:
            closed = self._reason is not None
            self._reason = None
        if closed:
            log.warning("%s is back", self.name)
        return closed
