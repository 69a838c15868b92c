"""The clients of a sale that is to be disturbed.

They are a closed loop: each books a handful, asks until it has all answers, cancels now and then, and books
again. So a sale goes on for as long as its row wants it to, and its load fits the machine.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import time as wall_clock
from typing import Self
from uuid import UUID

from aurora_atlan.actors.errors import BookingError, TooManyInFlightError, UnavailableError
from aurora_atlan.actors.messages import BookTickets, JobState, JobStatus, Receipt
from aurora_atlan.config import Settings
from aurora_atlan.supervisor import Supervisor
from faults.row import Scale, Stage, demand
from harness_sales import make_buyers, make_event, wait_until
from oracle.checker import check_snapshot
from oracle.history import Attempt, Cancelled, History, Told

# Long enough for a loaded machine; whoever is not answered by then never will be.
HANG_S = 30.0
_REPEAT_PAUSE_S = 0.02
_JOIN_S = 60.0


@dataclass(frozen=True)
class Load:
    """How a sale looks; by default one hot event, a few lukewarm ones, and mostly single tickets."""

    events: int = 8
    # Wishes until new events are put on sale.
    wave: int = 320
    clients: int = 8
    # What a client asks for before it asks for the answers.
    at_once: int = 8
    # Between two handfuls of one client.
    pause_s: float = 0.03
    keyed: float = 0.4
    repeated: float = 0.1
    cancelled: float = 0.05
    # Whether clients ask what became of their bookings.
    asking: bool = True


class Sale:
    """Clients of one supervisor, from a barrier on until they are stopped; all they see is in the history."""

    def __init__(self, supervisor: Supervisor, history: History, stage: Stage, load: Load | None = None) -> None:
        self.supervisor = supervisor
        self.history = history
        self.load = load or (Load() if is_small(stage) else Load(events=50, wave=4_000, clients=16))
        self.slowest_refusal_s = 0.0
        self.receipts = 0
        self._stage = stage
        self._url = database_of(supervisor.settings)
        self._chance = random.Random(stage.wanted)
        self._keys = itertools.count(1)
        self._lock = threading.Lock()
        self._wishes: deque[BookTickets] = deque()
        self._events: list[int] = []
        # Of these seats come back; of the others none does, so that every one of them must be sold.
        self._returning: set[int] = set()
        self._over = threading.Event()
        self._surprises: list[BaseException] = []
        self._barrier = threading.Barrier(self.load.clients + 1)
        works = [self._serve] * self.load.clients
        self._threads = [threading.Thread(target=self._work, args=(work,), daemon=True) for work in works]
        self._threads.append(threading.Thread(target=self._work, args=(self._look,), daemon=True))

    def __enter__(self) -> Self:
        with self._lock:
            self._plan()
        for thread in self._threads:
            thread.start()
        self._barrier.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop(raising=kind is None)

    def stop(self, *, raising: bool = True) -> None:
        """Let the clients finish what they began; raises what they were surprised by."""
        self._over.set()
        deadline = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if raising:
            demand(not any(thread.is_alive() for thread in self._threads), "a client still waits for an answer")
            self.go_on(0.0)

    def go_on(self, seconds: float) -> None:
        """Let the sale go on for a while; raises what a client was surprised by."""
        time.sleep(seconds)
        demand(not self._surprises, f"a client was surprised by {self._surprises[:3]!r}")

    @property
    def events(self) -> Sequence[int]:
        """The events on sale now, the most wanted first."""
        return list(self._events)

    def book(self, wish: BookTickets) -> Receipt | None:
        """Book as a client does, and return the receipt; None when there is none to be had."""
        while True:
            asked_at, began = wall_clock(), time.monotonic()
            try:
                receipt = self.supervisor.submit(wish)
            except BookingError as error:
                self._refused(wish, error, asked_at, time.monotonic() - began)
                if wish.idempotency_key is None or self._over.wait(_REPEAT_PAUSE_S):
                    return None
            else:
                self._accepted(wish, receipt, asked_at)
                return receipt

    def ask(self, job_id: UUID) -> Told:
        """Ask until there is a final answer, note it, and return it."""
        told = wait_until(lambda: self._answer(job_id), HANG_S, f"an answer for {job_id}")
        assert isinstance(told, Told)
        self.history.add(told)
        return told

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the row fails with it
            self._surprises.append(error)

    def _serve(self) -> None:
        self._barrier.wait(10)
        while not self._over.wait(self.load.pause_s):
            receipts = [self.book(wish) for wish in self._take()]
            if not self.load.asking:
                continue
            for receipt in receipts:
                if receipt is not None:
                    self._maybe_cancel(receipt, self.ask(receipt.job_id))

    def _look(self) -> None:
        # Less often where the tables grow long.
        while not self._over.wait(0.1 if is_small(self._stage) else 1.0):
            violations = check_snapshot(self._url)
            demand(not violations, f"amid the sale: {violations[:3]}")

    def _take(self) -> list[BookTickets]:
        with self._lock:
            if len(self._wishes) < self.load.at_once:
                self._plan()
            return [self._wishes.popleft() for _ in range(self.load.at_once)]

    def _plan(self) -> None:
        """Put the next wave on sale; of what is wanted of each event, 60 % is there."""
        load, count = self.load, self.load.events
        weights = [1 / rank for rank in range(1, count + 1)]
        places = self._chance.choices(range(count), weights, k=load.wave)
        mixed = [self._chance.choices((1, 2, 3), (90, 7, 3))[0] if place % 2 else 1 for place in places]
        seats = [0] * count
        for place, quantity in zip(places, mixed, strict=True):
            seats[place] += quantity
        self._events = [make_event(self.supervisor, max(1, wanted * 6 // 10)) for wanted in seats]
        self._returning |= set(self._events[1::2])
        wishes = [
            BookTickets(self._events[place], buyer, quantity, self._key())
            for place, buyer, quantity in zip(places, make_buyers(self._url, load.wave), mixed, strict=True)
        ]
        for wish in self._chance.sample(wishes, round(load.repeated * load.wave)):
            self._repeat(wishes, wish)
        self._wishes.extend(wishes)

    def _repeat(self, wishes: list[BookTickets], wish: BookTickets) -> None:
        place = wishes.index(wish)
        wish = replace(wish, idempotency_key=wish.idempotency_key or f"key-{next(self._keys)}")
        wishes[place] = wish
        # Some of them while the first is still under way.
        wishes.insert(min(len(wishes), place + self._chance.choice((1, 2, 40))), wish)

    def _key(self) -> str | None:
        return f"key-{next(self._keys)}" if self._chance.random() < self.load.keyed else None

    def _maybe_cancel(self, receipt: Receipt, told: Told) -> None:
        if told.booking_id is None or receipt.replayed or receipt.event_id not in self._returning:
            return
        # Half of the events give seats back.
        if self._chance.random() < 2 * self.load.cancelled:
            try:
                self.supervisor.cancel(told.booking_id)
            except UnavailableError:
                return
            self.history.add(Cancelled(booking_id=told.booking_id, told_at=wall_clock()))

    def _answer(self, job_id: UUID) -> Told | None:
        try:
            return told_of(self.supervisor.status(job_id))
        except UnavailableError:
            self._stage.once("a 503")
            return None

    def _accepted(self, wish: BookTickets, receipt: Receipt, asked_at: float) -> None:
        with self._lock:
            self.receipts += 1
        self.history.add(
            Attempt(
                event_id=wish.event_id,
                user_id=wish.user_id,
                quantity=wish.quantity,
                key=wish.idempotency_key,
                asked_at=asked_at,
                answered_at=wall_clock(),
                accepted=True,
                job_id=receipt.job_id,
                queue_number=receipt.queue_number,
                accepted_at=receipt.accepted_at.timestamp(),
                durability=receipt.durability,
                answer="Receipt",
            )
        )

    def _refused(self, wish: BookTickets, error: BookingError, asked_at: float, took_s: float) -> None:
        if not isinstance(error, UnavailableError | TooManyInFlightError):
            raise error
        with self._lock:
            self._stage.once("a 429" if isinstance(error, TooManyInFlightError) else "a 503")
            self.slowest_refusal_s = max(self.slowest_refusal_s, took_s)
        self.history.add(
            Attempt(
                event_id=wish.event_id,
                user_id=wish.user_id,
                quantity=wish.quantity,
                key=wish.idempotency_key,
                asked_at=asked_at,
                answered_at=wall_clock(),
                accepted=False,
                job_id=getattr(error, "job_id", None),
                answer=type(error).__name__,
            )
        )


def told_of(status: JobStatus | None) -> Told | None:
    """Return what a client was told; None unless that is final."""
    if status is None or status.status not in (JobState.COMPLETED, JobState.FAILED):
        return None
    return Told(
        job_id=status.job_id,
        told_at=wall_clock(),
        status=status.status.value,
        reason=None if status.reason is None else status.reason.value,
        booking_id=None if status.booking is None else status.booking.id,
    )


def database_of(settings: Settings) -> str:
    """Return the URL of the settings' database."""
    assert settings.database_url is not None
    return settings.database_url


def is_small(stage: Stage) -> bool:
    """Tell whether minutes must do, so that numbers of the table are a tenth."""
    return stage.scale in (Scale.ONCE, Scale.CI)
