"""Many at the same moment: threads at a barrier, each with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from aurora_atlan.actors.messages import Batch
from aurora_atlan.config import Settings
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.job_ids import random_job_id
from aurora_atlan.persistence.records import Job
from booking_fakes import Recorder

CONNECTIONS = 64


def at_a_barrier(count: int, rounds: int, act: Callable[[int, int], None]) -> None:
    """Let ``count`` threads act together, round after round; fails with the first surprise."""
    barrier = threading.Barrier(count)
    surprises: list[BaseException] = []

    def run(number: int) -> None:
        try:
            for turn in range(rounds):
                barrier.wait(60)
                act(number, turn)
        except BaseException as error:  # noqa: BLE001 - the test fails with it
            surprises.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not surprises, surprises[:3]


@contextmanager
def crowd(settings: Settings) -> Iterator[BookingStore]:
    """Open a connection for everybody, and let nobody be turned away for waiting."""
    database = Database(
        replace(
            settings,
            pool_min=CONNECTIONS,
            pool_max=CONNECTIONS,
            pool_timeout_s=30.0,
            pool_waiting_max=1000,
            lock_timeout_s=20.0,
            statement_timeout_s=30.0,
            watchdog_s=60.0,
            idle_transaction_timeout_s=60.0,
        )
    )
    database.open()
    database._pool.wait(30.0)
    try:
        yield BookingStore(database, owner=1)
    finally:
        database.close()


def a_wish(event_id: int, user_id: int, now: Any) -> Batch:
    """Make a batch of one job, of an owner that is not alive: anybody may take the event over."""
    job = Job(random_job_id(event_id), event_id, user_id, 1, user_id, now, None)
    return Batch(user_id, event_id, None, (job,), frozenset(), 1, 0.0, Recorder())  # type: ignore[arg-type]
