"""Waiting for an outcome over real stores and sockets."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.config import Settings
from aurora_atlan.http import long_polls
from aurora_atlan.http.server import Server
from aurora_atlan.supervisor import Supervisor
from harness_sales import running, wait_until

Sql = psycopg.Connection[Any]
MakeEvent = Callable[..., int]


class Poll:
    """A thread that asks for a job's status with a wait, and the answer that came."""

    def __init__(self, port: int, job_id: object, wait_s: int = 20) -> None:
        self._port, self._path, self._wait_s = port, f"/api/bookings/status/{job_id}", wait_s
        self.answer: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.took_s = 0.0
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def join(self) -> dict[str, Any]:
        self._thread.join(30)
        assert not self._thread.is_alive()
        assert self.answer
        return self.answer

    def _ask(self) -> None:
        began_at = time.monotonic()
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            connection.request("GET", self._path, headers={"Prefer": f"wait={self._wait_s}"})
            response = connection.getresponse()
            self.answer = json.loads(response.read())
            self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.took_s = time.monotonic() - began_at


def await_waiting(supervisor: Supervisor, count: int) -> None:
    def waiting() -> bool:
        return sum(map(len, supervisor.notices._waiting.values())) == count

    wait_until(waiting, 10, f"{count} are waiting")


@pytest.fixture
def server(supervisor: Supervisor) -> Iterator[Server]:
    server = Server(supervisor, supervisor.settings)
    server.start()
    yield server
    server.stop(5)


@pytest.fixture
def only_when_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks again by itself: what is told was rung for."""
    monkeypatch.setattr(long_polls, "_LOOK_AGAIN_S", 60.0)


@pytest.mark.usefixtures("only_when_rung")
def test_a_decision_is_told_as_it_is_made(
    supervisor: Supervisor, server: Server, make_event: MakeEvent, buyers: list[int], hold_row: Callable[[int], Sql]
) -> None:
    """The status is final, and the booking in it is there, the moment that the bell rings."""
    event_id = make_event(capacity=1)
    stranger = hold_row(event_id)
    first, second = (supervisor.submit(BookTickets(event_id, buyer)).job_id for buyer in buyers[:2])
    polls = [Poll(server.port, first), Poll(server.port, second)]
    await_waiting(supervisor, 2)
    stranger.rollback()

    assert [poll.join()["status"] for poll in polls] == ["completed", "failed"]
    assert polls[1].answer["reason"] == "sold_out"
    assert [poll.headers["preference-applied"] for poll in polls] == ["wait=20"] * 2
    assert all(poll.took_s < 15 for poll in polls)


@pytest.mark.usefixtures("only_when_rung")
def test_a_withdrawal_is_told_too(
    supervisor: Supervisor, server: Server, make_event: MakeEvent, buyers: list[int]
) -> None:
    """It is an outcome as any other."""
    event_id = make_event()
    supervisor.pause(event_id)
    job_id = supervisor.submit(BookTickets(event_id, buyers[0])).job_id
    poll = Poll(server.port, job_id)
    await_waiting(supervisor, 1)
    supervisor.withdraw(job_id)

    assert poll.join()["reason"] == "cancelled"
    assert poll.took_s < 15


def test_what_another_process_decides_is_told_within_a_second_or_so(
    supervisor: Supervisor,
    server: Server,
    supervise: Callable[..., Supervisor],
    make_event: MakeEvent,
    buyers: list[int],
) -> None:
    """Nobody rings here."""
    event_id = make_event()
    other = supervise()
    # The other one owns the event.
    job_id = other.submit(BookTickets(event_id, buyers[1])).job_id
    wait_until(lambda: (status := other.status(job_id)) is not None and status.finished, 10, "it is decided")
    supervisor.pause(event_id)
    job_id = other.submit(BookTickets(event_id, buyers[0])).job_id
    poll = Poll(server.port, job_id)
    await_waiting(supervisor, 1)
    resumed_at = time.monotonic()
    other.resume(event_id)

    assert poll.join()["status"] == "completed"
    assert time.monotonic() - resumed_at < 10


@pytest.mark.usefixtures("only_when_rung")
def test_a_server_that_stops_tells_those_who_wait_how_it_stands(
    supervisor: Supervisor, server: Server, make_event: MakeEvent, buyers: list[int]
) -> None:
    """At once: nobody holds up the stop for twenty seconds."""
    event_id = make_event()
    supervisor.pause(event_id)
    job_id = supervisor.submit(BookTickets(event_id, buyers[0])).job_id
    polls = [Poll(server.port, job_id) for _ in range(2)]
    await_waiting(supervisor, 2)
    began_at = time.monotonic()
    server.stop(20)

    assert time.monotonic() - began_at < 5
    assert [poll.join()["status"] for poll in polls] == ["queued", "queued"]
    assert all("preference-applied" not in poll.headers for poll in polls)
    assert all(poll.headers["retry-after"] for poll in polls)


def test_those_who_wait_leave_threads_for_everybody_else(
    settings: Settings, make_event: MakeEvent, buyers: list[int]
) -> None:
    """However many would like to: bookings and health are answered as ever."""
    with running(replace(settings, threads=4)) as supervisor:
        server = Server(supervisor, supervisor.settings)
        server.start()
        try:
            event_id = make_event()
            supervisor.pause(event_id)
            job_id = supervisor.submit(BookTickets(event_id, buyers[0])).job_id
            first = Poll(server.port, job_id)
            await_waiting(supervisor, 1)
            others = [Poll(server.port, job_id) for _ in range(20)]

            assert [poll.join()["status"] for poll in others] == ["queued"] * 20
            assert all(poll.took_s < 5 and "preference-applied" not in poll.headers for poll in others)
            supervisor.resume(event_id)
            assert first.join()["status"] == "completed"
        finally:
            server.stop(5)
