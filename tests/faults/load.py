"""Many HTTP clients that want tickets, for as long as they are let, through whatever happens to the service."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import psycopg

from aurora_atlan.actors.errors import BookingError
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.events import NewEvent
from faults.row import Stage
from faults.world import World
from harness_http import Buyer
from oracle.history import Attempt, Cancelled, History, Told

_EVENTS = 50
_CAPACITY = 0.6
_KEYED = 0.8
_REPEATED = 0.1
_CANCELLED = 0.05
_CONNECTIONS = 64
# Wishes that wait for their final answer; beyond them nobody new comes.
_UNDER_WAY_MAX = 1_500
# The service answers within 1.5 s or not at all; whoever waits longer keeps a slot from others.
_REQUEST_TIMEOUT_S = 3.0
_STOP_WITHIN_S = 12.0
_ASK_FIRST_S = 0.1
_ASK_LAST_S = 1.5
_RETRY_S = 0.4
_PREPARE_AT = 0.6
_OFFICE_POLL_S = 0.05
_FINAL = ("completed", "failed")
_LOST = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError, ConnectionError)


@dataclass(frozen=True, slots=True)
class Wish:
    """What one buyer wants."""

    buyer: Buyer
    event_id: int
    quantity: int
    key: str | None


@dataclass
class Seen:
    """What the clients saw so far, in numbers."""

    accepted: int = 0
    decided: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    # Of requests that were answered with 503.
    slowest_refusal_s: float = 0.0
    # Answers that nobody should get.
    surprises: list[str] = field(default_factory=list)
    # Without a key and without any answer: may have been accepted under an id that nobody knows.
    unanswered: Counter[tuple[int, int]] = field(default_factory=Counter)


class Load:
    """Clients in a thread of their own, and an office that opens events and cancels bookings; begins at once."""

    def __init__(
        self,
        world: World,
        stage: Stage,
        history: History,
        *,
        rate: float = 100.0,
        round_size: int = 800,
        cancels: bool = True,
    ) -> None:
        self.history = history
        self.seen = Seen()
        self._world = world
        self._stage = stage
        self._rate = rate
        self._round_size = round_size
        self._cancels = cancels
        self._chance = random.Random(f"{stage.folder.name}{stage.wanted}")
        self._buyers = world.make_buyers()
        self._numbers = itertools.count()
        self._next_events: list[int] = []
        self._want_events = threading.Event()
        self._to_cancel: deque[int] = deque()
        self._over = threading.Event()
        self._give_up = threading.Event()
        self._loop_thread = threading.Thread(target=lambda: asyncio.run(self._drive()), name="load", daemon=True)
        self._office_thread = threading.Thread(target=self._keep_office, name="office", daemon=True)
        self._failure: BaseException | None = None
        # Which services get requests; by default all.
        self.urls = [service.url for service in world.services]
        self.events = self._open_events()

    def start(self) -> Load:
        """Let the clients come."""
        self._loop_thread.start()
        self._office_thread.start()
        return self

    def stop(self, patience_s: float = 15.0) -> None:
        """Let nobody new come, and wait for those with a key until they have an answer; then all go home."""
        self._over.set()
        self._loop_thread.join(patience_s)
        self._give_up.set()
        self._loop_thread.join(_STOP_WITHIN_S)
        self._office_thread.join(10.0)
        if self._failure is not None:
            raise self._failure

    @property
    def running(self) -> bool:
        """True until everybody has gone home."""
        return self._loop_thread.is_alive()

    def open_jobs(self) -> int:
        """Return how many jobs were accepted and not yet answered, at most."""
        return self.seen.accepted - self.seen.decided

    def accepted_within(self, seconds: float) -> int:
        """Return how many jobs were accepted in so many seconds up to now."""
        since = time.time() - seconds
        return sum(attempt.accepted and attempt.answered_at >= since for attempt in list(self.history.attempts))

    def abandon(self) -> None:
        """Send everybody home at once, whatever they have been told."""
        self._over.set()
        self._give_up.set()
        self._loop_thread.join(_STOP_WITHIN_S)

    # The office.

    def _open_events(self) -> list[int]:
        weights = _zipf(_EVENTS)
        when = datetime(2027, 6, 1, 20, tzinfo=UTC)
        return [
            self._world.office.events.create(
                NewEvent("Aurora", "Atlan", when, max(1, round(_CAPACITY * weight * self._round_size)))
            ).id
            for weight in weights
        ]

    def _keep_office(self) -> None:
        while not self._over.wait(_OFFICE_POLL_S):
            # Stores that are away are what this is about.
            with suppress(StoreError, BookingError, psycopg.Error):
                if self._want_events.is_set() and not self._next_events:
                    self._next_events = self._open_events()
                    self._want_events.clear()
                while self._to_cancel and not self._over.is_set():
                    booking_id = self._to_cancel[0]
                    self._world.office.cancel(booking_id)
                    self.history.add(Cancelled(booking_id=booking_id, told_at=time.time()))
                    self._to_cancel.popleft()

    # The clients.

    async def _drive(self) -> None:
        try:
            self._slots = asyncio.Semaphore(_CONNECTIONS)
            timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
            async with aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            ) as self._session:
                await self._let_come()
        except BaseException as error:  # noqa: BLE001 - told to whoever stops the load
            self._failure = error

    async def _let_come(self) -> None:
        under_way: set[asyncio.Task[None]] = set()
        next_at = time.monotonic()
        while not self._over.is_set():
            under_way = {task for task in under_way if not _ended(task)}
            next_at = max(next_at + self._chance.expovariate(self._rate), time.monotonic() - 0.2)
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            if len(under_way) < _UNDER_WAY_MAX:
                under_way.add(asyncio.create_task(self._buy(self._wish())))
        for task in under_way:
            await task

    def _wish(self) -> Wish:
        number = next(self._numbers)
        place = number % self._round_size
        if place == round(self._round_size * _PREPARE_AT):
            self._want_events.set()
        if place == 0 and number and self._next_events:
            self.events, self._next_events = self._next_events, []
        event_id = self._chance.choices(self.events, _zipf(len(self.events)))[0]
        quantity = self._chance.choices((1, 2, 3), (18, 1, 1))[0]
        keyed = self._chance.random() < _KEYED
        return Wish(self._buyers[number % len(self._buyers)], event_id, quantity, f"key-{number}" if keyed else None)

    async def _buy(self, wish: Wish) -> None:
        lost: list[Attempt] = []
        job_id: UUID | None = None
        while True:
            attempt = await self._try_once(wish)
            if attempt.accepted:
                job_id = attempt.job_id
            if attempt.job_id is None:
                lost.append(attempt)
            else:
                self.history.add(attempt)
            if job_id is not None or wish.key is None or self._give_up.is_set():
                break
            await asyncio.sleep(_RETRY_S * self._chance.uniform(0.5, 1.5))
        for attempt in lost:
            # The same key is the same job: by now it is known which these may have been.
            self.history.add(replace(attempt, job_id=job_id))
        if job_id is None:
            return
        self.seen.accepted += 1
        if wish.key is not None and self._chance.random() < _REPEATED:
            self.history.add(await self._try_once(wish))
        await self._follow(job_id, wish.buyer)

    async def _try_once(self, wish: Wish) -> Attempt:
        asked_at = time.time()
        headers = _bearer(wish.buyer) | {"Content-Type": "application/json"}
        if wish.key is not None:
            headers["Idempotency-Key"] = wish.key
        body: Any = {}
        took_s = 0.0
        try:
            status, body, took_s = await self._send(
                "POST", f"/api/bookings/{wish.event_id}/book", headers, orjson.dumps({"quantity": wish.quantity})
            )
            answer = str(status)
        except _LOST as error:
            answer = type(error).__name__
            if wish.key is None and not isinstance(error, aiohttp.ClientConnectorError):
                self.seen.unanswered[wish.event_id, wish.buyer.user_id] += 1
        self._note(answer, took_s, body)
        return _attempt(wish, asked_at, answer, body if isinstance(body, dict) else {})

    async def _follow(self, job_id: UUID, buyer: Buyer) -> None:
        pause_s = _ASK_FIRST_S
        while not self._give_up.is_set():
            await asyncio.sleep(pause_s * self._chance.uniform(0.75, 1.25))
            pause_s = min(_ASK_LAST_S, pause_s * 2)
            try:
                status, body, _ = await self._send("GET", f"/api/bookings/status/{job_id}", _bearer(buyer), None)
            except _LOST:
                continue
            if status not in (200, 404, 503):
                self._surprise(f"GET status of {job_id}: {status} {body}")
                return
            if status == 200 and body["status"] in _FINAL:
                self._told(job_id, body)
                return
            if self._over.is_set() and status == 404:
                return

    def _told(self, job_id: UUID, body: Any) -> None:
        self.seen.decided += 1
        told = told_from(job_id, body)
        self.history.add(told)
        if told.booking_id is not None and self._cancels and self._chance.random() < _CANCELLED:
            self._to_cancel.append(told.booking_id)

    async def _send(
        self, method: str, path: str, headers: dict[str, str], data: bytes | None
    ) -> tuple[int, Any, float]:
        async with self._slots:
            # Chosen now: who waited for a slot knows meanwhile which service is away.
            url = self._chance.choice(self.urls) + path
            sent_at = time.monotonic()
            async with self._session.request(method, url, headers=headers, data=data) as response:
                content = await response.read()
                took_s = time.monotonic() - sent_at
                return response.status, orjson.loads(content) if content else None, took_s

    def _note(self, answer: str, took_s: float, body: Any) -> None:
        self.seen.answers[answer] += 1
        if answer == "429":
            self._stage.once("a 429")
        elif answer == "503":
            self._stage.once("a 503")
            self.seen.slowest_refusal_s = max(self.seen.slowest_refusal_s, took_s)
        elif answer.isdecimal() and answer not in ("200", "202"):
            self._surprise(f"POST: {answer} {body}")

    def _surprise(self, sentence: str) -> None:
        if len(self.seen.surprises) < 5:
            self.seen.surprises.append(sentence)


def _attempt(wish: Wish, asked_at: float, answer: str, body: dict[str, Any]) -> Attempt:
    accepted = answer in ("200", "202")
    said = body.get("jobId")
    return Attempt(
        event_id=wish.event_id,
        user_id=wish.buyer.user_id,
        quantity=wish.quantity,
        key=wish.key,
        asked_at=asked_at,
        answered_at=time.time(),
        accepted=accepted,
        job_id=None if said is None else UUID(said),
        queue_number=body.get("queueNumber") if accepted else None,
        accepted_at=_seconds(body.get("acceptedAt")) if accepted else None,
        durability=body.get("durability") if accepted else None,
        answer=answer,
    )


def told_from(job_id: UUID, body: Any) -> Told:
    """Read a final answer of the status endpoint."""
    booking = (body.get("result") or {}).get("booking") or {}
    return Told(
        job_id=job_id,
        told_at=time.time(),
        status=body["status"],
        reason=body["reason"],
        booking_id=booking.get("id"),
    )


def _bearer(buyer: Buyer) -> dict[str, str]:
    return {"Authorization": f"Bearer {buyer.token}"}


def _zipf(count: int) -> Sequence[float]:
    weights = [1.0 / place for place in range(1, count + 1)]
    total = sum(weights)
    return [weight / total for weight in weights]


def _seconds(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


def _ended(task: asyncio.Task[None]) -> bool:
    # Raises what the task raised.
    return task.done() and task.result() is None
