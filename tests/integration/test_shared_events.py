"""Events that processes share through Redis: asked once for all, never old, never in the way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis

from aurora_atlan.config import Settings
from aurora_atlan.http.event_reads import EventReads
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.embedded import EmbeddedRedis
from aurora_atlan.persistence.events import Event, EventFilter, EventStore, NewEvent
from aurora_atlan.persistence.impressions import ImpressionCounter
from aurora_atlan.persistence.redis_clients import cache_client
from aurora_atlan.persistence.shared_events import MAX_AGE_S, SharedEvents, Shown

ALL = EventFilter()


class CountingStore(EventStore):
    """PostgreSQL; counts the questions, and calls ``meanwhile``, once, when it has told and nobody has heard."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.asked = 0
        self.meanwhile: Callable[[], None] | None = None

    def get(self, event_id: int) -> Event | None:
        event = super().get(event_id)
        self._told()
        return event

    def page(self, limit: int, after_id: int | None = None, only: EventFilter = ALL) -> list[Event]:
        events = super().page(limit, after_id, only)
        self._told()
        return events

    def _told(self) -> None:
        self.asked += 1
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


class Processes:
    """What several processes over the same stores have of the events."""

    def __init__(self, settings: Settings, sql: psycopg.Connection[Any], stack: ExitStack) -> None:
        self._settings = settings
        self._sql = sql
        self._stack = stack
        database = Database(settings)
        database.open()
        stack.callback(database.close)
        self.store = CountingStore(database)
        self.impressions = ImpressionCounter(database)

    def another(self, *, clock: Callable[[], float] = time.monotonic) -> SharedEvents:
        shared = SharedEvents(self.store, cache_client(self._settings), clock=clock)
        self._stack.callback(shared.close)
        return shared

    def event(self, **changes: Any) -> Event:
        new = NewEvent("Concert", "Hall", datetime(2027, 6, 1, 20, 0, tzinfo=UTC), 100)
        return self.store.create(replace(new, **changes))

    def rename(self, event: Event, name: str) -> None:
        """Change the truth and tell nobody."""
        self._sql.execute("UPDATE events SET name = %s WHERE id = %s", (name, event.id))


@pytest.fixture
def processes(settings: Settings, sql: psycopg.Connection[Any]) -> Iterator[Processes]:
    with ExitStack() as stack:
        yield Processes(settings, sql, stack)


def one(shared: SharedEvents, event: Event) -> Shown:
    return shared.get(event.id)


def listed(shared: SharedEvents, _: Event) -> Shown:
    return shared.page(10, None, ALL)


Look = Callable[[SharedEvents, Event], Shown]
BOTH = pytest.mark.parametrize("look", [one, listed])


def names(shown: Shown) -> list[str]:
    return [event.name for event in shown.events]


@BOTH
def test_what_one_process_has_read_another_does_not_ask_for(processes: Processes, look: Look) -> None:
    opens_at = datetime(2027, 5, 1, 8, 30, 0, 123_456, tzinfo=UTC)
    event = processes.event(name="Künste & Co. \u2028", opens_at=opens_at)
    here, there = processes.another(), processes.another()

    assert look(here, event) == Shown([event], 0.0)
    shown = look(there, event)

    assert shown.events == [event]
    assert 0.0 <= shown.age_s < MAX_AGE_S
    assert processes.store.asked == 1


def test_what_another_process_has_read_is_rendered_alike(processes: Processes) -> None:
    event = processes.event()

    def reads() -> EventReads:
        return EventReads(processes.store, processes.another(), processes.impressions, wait_max_s=1.0)

    first, second = (reads().event(event.id, count=False) for _ in range(2))

    assert processes.store.asked == 1
    assert first is not None
    assert second is not None
    assert (first.body, first.headers) == (second.body, second.headers)


@BOTH
def test_a_change_is_seen_by_every_process_when_it_is_told(processes: Processes, look: Look) -> None:
    event = processes.event()
    here, there = processes.another(), processes.another()
    assert names(look(here, event)) == ["Concert"]
    processes.rename(event, "Ball")
    assert names(look(there, event)) == ["Concert"]

    here.forget(event.id)

    assert names(look(there, event)) == names(look(here, event)) == ["Ball"]


def test_a_created_event_is_in_every_list_when_it_is_told(processes: Processes) -> None:
    event = processes.event()
    here, there = processes.another(), processes.another()
    assert names(listed(here, event)) == ["Concert"]
    processes.event(name="Ball")

    here.forget_lists()

    assert names(listed(there, event)) == ["Concert", "Ball"]


@BOTH
def test_what_was_read_before_a_change_is_not_shared_after_it(processes: Processes, look: Look) -> None:
    """The reader has the old row, the change is made and told, and only then the reader shares what it has."""
    event = processes.event()
    here, there, elsewhere = (processes.another() for _ in range(3))

    def change() -> None:
        processes.rename(event, "Ball")
        there.forget(event.id)

    processes.store.meanwhile = change
    assert names(look(here, event)) == ["Concert"]

    assert names(look(elsewhere, event)) == ["Ball"]


