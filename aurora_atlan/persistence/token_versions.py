"""Which access tokens are void: those of an older version than their user has now."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from aurora_atlan.config import ACCESS_TOKEN_LIFETIME_MAX_S
from aurora_atlan.persistence import queries
from aurora_atlan.persistence.database import Connection

# Longer than any token lives, with ten minutes for clocks that differ.
_REMEMBERED_S = ACCESS_TOKEN_LIFETIME_MAX_S + 600.0
# A change bears the time at which its transaction began, and is seen only when that has ended. Time limits end it
# long before this is over.
_OVERLAP_S = 60.0

_CHANGED = queries.load("token_versions")["changed"]


class TokenVersions:
    """The versions of the users whose tokens were voided while some of those may still be alive.

    ``least`` is what to compare with: the least version that a user's token must have, and no entry for users
    whose tokens are all good. Reading it takes no lock. Any thread may call any method.
    """

    def __init__(self, *, remembered_s: float = _REMEMBERED_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._remembered_s = remembered_s
        self._clock = clock
        # Guards changes of all below.
        self._lock = threading.Lock()
        self._least: dict[int, int] = {}
        # When each came to be known, the oldest first.
        self._noted: deque[tuple[float, int, int]] = deque()
        # PostgreSQL's time at the last look; None before the first.
        self._looked_at: datetime | None = None
        self.least: Mapping[int, int] = MappingProxyType(self._least)

    def note(self, user_id: int, version: int) -> None:
        """Void the user's tokens of versions below this one, from now on in this process."""
        with self._lock:
            if version > self._least.get(user_id, 0):
                self._least[user_id] = version
                self._noted.append((self._clock(), user_id, version))

    def refresh(self, connection: Connection) -> None:
        """Learn what other processes changed, and forget what was changed so long ago that no token is left.

        The first look goes back as far as tokens live, each later one to a minute before the last.
        One look at a time; raises errors of the driver.
        """
        since, look_back_s = self._looked_at, _OVERLAP_S
        if since is None:
            look_back_s = self._remembered_s
        rows = connection.execute(_CHANGED, {"since": since, "look_back_s": look_back_s}).fetchall()
        for _, user_id, version in rows:
            if user_id is not None:
                self.note(user_id, version)
        self._looked_at = rows[0][0]
        self._forget()

    def _forget(self) -> None:
        with self._lock:
            forgotten = self._clock() - self._remembered_s
            while self._noted and self._noted[0][0] < forgotten:
                _, user_id, version = self._noted.popleft()
                # It may have changed again since.
                if self._least.get(user_id) == version:
                    del self._least[user_id]
