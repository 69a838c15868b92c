"""Events as PostgreSQL told them to any process, shared through Redis for a moment.

Redis only spares PostgreSQL questions. While it is away or slow, each process asks for itself.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import orjson
import redis

from aurora_atlan.persistence import scripts
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.events import Event, EventFilter, EventStore
from aurora_atlan.persistence.fallback import Fallback
from aurora_atlan.persistence.queue_keys import event_tag, shard_tag

# Nothing is told that PostgreSQL told longer ago.
MAX_AGE_S = 1.0
# Of one process. Redis writes each to its log on disk, in the way of bookings; what many ask for is among them.
_KEPT_PER_S_MAX = 100
# Longer lists are each process's own: Redis holds at most a second's worth of what is kept.
_SIZE_MAX = 65_536
_CHANGES_KEPT_S = 60

_FIELDS = [field.name for field in fields(Event)]
_TIMES = [field.name for field in fields(Event) if "datetime" in str(field.type)]
# In every name, so that versions of this program that know other fields share nothing.
_FORMAT = hashlib.sha256(",".join(_FIELDS).encode()).hexdigest()[:8]
_LISTS = f"{shard_tag(0)}lists:"
_LISTS_CHANGES = _LISTS + "changes"


@dataclass(frozen=True, slots=True)
class Shown:
    """Events as they were a moment ago."""

    events: Sequence[Event]
    # How long ago PostgreSQL was asked for them, at most; 0.0 when it was asked now.
    age_s: float


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something is shared, or may be."""

    keys: tuple[str, str]
    # Before PostgreSQL is asked.
    changes: bytes
    # On Redis's clock.
    tell_until_ms: int
    shown: Shown | None


_CLOCK_STEP_MS = 10


class SharedEvents:
    """Events at most ``MAX_AGE_S`` old, by PostgreSQL or by what another process heard of it. Thread-safe.

    Methods that return events raise the errors of :mod:`aurora_atlan.persistence.errors` for PostgreSQL, none for
    Redis.
    """

    def __init__(self, events: EventStore, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = events
        self._client = client
        self._scripts = scripts.Runner(client)
        self._clock = clock
        self._look_up = scripts.load("look_up_shown")
        self._keep = scripts.load("keep_shown")
        self._count_change = scripts.load("count_change")
        # For as long as anything lives there: what a change could not make void is gone when Redis is asked again.
        self._fallback = Fallback(MAX_AGE_S, clock)
        # Guards the two below.
        self._lock = threading.Lock()
        self._second_began = 0.0
        self._kept = 0

    def close(self) -> None:
        """Close the connections to Redis."""
        self._client.close()

    def get(self, event_id: int) -> Shown:
        """Return the event, alone; no event when there is none, or it is gone."""

        def ask() -> list[Event]:
            event = self._store.get(event_id)
            return [] if event is None else [event]

        return self._read((f"{event_tag(event_id)}event:{event_id}:shown:{_FORMAT}", _changes_key(event_id)), ask)

    def page(self, limit: int, after_id: int | None, only: EventFilter) -> Shown:
        """Return a page of events; see :meth:`EventStore.page`."""
        query = orjson.dumps([limit, after_id, only.text, only.from_time, only.to_time])
        # By its hash: what a client asks for may be long.
        name = hashlib.sha256(query).hexdigest()
        return self._read(
            (f"{_LISTS}{_FORMAT}:{name}", _LISTS_CHANGES), lambda: self._store.page(limit, after_id, only)
        )

    def forget(self, event_id: int) -> None:
        """Tell no process any more what the event, and every list, was like before now."""
        self._forget(_changes_key(event_id), _LISTS_CHANGES)

    def forget_lists(self) -> None:
        """Tell no process any more what any list was like before now."""
        self._forget(_LISTS_CHANGES)

    def _read(self, keys: tuple[str, str], ask: Callable[[], list[Event]]) -> Shown:
        place = self._place(keys)
        if place is not None and place.shown is not None:
            return place.shown
        events = ask()
        if place is not None and events:
            self._share(place, events)
        return Shown(events, 0.0)

    def _place(self, keys: tuple[str, str]) -> _Place | None:
        permit = self._fallback.permit()
        if permit is None:
            return None
        try:
            [(changes, now_ms, left_ms, *shared)] = self._scripts.run([scripts.Call(self._look_up, keys, [])])
        except StoreError:
            self._fallback.failed()
            return None
        self._fallback.worked(permit)
        shown = None
        # More is left than was given only if Redis's clock was set back since: then nobody knows how old it is. By a
        # millisecond Redis may be ahead of its own clock.
        if shared and left_ms <= MAX_AGE_S * 1000 + _CLOCK_STEP_MS:
            age_s = max(0.0, MAX_AGE_S - left_ms / 1000)
            with suppress(ValueError, TypeError, KeyError):
                shown = Shown(_decoded(shared[0]), age_s)
        return _Place(keys, changes, now_ms + round(MAX_AGE_S * 1000), shown)

    def _share(self, place: _Place, events: list[Event]) -> None:
        if not self._may_keep():
            return
        body = orjson.dumps(events)
        if len(body) > _SIZE_MAX:
            return
        try:
            self._scripts.run([scripts.Call(self._keep, place.keys, [place.changes, place.tell_until_ms, body])])
        except StoreError:
            self._fallback.failed()

    def _forget(self, *changes_keys: str) -> None:
        # Whatever failed before: other processes may share all the same.
        calls = [scripts.Call(self._count_change, [key], [_CHANGES_KEPT_S]) for key in changes_keys]
        try:
            self._scripts.run(calls)
        except StoreError:
            self._fallback.failed()

    def _may_keep(self) -> bool:
        now = self._clock()
        with self._lock:
            if now - self._second_began >= 1.0:
                self._second_began, self._kept = now, 0
            self._kept += 1
            return self._kept <= _KEPT_PER_S_MAX


def _changes_key(event_id: int) -> str:
    return f"{event_tag(event_id)}event:{event_id}:changes"


def _decoded(body: bytes) -> list[Event]:
    return [_event(row) for row in orjson.loads(body)]


def _event(row: dict[str, Any]) -> Event:
    for name in _TIMES:
        if row[name] is not None:
            row[name] = datetime.fromisoformat(row[name])
    return Event(**row)
