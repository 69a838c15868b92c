"""Clients of the HTTP API: one that keeps its connection, as a browser does, and a crowd of them."""

from __future__ import annotations

import http.client
import itertools
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from harness.command_line import run_command

_names = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Client:
    """One connection, one user; made again when the server closed it. Not thread-safe."""

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 10.0) -> None:
        self._host = urlsplit(url).netloc
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self.token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def register(self) -> int:
        """Become a new user; return the id."""
        email = f"buyer-{os.getpid()}-{next(_names)}@example.org"
        document = {"name": "Buyer", "email": email, "password": "a long enough password"}
        answer = self.post("/api/auth/register", document)
        assert answer.status == 200, answer
        self.token = answer.body["token"]
        return int(answer.body["user"]["id"])

    def book(self, event_id: int, key: str | None = None, quantity: int | None = None) -> Answer:
        """Try to book."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.post(
            f"/api/bookings/{event_id}/book", {} if quantity is None else {"quantity": quantity}, headers=headers
        )

    def status(self, job_id: str) -> Answer:
        """Ask how a job stands."""
        return self.get(f"/api/bookings/status/{job_id}")

    def get(self, path: str) -> Answer:
        """GET a path."""
        return self._send("GET", path, None, {})

    def post(self, path: str, document: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """POST a document as JSON."""
        return self._send("POST", path, orjson.dumps(document), {"Content-Type": "application/json", **(headers or {})})

    def put(self, path: str, document: Any) -> Answer:
        """PUT a document as JSON."""
        return self._send("PUT", path, orjson.dumps(document), {"Content-Type": "application/json"})

    def delete(self, path: str) -> Answer:
        """DELETE a path."""
        return self._send("DELETE", path, None, {})

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, timeout=self._timeout_s)
        sent = dict(headers)
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        try:
            self._connection.request(method, path, body, sent)
            response = self._connection.getresponse()
            data = response.read()
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        return Answer(response.status, response.headers, orjson.loads(data) if data else None)


@dataclass(frozen=True)
class Buyer:
    """A user who may log in with a token."""

    user_id: int
    token: str


def make_buyers(environ: Mapping[str, str], count: int, file: Path) -> list[Buyer]:
    """Make buyers with the command for it, over the service's own environment."""
    done = run_command("make-buyers", "--count", str(count), "--out", str(file), environ=environ)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    assert len(lines) == count
    return [Buyer(int(user_id), token) for user_id, token in lines]


@dataclass(frozen=True)
class Wish:
    """What one buyer sends."""

    buyer: Buyer
    event_id: int
    key: str | None = None


class HttpRush:
    """Buyers at many connections, each wish sent once or, with a key, until it is accepted."""

    def __init__(self, url: str, wishes: Sequence[Wish], *, connections: int = 32, persistent: bool = False) -> None:
        self._url = url
        self._wishes = iter(wishes)
        self._persistent = persistent
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._barrier = threading.Barrier(connections + 1)
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(connections)]
        # Job ids by wish, as 202 gave them.
        self.accepted: dict[Wish, str] = {}
        # Refusals, and the seconds each took.
        self.refused: list[tuple[Answer, float]] = []
        # Sent, and the connection ended without an answer.
        self.aborted: list[BaseException] = []
        self.surprises: list[BaseException] = []

    @property
    def jobs(self) -> list[UUID]:
        """The accepted jobs."""
        return [UUID(job_id) for job_id in self.accepted.values()]

    @property
    def perhaps(self) -> set[UUID]:
        """Jobs that a refusal named: they may have been accepted all the same."""
        return {UUID(answer.body["jobId"]) for answer, _ in self.refused if "jobId" in answer.body}

    def start(self) -> HttpRush:
        """Let everybody go at the same moment."""
        for worker in self._workers:
            worker.start()
        self._barrier.wait(10)
        return self

    def give_up(self) -> None:
        """Send nothing more."""
        self._over.set()

    def join(self, timeout_s: float = 60.0) -> HttpRush:
        """Wait until every wish is answered or given up."""
        deadline = time.monotonic() + timeout_s
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            assert not worker.is_alive(), f"a buyer still waits after {timeout_s:g} s"
        assert not self.surprises, self.surprises[:3]
        return self

    def run(self, timeout_s: float = 60.0) -> HttpRush:
        """Start and join."""
        return self.start().join(timeout_s)

    def _work(self) -> None:
        self._barrier.wait(10)
        try:
            with Client(self._url) as client:
                while not self._over.is_set():
                    with self._lock:
                        wish = next(self._wishes, None)
                    if wish is None:
                        return
                    self._buy(client, wish)
        except BaseException as error:  # noqa: BLE001 - the test fails with it
            self.surprises.append(error)

    def _buy(self, client: Client, wish: Wish) -> None:
        client.token = wish.buyer.token
        while not self._over.is_set():
            sent_at = time.monotonic()
            try:
                answer = client.book(wish.event_id, wish.key)
            except ConnectionRefusedError:
                # Nobody listens: nothing was sent.
                answer = None
            except (OSError, http.client.HTTPException) as error:
                self.aborted.append(error)
                answer = None
            took_s = time.monotonic() - sent_at
            if answer is not None and answer.status == 202:
                with self._lock:
                    self.accepted[wish] = answer.body["jobId"]
                return
            if answer is not None:
                assert answer.status == 503, answer
                assert int(answer.headers["Retry-After"]) >= 1
                with self._lock:
                    self.refused.append((answer, took_s))
            if not self._persistent:
                return
            self._over.wait(0.02)
