"""Bookings have a thread of their own: nothing else that the server does holds them up, nor one the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets, Receipt, Refused, Reply
from aurora_atlan.actors.waiting import IN_THREAD, Waiting
from aurora_atlan.config import Settings
from aurora_atlan.http import app as app_module
from aurora_atlan.http.server import Server
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.events import NewEvent
from harness_http import Answer, Client
from harness_sales import wait_until
from http_fakes import NOW, SECRET, FakeSupervisor

_QUICK, _WAITS, _BLOCKS = 1, 2, 3


class _Supervisor(FakeSupervisor):
    """Accepts bookings of one event at once, of another when it is told to, of a third after something blocked."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.replies: list[Reply] = []
        self.go_on = threading.Event()
        self.blocked = threading.Semaphore(0)

    def submit(self, attempt: BookTickets, waiting: Waiting = IN_THREAD) -> Receipt:
        if attempt.event_id == _WAITS:
            reply = waiting.reply()
            self.replies.append(reply)
            if reply.wait(10) is None:
                raise UnavailableError("no answer")
        elif attempt.event_id == _BLOCKS:
            waiting.aside(self._block)
        return super().submit(attempt)

    def status(self, job_id: Any) -> Any:
        self._block()
        return super().status(job_id)

    def _block(self) -> None:
        self.blocked.release()
        assert self.go_on.wait(10)


@dataclass
class _Stage:
    """A server with two workers, and its clients."""

    supervisor: _Supervisor
    server: Server
    answers: list[Answer] = field(default_factory=list)
    clients: list[threading.Thread] = field(default_factory=list)

    def client(self, user_id: int = 7) -> Client:
        issuer = TokenIssuer(self.supervisor.settings)
        return Client(f"http://127.0.0.1:{self.server.port}", issuer.issue(user_id, "USER", 1))

    def book_meanwhile(self, event_id: int) -> None:
        def book() -> None:
            with self.client() as client:
                self.answers.append(client.book(event_id))

        self._meanwhile(book)

    def ask_meanwhile(self) -> None:
        def ask() -> None:
            with self.client() as client:
                client.get("/api/bookings/status/2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1")

        self._meanwhile(ask)

    def _meanwhile(self, act: Any) -> None:
        self.clients.append(threading.Thread(target=act, daemon=True))
        self.clients[-1].start()

    def join(self) -> None:
        for client in self.clients:
            client.join(10)
            assert not client.is_alive()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Stage]:
    supervisor = _Supervisor(Settings(jwt_secret=SECRET, port=0, ops_port=None, threads=2, rate_limits="off"))
    monkeypatch.setattr(app_module, "UserStore", lambda _database: supervisor.users)
    for name in ("quick", "waits", "blocks"):
        supervisor.events.create(_event(name))
    server = Server(supervisor, supervisor.settings)  # type: ignore[arg-type]
    server.start()
    yield _Stage(supervisor, server)
    supervisor.go_on.set()
    server.stop(5)


def _event(name: str) -> NewEvent:
    return NewEvent(name, "Hall", NOW, 100)


def test_more_bookings_wait_at_once_than_there_are_threads(stage: _Stage) -> None:
    """Fifty wait for their receipts; all are answered as soon as these are there."""
    for _ in range(50):
        stage.book_meanwhile(_WAITS)
    wait_until(lambda: len(stage.supervisor.replies) == 50, 10, "all fifty wait")
    with stage.client() as client:
        assert client.book(_QUICK).status == 202
    for reply in stage.supervisor.replies:
        reply.set(Refused("whatever", attempted=False))
    stage.join()

    assert [answer.status for answer in stage.answers] == [202] * 50


def test_a_booking_is_not_held_up_by_requests_that_block_every_worker(stage: _Stage) -> None:
    """A store that does not answer keeps the workers; accepting needs none of them."""
    for _ in range(2):
        stage.ask_meanwhile()
        assert stage.supervisor.blocked.acquire(timeout=10)

    with stage.client() as client:
        assert client.book(_QUICK).status == 202
    stage.supervisor.go_on.set()
    stage.join()


def test_a_booking_that_blocks_holds_up_no_other(stage: _Stage) -> None:
    """Its event must be looked up in a database that does not answer; other events' queues are known."""
    stage.book_meanwhile(_BLOCKS)
    assert stage.supervisor.blocked.acquire(timeout=10)

    with stage.client() as client:
        assert client.book(_QUICK).status == 202
    assert stage.answers == []
    stage.supervisor.go_on.set()
    stage.join()
    assert [answer.status for answer in stage.answers] == [202]


def test_a_stop_answers_bookings_that_wait(stage: _Stage) -> None:
    """They may have been accepted, so their clients are told."""
    stage.book_meanwhile(_WAITS)
    wait_until(lambda: stage.supervisor.replies, 10, "it waits")
    stopping = threading.Thread(target=stage.server.stop, args=(10,))
    stopping.start()
    stage.supervisor.replies[0].set(Refused("whatever", attempted=False))
    stopping.join(10)
    stage.join()

    assert [answer.status for answer in stage.answers] == [202]
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("aurora-http")]
