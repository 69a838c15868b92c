"""A client of the HTTP API that keeps its connection, as a browser does."""

from __future__ import annotations

import http.client
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

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