def test_what_it_shares_is_gone_after_a_second(
    processes: Processes, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted from before PostgreSQL was asked: what took longer to read is not shared at all."""
    event = processes.event()
    here, there = processes.another(), processes.another()
    with redis.Redis.from_url(redis_url) as client:
        one(here, event)
        [key] = client.scan_iter("*:shown:*")
        assert 0 < client.pttl(key) <= MAX_AGE_S * 1000
        client.delete(key)

        def too_long() -> None:
            # Until Redis's own clock is past what it told before PostgreSQL was asked.
            began = client.time()
            while client.time() < (began[0] + 1, began[1]):
                time.sleep(0.01)

        processes.store.meanwhile = too_long
        one(here, event)
        assert list(client.scan_iter("*:shown:*")) == []
    processes.rename(event, "Ball")
    assert names(one(there, event)) == ["Ball"]


def test_an_event_that_does_not_exist_leaves_nothing_in_redis(processes: Processes, redis_url: str) -> None:
    assert processes.another().get(4711).events == []
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_each_process_shares_only_so_much_in_a_second(processes: Processes, redis_url: str) -> None:
    """Whoever asks for thousands of different lists fills nobody's memory and holds up no booking."""
    processes.event()
    now = [1000.0]
    shared = processes.another(clock=lambda: now[0])
    for limit in range(1, 121):
        shared.page(limit, None, ALL)
    with redis.Redis.from_url(redis_url) as client:
        kept = client.dbsize()
        assert 0 < kept <= 100
        # Unless a slow machine took more than a second for that.
        now[0] += 1.0
        client.flushall()
        shared.page(1, None, ALL)
        assert client.dbsize() == 1


def test_long_lists_stay_with_their_process(processes: Processes, redis_url: str) -> None:
    name = "x" * 200
    for _ in range(200):
        processes.event(name=name)
    assert len(processes.another().page(200, None, ALL).events) == 200
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_what_another_version_shares_is_not_understood_and_not_told(processes: Processes, redis_url: str) -> None:
    event = processes.event()
    here, there = processes.another(), processes.another()
    one(here, event)
    with redis.Redis.from_url(redis_url) as client:
        [key] = client.scan_iter("*:shown:*")
        for nonsense in (b"", b"{", b"[{}]", b'[{"id":1}]', b"[7]", b'{"a":1}'):
            client.hset(key, "events", nonsense)
            client.pexpire(key, 1000)
            assert there.get(event.id) == Shown([event], 0.0)


@BOTH
def test_without_redis_every_process_asks_for_itself(
    settings: Settings, sql: psycopg.Connection[Any], own_redis: EmbeddedRedis, look: Look
) -> None:
    with ExitStack() as stack:
        processes = Processes(replace(settings, redis_url=own_redis.url()), sql, stack)
        event = processes.event()
        here = processes.another()
        own_redis.stop()

        assert names(look(here, event)) == ["Concert"]
        processes.rename(event, "Ball")
        here.forget(event.id)
        assert names(look(here, event)) == ["Ball"]


def test_a_redis_that_hangs_is_waited_for_a_moment_and_then_left_alone(
    settings: Settings, sql: psycopg.Connection[Any], own_redis: EmbeddedRedis
) -> None:
    """And what it shared before a change that it was not told of is never believed by who made the change."""
    with ExitStack() as stack:
        processes = Processes(replace(settings, redis_url=own_redis.url()), sql, stack)
        event = processes.event()
        now = [1000.0]
        here, there = processes.another(clock=lambda: now[0]), processes.another()
        one(there, event)
        assert own_redis.pid is not None
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            processes.rename(event, "Ball")
            began = time.monotonic()
            here.forget(event.id)
            assert names(one(here, event)) == ["Ball"]
            assert time.monotonic() - began < settings.redis_timeout_s
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        with redis.Redis.from_url(own_redis.url()) as client:
            [key] = client.scan_iter("*:shown:*") or [None]
            if key is not None:
                client.pexpire(key, timedelta(seconds=60))
        assert names(one(here, event)) == ["Ball"]


def test_a_full_redis_takes_nothing_and_disturbs_nobody(
    settings: Settings, sql: psycopg.Connection[Any], own_redis: EmbeddedRedis
) -> None:
    with ExitStack() as stack:
        processes = Processes(replace(settings, redis_url=own_redis.url()), sql, stack)
        event = processes.event()
        with redis.Redis.from_url(own_redis.url()) as client:
            client.config_set("maxmemory", 1)
            for _ in range(2):
                assert names(one(processes.another(), event)) == ["Concert"]
            here = processes.another()
            processes.rename(event, "Ball")
            here.forget(event.id)
            assert names(one(here, event)) == ["Ball"]


@BOTH
def test_what_seems_to_come_from_the_future_is_not_told(
    processes: Processes, redis_client: redis.Redis, look: Look
) -> None:
    """After Redis's clock was set back, what was shared before would be told as new for as long as it was set back."""
    event = processes.event()
    here, there = processes.another(), processes.another()
    look(here, event)
    [shared] = [key for key in redis_client.scan_iter(_type="hash") if redis_client.hexists(key, "events")]
    redis_client.pexpire(shared, 3_600_000)
    processes.rename(event, "Changed")

    assert names(look(there, event)) == ["Changed"]
