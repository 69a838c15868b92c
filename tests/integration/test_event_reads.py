"""The cached and conditional reads of events over real servers and sockets, under a clock that a test moves."""

from __future__ import annotations

import functools
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
import redis

from aurora_atlan.config import Settings
from aurora_atlan.http import app as app_module
from aurora_atlan.http.answer_cache import AnswerCache
from aurora_atlan.http.event_reads import EventReads
from aurora_atlan.http.server import Server
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.errors import StoreUnavailableError
from aurora_atlan.persistence.users import UserStore
from aurora_atlan.supervisor import Supervisor

LIST = "/api/events/view"
EVENT = {"name": "Concert", "venue": "Hall", "time": "2027-06-01T20:00:00+02:00", "capacity": 10}
CROWD = 32


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Api:
    """A client of a running server, whose cache of events goes by ``clock``."""

    supervisor: Supervisor
    port: int
    issuer: TokenIssuer
    clock: Clock

    def call(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, response.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def event(self, **changes: Any) -> int:
        """Create an event as an administrator and return its id."""
        created = self.call("POST", "/api/events/create", {**EVENT, **changes}, self.issuer.issue(1, "ADMIN", 1))
        assert created.status == 201
        event_id: int = created.json["id"]
        return event_id

    def at_once(self, count: int, path: str) -> list[Answer]:
        """Let so many clients ask at once."""
        barrier, answers = threading.Barrier(count), []

        def ask() -> None:
            barrier.wait(20)
            answers.append(self.get(path))

        threads = [threading.Thread(target=ask) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(answers) == count
        return answers

    def later(self) -> None:
        """Let what is kept grow too old, here and in Redis, whose clock nobody moves."""
        self.clock.now += 1.0
        self.forget_shared()

    def forget_shared(self) -> None:
        """Let nothing be shared any more."""
        with closing(redis.Redis.from_url(self.supervisor.settings.redis_url)) as client:
            shared = [*client.scan_iter("*:shown:*"), *client.scan_iter("*:lists:*")]
            if shared:
                client.delete(*shared)


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def api(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    clock = Clock()
    monkeypatch.setattr(app_module, "EventReads", functools.partial(EventReads, clock=clock))
    settings = replace(settings, threads=CROWD)
    supervisor = Supervisor(settings)
    # Views stay countable in memory: what is flushed between two looks would be missing in one of them.
    monkeypatch.setattr(supervisor.impressions, "flush", lambda: None)
    server = Server(supervisor, settings)
    supervisor.start()
    server.start()
    try:
        wait_until(lambda: supervisor.health().ready)
        yield Api(supervisor, server.port, TokenIssuer(settings), clock)
    finally:
        server.stop(5)
        supervisor.stop(10)


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counts those who wait for somebody else's answer, and can no longer miss it."""
    joined = threading.Semaphore(0)
    wait = AnswerCache._wait

    def told(cache: Any, read: Any) -> Any:
        joined.release()
        return wait(cache, read)

    monkeypatch.setattr(AnswerCache, "_wait", told)
    return joined


def sell(sql: psycopg.Connection[Any], event_id: int, sold: int) -> None:
    """Change the truth, as another process would."""
    sql.execute("UPDATE event_inventory SET sold = %s WHERE event_id = %s", (sold, event_id))


def test_what_is_shown_is_at_most_a_second_old(api: Api, sql: psycopg.Connection[Any]):
    event_id = api.event()
    one = f"/api/events/{event_id}/view"

    def booked() -> tuple[int, int]:
        [listed] = api.get(LIST).json
        return api.get(one).json["booked"], listed["booked"]

    assert booked() == (0, 0)
    sell(sql, event_id, 3)
    api.clock.now += 0.999
    api.forget_shared()
    assert booked() == (0, 0)
    api.clock.now += 0.001
    assert booked() == (3, 3)


@pytest.mark.parametrize("expired", [False, True])
@pytest.mark.parametrize("path", [LIST, "/api/events/{}/view", "/api/events/view?q=concert&limit=7"])
def test_a_crowd_costs_one_query(
    api: Api, joined: threading.Semaphore, monkeypatch: pytest.MonkeyPatch, path: str, expired: bool
):
    """Of 32 who ask at once one reaches PostgreSQL; it answers when all others wait for it."""
    path = path.format(api.event())
    if expired:
        assert api.get(path).status == 200
        api.later()
    events, queries = api.supervisor.events, []

    def counted(ask: Callable[..., Any], *arguments: Any) -> Any:
        queries.append(arguments)
        for _ in range(CROWD - 1):
            assert joined.acquire(timeout=10)
        return ask(*arguments)

    monkeypatch.setattr(events, "get", functools.partial(counted, events.get))
    monkeypatch.setattr(events, "page", functools.partial(counted, events.page))
    answers = api.at_once(CROWD, path)

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert len(queries) == 1
    assert api.get(path).status == 200
    assert len(queries) == 1


@pytest.mark.parametrize(("error", "status"), [(StoreUnavailableError("away"), 503), (RuntimeError("broken"), 500)])
def test_a_crowd_is_told_the_error_and_the_next_one_asks_again(
    api: Api,
    joined: threading.Semaphore,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
):
    path = f"/api/events/{api.event()}/view"
    queries = []

    def failing(*arguments: Any) -> Any:
        queries.append(arguments)
        for _ in range(CROWD - 1):
            assert joined.acquire(timeout=10)
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(api.supervisor.events, "get", failing)
        answers = api.at_once(CROWD, path)
    assert [answer.status for answer in answers] == [status] * CROWD
    assert len({answer.json["requestId"] for answer in answers}) == CROWD
    assert len(queries) == 1
    assert api.get(path).json["impressions"] == 1


def test_every_view_of_a_crowd_is_counted_once(api: Api):
    event_id = api.event()
    path = f"/api/events/{event_id}/view"
    tag = api.get(path).headers["etag"]
    api.at_once(CROWD, path)
    assert api.get(path, If_None_Match=tag).status == 304
    assert api.call("HEAD", path).status == 200
    assert api.supervisor.impressions.pending(event_id) == CROWD + 2
    api.later()
    assert api.get(path).json["impressions"] == CROWD + 3


def test_a_created_event_is_shown_at_once(api: Api):
    assert api.get(LIST).json == []
    assert api.get("/api/events/view?q=concert").json == []
    event_id = api.event()
    shown = api.get(f"/api/events/{event_id}/view").json
    assert api.get(LIST).json == [shown]
    assert api.get("/api/events/view?q=concert").json == [shown]


def test_an_event_that_was_looked_for_before_it_existed_is_shown_at_once(api: Api):
    event_id = api.event()
    assert api.get(f"/api/events/{event_id + 1}/view").status == 404
    assert api.event() == event_id + 1
    assert api.get(f"/api/events/{event_id + 1}/view").status == 200


def test_a_read_that_began_before_an_event_was_created_is_not_kept(api: Api, monkeypatch: pytest.MonkeyPatch):
    """It answers those who asked before; all who ask after the 201 find the event."""
    page = api.supervisor.events.page
    read, may_answer = threading.Event(), threading.Event()
    answers = []

    def held(*arguments: Any) -> Any:
        events = page(*arguments)
        read.set()
        assert may_answer.wait(20)
        return events

    monkeypatch.setattr(api.supervisor.events, "page", held)
    early = threading.Thread(target=lambda: answers.append(api.get(LIST)))
    early.start()
    assert read.wait(10)
    monkeypatch.setattr(api.supervisor.events, "page", page)

    event_id = api.event()
    assert [event["id"] for event in api.get(LIST).json] == [event_id]
    may_answer.set()
    early.join(20)

    [answer] = answers
    assert answer.json == []
    assert [event["id"] for event in api.get(LIST).json] == [event_id]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/api/events/view?limit=1", "/api/events/{}/view"])
def test_what_is_unchanged_is_not_sent_again(api: Api, path: str, method: str):
    path = path.format(api.event())
    api.event()
    full = api.get(path)
    assert full.status == 200
    assert full.headers["cache-control"] == "no-cache"

    for sent in (full.headers["etag"], f"W/{full.headers['etag']}", f'"x", {full.headers["etag"]}', "*"):
        same = api.call(method, path, If_None_Match=sent)
        assert (same.status, same.body) == (304, b"")
        for header in ("etag", "cache-control", "link"):
            assert same.headers.get(header) == full.headers.get(header)
    other = api.call(method, path, If_None_Match='"x"')
    assert other.status == 200
    assert other.headers["content-length"] == str(len(full.body))


def test_a_sale_changes_the_tags_and_a_view_does_not(api: Api):
    event_id = api.event()
    one = f"/api/events/{event_id}/view"

    def tags() -> tuple[str, str]:
        api.later()
        return api.get(one).headers["etag"], api.get(LIST).headers["etag"]

    before = tags()
    assert before[0].startswith('"1.')
    assert tags() == before
    assert api.get(LIST).json[0]["impressions"] == 2

    [buyer] = UserStore(api.supervisor.database).create_synthetic(1)
    token = api.issuer.issue(buyer, "USER", 1)
    booked = api.call("POST", f"/api/bookings/{event_id}/book", token=token)
    assert booked.status == 202
    wait_until(lambda: api.get(booked.json["statusEndpoint"]).json["status"] == "completed")

    after = tags()
    assert after[0].startswith('"1.')
    assert after[0] != before[0]
    assert after[1] != before[1]
    changed = api.get(one, If_None_Match=before[0])
    assert (changed.status, changed.json["booked"]) == (200, 1)
