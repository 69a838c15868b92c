"""Which events were found paused: their actors need not ask again before the pause is over."""

from __future__ import annotations

import threading
from collections.abc import Collection


class Pauses:
    """The events that this process has found paused. Any thread may call any method.

    That one is among them decides nothing: it only spares asking.
    """

    def __init__(self) -> None:
        # Guards changes.
        self._lock = threading.Lock()
        self._events: set[int] = set()

    def __contains__(self, event_id: int) -> bool:
        return event_id in self._events

    def known(self) -> list[int]:
        """Return the events."""
        with self._lock:
            return list(self._events)

    def found(self, event_id: int) -> None:
        """Note that the event was paused when its batch was to be decided."""
        with self._lock:
            self._events.add(event_id)

    def over(self, event_ids: Collection[int]) -> None:
        """Forget these: what waits for them is to be asked for again."""
        with self._lock:
            self._events.difference_update(event_ids)
