"""The engine without HTTP: a process that embeds the supervisor, and books as it is told.

``python -m benchmarks.engine`` reads a JSON document from each line of its input, does what it says, and answers on
one line: {"what": "book", ...} as :func:`book`, {"what": "one_by_one", ...} as :func:`one_by_one`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.commands.process import collect_rarely, spread_waiting_threads
from aurora_atlan.config import Settings
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.redis_clients import patient_client
from aurora_atlan.supervisor import Supervisor
from benchmarks import row_lock

_READY_WITHIN_S = 15.0
_DECIDED_WITHIN_S = 60.0
_POLL_S = 0.003


class Booker:
    """Submits bookings from many threads and waits until all are decided."""

    def __init__(self, supervisor: Supervisor, settings: Settings) -> None:
        self._supervisor = supervisor
        assert settings.database_url is not None
        self._connection = psycopg.connect(settings.database_url, autocommit=True)
        self._queue = JobStore(patient_client(settings), depth_max=1, user_jobs_max=1, ttl_s=1)

    def book(self, events: list[int], first_user: int, jobs: int, threads: int) -> dict[str, float]:
        """Book one ticket for each of so many users, the events taking turns.

        Returns the seconds from the first submission to the last receipt, and to the last answer: its row
        committed, and its status in Redis; and how often one was refused, and submitted again.
        """
        attempts = [BookTickets(events[number % len(events)], first_user + number) for number in range(jobs)]
        sold_before = self._sold(events)
        barrier = threading.Barrier(threads + 1)
        refusals: list[UnavailableError] = []

        def submit(mine: Sequence[BookTickets]) -> None:
            barrier.wait()
            for attempt in mine:
                while True:
                    try:
                        self._supervisor.submit(attempt)
                    except UnavailableError as error:
                        refusals.append(error)
                    else:
                        break

        workers = [threading.Thread(target=submit, args=(attempts[start::threads],)) for start in range(threads)]
        for worker in workers:
            worker.start()
        began_at = time.perf_counter()
        barrier.wait()
        for worker in workers:
            worker.join()
        accepted_at = time.perf_counter()
        _wait_until(lambda: self._sold(events) == sold_before + jobs)
        _wait_until(lambda: not self._queue.events_with_work(1))
        return {
            "accepted_s": accepted_at - began_at,
            "decided_s": time.perf_counter() - began_at,
            "refused": len(refusals),
        }

    def _sold(self, events: list[int]) -> int:
        row = self._connection.execute(
            "SELECT sum(sold)::int FROM event_inventory WHERE event_id = ANY(%s)", (events,)
        ).fetchone()
        assert row is not None
        return int(row[0])


def one_by_one(database_url: str, event: int, first_user: int, jobs: int) -> dict[str, float]:
    """Book as the row-lock baseline does, by one connection; returns the seconds it took."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        began_at = time.perf_counter()
        for user in range(first_user, first_user + jobs):
            row_lock.book(connection, event, user)
        return {"decided_s": time.perf_counter() - began_at}


def main() -> None:
    """Answer until the input ends."""
    # As docs/embedding.md advises who books thousands of times a second.
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    spread_waiting_threads()
    settings = Settings.from_env()
    with Supervisor(settings) as supervisor:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not supervisor.health().ready:
            if time.monotonic() > deadline:
                raise TimeoutError("the supervisor is not ready")
            time.sleep(_POLL_S)
        collect_rarely()
        doings: dict[str, Callable[..., dict[str, float]]] = {
            "book": Booker(supervisor, settings).book,
            "one_by_one": one_by_one,
        }
        _answer({})
        for line in sys.stdin:
            asked: dict[str, Any] = json.loads(line)
            _answer(doings[asked.pop("what")](**asked))


def _answer(document: dict[str, float]) -> None:
    print(json.dumps(document), flush=True)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DECIDED_WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"bookings are undecided after {_DECIDED_WITHIN_S:g} s")
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main()
