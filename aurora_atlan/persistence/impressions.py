"""Page views, counted in memory and flushed in batches: a view never touches the sale's row."""

from __future__ import annotations

import threading
from collections import Counter

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.database import Database


class ImpressionCounter:
    """Counts views of events that exist; thread-safe. What was not flushed when the process dies is lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._add = queries.load("impressions")["add"]
        self._lock = threading.Lock()
        self._waiting: Counter[int] = Counter()
        # What flush() is writing; still part of what readers add to the stored number.
        self._in_flight: Counter[int] = Counter()
        self._flushing = threading.Lock()

    def count(self, event_id: int) -> int:
        """Count one view and return how many of this event's, with it, are not in the database yet."""
        with self._lock:
            self._waiting[event_id] += 1
            return self._waiting[event_id] + self._in_flight[event_id]

    def pending(self, event_id: int) -> int:
        """Return how many of this event's views are not in the database yet."""
        with self._lock:
            return self._waiting[event_id] + self._in_flight[event_id]

    def flush(self, within_s: float | None = None) -> None:
        """Write what was counted, in one statement; nothing is lost when it raises an error of the store.

        With ``within_s`` PostgreSQL is not waited for longer than that.
        When COMMIT's answer is lost, the views of that batch may be counted twice.
        """
        with self._flushing:
            with self._lock:
                if not self._waiting:
                    return
                self._in_flight, self._waiting = self._waiting, Counter()
                batch = dict(self._in_flight)
            try:
                with self._database.transaction(within_s) as connection:
                    connection.execute(self._add, {"event_ids": list(batch), "views": list(batch.values())})
            except BaseException:
                with self._lock:
                    self._waiting.update(self._in_flight)
                    self._in_flight = Counter()
                raise
            with self._lock:
                self._in_flight = Counter()
