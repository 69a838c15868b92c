"""The service as a client sees it: HTTP with patience, over a bounded number of connections."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import orjson

from aurora_atlan.commands.rush.errors import RushError, ServiceGoneError

_REQUEST_TIMEOUT_S = 15.0
_KNOCK_EVERY_S = 0.2
_RETRY_AFTER_MAX_S = 5.0
_TRY_AGAIN = frozenset({429, 502, 503, 504})
_LOST = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the service; times on the clock of :func:`time.monotonic`."""

    status: int
    headers: Mapping[str, str]
    body: Any
    # When the first try was sent, and when this answer was there.
    sent_s: float
    received_s: float
    # Job ids of the tries that were answered 503 and may have been accepted all the same.
    possible_job_ids: frozenset[str]

    @property
    def problem(self) -> str:
        """What the service says is wrong, for people."""
        said = self.body.get("detail") or self.body.get("error") if isinstance(self.body, dict) else None
        return f"{self.status} {said or ''}".strip()


class Service:
    """A running Aurora-Atlan, reached over HTTP.

    Broken connections and answers that ask for patience (429, 502, 503, 504) are tried again, up to
    ``patience_s`` without any sign of life; then :class:`ServiceGoneError` is raised.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, *, connections: int, patience_s: float) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(connections)
        self._knocking = asyncio.Lock()
        self._gone: ServiceGoneError | None = None
        # Since when it does not answer, while it does not; and when it last came back.
        self.away_since_s: float | None = None
        self.back_s = 0.0
        # How often it went away.
        self.outages = 0
        self.retries = 0

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str, *, connections: int, patience_s: float) -> AsyncIterator[Self]:
        """Open the connections for the duration of the block."""
        connector = aiohttp.TCPConnector(limit=connections)
        timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            yield cls(url, session, connections=connections, patience_s=patience_s)

    async def check(self) -> None:
        """Raise :class:`RushError` when nothing answers now."""
        try:
            status, _, _ = await self._once("GET", "/livez", {}, None)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RushError(f"nothing answers at {self._url}: {_said(error)}") from error
        if status != 200:
            raise RushError(f"what answers at {self._url} is no Aurora-Atlan: GET /livez gave {status}")

    async def get(self, path: str, token: str | None = None) -> Reply:
        """GET a path; repeated while the service is away."""
        return await self._patiently("GET", path, _authorization(token), None)

    async def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, token: str | None = None, key: str | None = None
    ) -> Reply:
        """POST to a path. With an Idempotency-Key it is repeated while the service is away.

        Without one a broken connection raises :class:`ServiceGoneError`: it may have been done.
        """
        headers = _authorization(token)
        if key is not None:
            headers["Idempotency-Key"] = key
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = orjson.dumps(body)
        return await self._patiently("POST", path, headers, content, repeatable=key is not None)

    async def _patiently(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None, *, repeatable: bool = True
    ) -> Reply:
        began_s = time.monotonic()
        sent_s: float | None = None
        possible: set[str] = set()
        while True:
            async with self._slots:
                if sent_s is None:
                    sent_s = time.monotonic()
                try:
                    reply = await self._once(method, path, headers, content)
                except _LOST as error:
                    lost: Exception | None = error
                else:
                    lost = None
            if lost is not None:
                if not repeatable:
                    raise ServiceGoneError(f"{method} {path}: {_said(lost)}") from lost
                await self._until_back(lost)
            elif reply[0] in _TRY_AGAIN:
                possible |= _job_ids(reply[2])
                await self._as_asked(method, path, began_s, reply)
            else:
                return Reply(*reply, sent_s, time.monotonic(), frozenset(possible))
            self.retries += 1

    async def _once(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None
    ) -> tuple[int, Mapping[str, str], Any]:
        url = path if "://" in path else self._url + path
        async with self._session.request(method, url, headers=headers, data=content) as response:
            text = await response.read()
            try:
                body = orjson.loads(text) if text else None
            except orjson.JSONDecodeError:
                body = None
            return response.status, response.headers, body

    async def _as_asked(
        self, method: str, path: str, began_s: float, reply: tuple[int, Mapping[str, str], Any]
    ) -> None:
        """Wait as long as Retry-After says, a little more or less so that not all come back at once."""
        status, headers, _ = reply
        if time.monotonic() - max(self.back_s, began_s) > self._patience_s:
            raise ServiceGoneError(f"{method} {path} was answered {status} for {self._patience_s:.0f} s")
        try:
            asked_s = float(headers.get("Retry-After", "1"))
        except ValueError:
            asked_s = 1.0
        await asyncio.sleep(min(asked_s, _RETRY_AFTER_MAX_S) * random.uniform(0.75, 1.25))  # noqa: S311 - no secret

    async def _until_back(self, lost: Exception) -> None:
        """Wait until the service answers again; one knocks for all."""
        if self.away_since_s is None:
            self.away_since_s = time.monotonic()
        async with self._knocking:
            if self._gone is not None:
                raise self._gone
            deadline = time.monotonic() + self._patience_s
            while time.monotonic() < deadline:
                try:
                    await self._once("GET", "/livez", {}, None)
                except _LOST as error:
                    lost = error
                    await asyncio.sleep(_KNOCK_EVERY_S)
                else:
                    self.back_s = time.monotonic()
                    if self.back_s - (self.away_since_s or self.back_s) > _KNOCK_EVERY_S:
                        self.outages += 1
                    self.away_since_s = None
                    return
            self._gone = ServiceGoneError(f"{self._url} has not answered for {self._patience_s:.0f} s ({_said(lost)})")
            raise self._gone


def _authorization(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _job_ids(body: Any) -> set[str]:
    job_id = body.get("jobId") if isinstance(body, dict) else None
    return {job_id} if isinstance(job_id, str) else set()


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
