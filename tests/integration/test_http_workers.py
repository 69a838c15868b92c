"""Bookings have threads of their own: nothing else that the server does holds them up, nor they anything else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from aurora_atlan.actors.messages import BookTickets, Receipt
from aurora_atlan.config import Settings
from aurora_atlan.http import app as app_module
from aurora_atlan.http.server import Server
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.events import NewEvent
from harness_http import Answer, Client
from harness_sales import wait_until
from http_fakes import NOW, SECRET, FakeSupervisor

_QUICK, _BLOCKS = 1, 2
_THREADS, _BOOKING_THREADS = 2, 4


class _Supervisor(FakeSupervisor):
    """Accepts bookings of one event at once; those of another, and statuses, when it is told to go on."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.go_on = threading.Event()
        self.blocked = 0

    def submit(self, attempt: BookTickets) -> Receipt:
        if attempt.event_id == _BLOCKS:
            self._block()
        return super().submit(attempt)

    def status(self, job_id: Any) -> Any:
        self._block()
        return super().status(job_id)

    def _block(self) -> None:
        self.blocked += 1
        assert self.go_on.wait(10)


@dataclass
class _Stage:
    """A server with few threads, and its clients."""

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
    supervisor = _Supervisor(
        Settings(
            jwt_secret=SECRET,
            port=0,
            ops_port=None,
            threads=_THREADS,
            booking_threads=_BOOKING_THREADS,
            rate_limits="off",
        )
    )
    monkeypatch.setattr(app_module, "UserStore", lambda _database: supervisor.users)
    for name in ("quick", "blocks"):
        supervisor.events.create(_event(name))
    server = Server(supervisor, supervisor.settings)  # type: ignore[arg-type]
    server.start()
    yield _Stage(supervisor, server)
    supervisor.go_on.set()
    server.stop(5)


def _event(name: str) -> NewEvent:
    return NewEvent(name, "Hall", NOW, 100)


def test_bookings_go_on_while_everything_else_hangs(stage: _Stage) -> None:
    """No thread is left for a status, and a booking is answered."""
    for _ in range(_THREADS + 2):
        stage.ask_meanwhile()
    wait_until(lambda: stage.supervisor.blocked == _THREADS, 10, "all other threads hang")

    with stage.client() as client:
        assert client.book(_QUICK).status == 202

    stage.supervisor.go_on.set()
    stage.join()


def test_everything_else_goes_on_while_bookings_hang(stage: _Stage) -> None:
    """As many as have threads are under way; whoever comes after them waits, and is answered then."""
    for _ in range(_BOOKING_THREADS + 2):
        stage.book_meanwhile(_BLOCKS)
    wait_until(lambda: stage.supervisor.blocked == _BOOKING_THREADS, 10, "all bookings' threads hang")

    with stage.client() as client:
        assert client.get("/livez").status == 200

    stage.supervisor.go_on.set()
    stage.join()
    assert [answer.status for answer in stage.answers] == [202] * (_BOOKING_THREADS + 2)
