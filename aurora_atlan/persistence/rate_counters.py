"""Counts requests in fixed windows: in this process's memory, or in Redis for all processes together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import RedisStorage

from aurora_atlan.persistence.redis_clients import Client

_PREFIX = "aa:limits"
# Which limits wants to see, but does not look at when it is given connections.
_UNUSED_URL = "redis://"
# Windows that are over are forgotten when there are twice as many as were alive last time, and at least so many.
_KEPT_MIN = 10_000


class MemoryCounters:
    """Counters of this process. Any thread may call it.

    Not ``limits``' own: those start a thread a hundred times a second, which walks over all counters.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # The count, and when its window ends.
        self._windows: dict[Hashable, tuple[int, float]] = {}
        self._forget_at = _KEPT_MIN

    def hit(self, key: Hashable, window_s: int) -> tuple[int, float]:
        """Count one; return the count in the present window, and the seconds until it ends."""
        now = self._clock()
        with self._lock:
            count, ends_at = self._windows.get(key, (0, 0.0))
            if ends_at <= now:
                count, ends_at = 0, now + window_s
                if len(self._windows) >= self._forget_at:
                    self._forget(now)
            self._windows[key] = (count + 1, ends_at)
        return count + 1, ends_at - now

    def _forget(self, now: float) -> None:
        self._windows = {key: window for key, window in self._windows.items() if window[1] > now}
        self._forget_at = max(_KEPT_MIN, 2 * len(self._windows))


class RateCounters:
    """The counters behind the rate limits; connects to nothing before the first hit that needs it.

    While Redis is out of reach, what is counted there is counted in memory: each process then allows as much as
    all of them should together, and nobody is refused for Redis's sake.
    """

    def __init__(self, client: Client | None, redis_is_away: Callable[[], bool]) -> None:
        """Count by a client that :meth:`close` closes; without one all is counted in memory."""
        self._redis_is_away = redis_is_away
        self._memory = MemoryCounters()
        self._client = client
        self._redis = None if client is None else _redis_counters(client)

    def hit_here(self, limit: RateLimitItem, *who: str) -> float | None:
        """Count one in this process; return None within the limit, else the seconds until the next window.

        ``who`` begins with the name of the limit.
        """
        # Not limit.key_for(), which spells a key for Redis: that was half of what counting costs.
        count, left_s = self._memory.hit(who, limit.get_expiry())
        return None if count <= limit.amount else left_s

    def hit_everywhere(self, limit: RateLimitItem, *who: str) -> float | None:
        """Count one in all processes; return None within the limit, else the seconds until the next window."""
        if self._redis is None or self._redis_is_away():
            return self.hit_here(limit, *who)
        key = limit.key_for(*who)
        try:
            if self._redis.incr(key, limit.get_expiry()) <= limit.amount:
                return None
            return max(0.0, self._redis.get_expiry(key) - time.time())
        except StorageError:
            return self.hit_here(limit, *who)

    def close(self) -> None:
        """Close the connections to Redis."""
        if self._client is not None:
            self._client.close()


def _redis_counters(client: Client) -> RedisStorage:
    return RedisStorage(_UNUSED_URL, client.connection_pool, key_prefix=_PREFIX, wrap_exceptions=True)
