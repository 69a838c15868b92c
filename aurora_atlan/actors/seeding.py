"""Gives queues their first numbers: what PostgreSQL says of an event when Redis knows nothing of it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from threading import Lock

from aurora_atlan.actors.cells import Cells
from aurora_atlan.actors.errors import BookingError, UnavailableError, UnknownEventError
from aurora_atlan.actors.losses import LossWatch
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.jobs import JobStore

_TIME_NEEDED_S = 0.1

_OUT_OF_REACH = "the booking queue is out of reach; try again"
_NOT_LOOKED_UP = "the event cannot be looked up now; try again"


class Seeding:
    """Seeds events in their callers' threads: whoever's turn it is does it for all who wait.

    Not in the journal's: a database that does not answer holds up nobody who needs no seeding.
    """

    def __init__(
        self, switchboard: Switchboard, cells: Cells, jobs: JobStore, bookings: BookingStore, losses: LossWatch
    ) -> None:
        self._switchboard = switchboard
        self._cells = cells
        self._jobs = jobs
        self._bookings = bookings
        self._losses = losses
        self._lock = Lock()
        self._waiting: dict[int, Future[None]] = {}
        # Held by the one who seeds.
        self._turn = Lock()

    def seed(self, event_id: int, deadline: float) -> None:
        """Seed one event, by a time of the monotonic clock; raises UnknownEventError and UnavailableError."""
        with self._lock:
            seeded = self._waiting.setdefault(event_id, Future())
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise UnavailableError(_NOT_LOOKED_UP)
        try:
            if not seeded.done():
                if deadline - time.monotonic() < _TIME_NEEDED_S:
                    # Whoever has the next turn has more time, and does it.
                    raise UnavailableError(_NOT_LOOKED_UP)
                self._seed_waiting(deadline)
        finally:
            self._turn.release()
        seeded.result()

    def _seed_waiting(self, deadline: float) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        try:
            known = self._seed(list(waiting), deadline)
        except BookingError as error:
            for seeded in waiting.values():
                seeded.set_exception(error)
            return
        except BaseException:
            for seeded in waiting.values():
                seeded.set_exception(UnavailableError(_NOT_LOOKED_UP))
            raise
        for event_id, seeded in waiting.items():
            if event_id in known:
                seeded.set_result(None)
            else:
                seeded.set_exception(UnknownEventError("there is no such event"))

    def _seed(self, event_ids: Sequence[int], deadline: float) -> Collection[int]:
        if self._switchboard.redis.is_open:
            # As whoever had the turn before may have found out: two who wait for it in a row would wait too long.
            raise UnavailableError(_OUT_OF_REACH)
        patience_s = self._switchboard.postgres_patience_s(deadline - time.monotonic())
        try:
            last_numbers = self._bookings.last_queue_numbers(event_ids, patience_s)
        except StoreError as error:
            raise UnavailableError(_NOT_LOOKED_UP) from error
        cells = {event_id: cell for event_id in last_numbers if (cell := self._cells.get(event_id)) is not None}
        seeds = []
        for event_id, last_number in last_numbers.items():
            seen = cells[event_id].highest_number if event_id in cells else 0
            seeds.append((event_id, max(last_number, seen), last_number))
        try:
            if cells:
                # They were seeded once: Redis has forgotten them, without ever being away.
                self._losses.compare()
            self._jobs.seed_all(seeds)
        except StoreError as error:
            self._switchboard.redis_failed(error)
            raise UnavailableError(_OUT_OF_REACH) from error
        return last_numbers
