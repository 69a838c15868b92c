"""A sale to be disturbed: a supervisor, events, buyers, rushes, and a check that believes only the rows."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets, JobState, JobStatus, Receipt
from aurora_atlan.config import Settings
from aurora_atlan.persistence.audit import Auditor
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.events import EventStore, NewEvent
from aurora_atlan.supervisor import Supervisor

_POLL_S = 0.01
_batches = itertools.count(1)


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Wait until the condition holds, and return what it returned; fails after ``timeout_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(_POLL_S)
    return value


@contextmanager
def running(settings: Settings, **arguments: Any) -> Iterator[Supervisor]:
    """Run a supervisor in this process, ready for bookings."""
    supervisor = Supervisor(settings, **arguments)
    supervisor.start()
    try:
        wait_until(lambda: supervisor.health().ready, 10.0, "the supervisor is ready")
        yield supervisor
    finally:
        supervisor.stop()


def make_event(supervisor: Supervisor, capacity: int) -> int:
    """Create an event and return its id."""
    return supervisor.events.create(NewEvent("Aurora", "Atlan", datetime(2027, 6, 1, 20, tzinfo=UTC), capacity)).id


def create_event(settings: Settings, capacity: int) -> int:
    """Create an event without a supervisor and return its id."""
    database = Database(settings)
    database.open()
    try:
        new = NewEvent("Aurora", "Atlan", datetime(2027, 6, 1, 20, tzinfo=UTC), capacity)
        return EventStore(database).create(new).id
    finally:
        database.close()


def make_buyers(database_url: str, count: int) -> list[int]:
    """Create buyers and return their ids."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            "INSERT INTO users (name, email) SELECT 'Buyer', format('b%%s-%%s@example.org', %s::int, n)"
            " FROM generate_series(1, %s) AS n RETURNING id",
            (next(_batches), count),
        ).fetchall()
    return [row[0] for row in rows]


@dataclass
class Rush:
    """Many buyers at once, and what each was told."""

    supervisor: Supervisor
    attempts: Sequence[BookTickets]
    threads: int = 16
    # Repeat a refused attempt that has an Idempotency-Key until it is accepted.
    persistent: bool = True
    accepted: dict[UUID, Receipt] = field(default_factory=dict)
    # Refused with a job id: these may have been accepted all the same.
    perhaps: set[UUID] = field(default_factory=set)
    refusals: list[UnavailableError] = field(default_factory=list)
    surprises: list[BaseException] = field(default_factory=list)
    slowest_refusal_s: float = 0.0
    slowest_acceptance_s: float = 0.0

    def __post_init__(self) -> None:
        self._next = iter(self.attempts)
        self._lock = threading.Lock()
        self._barrier = threading.Barrier(self.threads + 1)
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(self.threads)]

    def start(self) -> Rush:
        """Let everybody go at the same moment."""
        for worker in self._workers:
            worker.start()
        self._barrier.wait(10)
        return self

    def join(self, timeout_s: float = 30.0) -> Rush:
        """Wait until everybody was told something."""
        deadline = time.monotonic() + timeout_s
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            assert not worker.is_alive(), f"a buyer still waits after {timeout_s:g} s"
        assert not self.surprises, self.surprises
        return self

    def run(self, timeout_s: float = 30.0) -> Rush:
        """Start and join."""
        return self.start().join(timeout_s)

    @property
    def jobs(self) -> list[UUID]:
        """The accepted jobs."""
        return list(self.accepted)

    @property
    def told(self) -> int:
        """How many answers have come so far."""
        return len(self.accepted) + len(self.refusals)

    def _work(self) -> None:
        self._barrier.wait(10)
        while True:
            with self._lock:
                attempt = next(self._next, None)
            if attempt is None:
                return
            try:
                self._buy(attempt)
            except BaseException as error:  # noqa: BLE001 - the test fails with it
                self.surprises.append(error)
                return

    def _buy(self, attempt: BookTickets) -> None:
        while True:
            asked_at = time.monotonic()
            try:
                receipt = self.supervisor.submit(attempt)
            except UnavailableError as error:
                took_s = time.monotonic() - asked_at
                with self._lock:
                    self.refusals.append(error)
                    self.slowest_refusal_s = max(self.slowest_refusal_s, took_s)
                    if error.job_id is not None:
                        self.perhaps.add(error.job_id)
                if not (self.persistent and attempt.idempotency_key):
                    return
                time.sleep(_POLL_S)
            else:
                took_s = time.monotonic() - asked_at
                with self._lock:
                    self.accepted[receipt.job_id] = receipt
                    self.slowest_acceptance_s = max(self.slowest_acceptance_s, took_s)
                return


def attempts(event_ids: Sequence[int], buyers: Sequence[int], *, keyed: bool = True) -> list[BookTickets]:
    """Return one attempt of every buyer, the events taking turns."""
    return [
        BookTickets(event_ids[number % len(event_ids)], buyer, 1, f"key-{number}" if keyed else None)
        for number, buyer in enumerate(buyers)
    ]


def undecided(database_url: str, jobs: Sequence[UUID]) -> int:
    """Return how many of the jobs have no outcome in the ledger."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM unnest(%s::uuid[]) AS asked (job_id)"
            " WHERE NOT EXISTS (SELECT FROM booking_ledger AS entry WHERE entry.job_id = asked.job_id)",
            (list(jobs),),
        ).fetchone()
    assert row is not None
    return int(row[0])


def wait_decided(database_url: str, jobs: Sequence[UUID], timeout_s: float = 10.0) -> None:
    """Wait until every job has its outcome in the ledger."""
    deadline = time.monotonic() + timeout_s
    while left := undecided(database_url, jobs):
        if time.monotonic() > deadline:
            raise AssertionError(f"{left} of {len(jobs)} jobs are undecided after {timeout_s:g} s")
        time.sleep(_POLL_S)


def check_answers(supervisor: Supervisor, database_url: str, jobs: Sequence[UUID]) -> None:
    """What every client is told of its job is what the ledger says."""
    said = {}
    with psycopg.connect(database_url, autocommit=True) as connection:
        for job_id, kind, reason in connection.execute(
            "SELECT job_id, kind, reason FROM booking_ledger WHERE job_id = ANY(%s)", (list(jobs),)
        ):
            said[job_id] = (JobState.COMPLETED if kind == "confirmed" else JobState.FAILED, reason)
    for job_id in jobs:
        status = _status(supervisor, job_id)
        assert status is not None, f"{job_id} is unknown"
        assert said[job_id] == (status.status, status.reason), job_id
        assert status.queue_position == 0


@contextmanager
def watched_answers(rush: Rush) -> Iterator[None]:
    """Keep asking for the status of accepted jobs while the block runs: a final answer is the ledger's, from the start.

    To be left when everything is decided.
    """
    over = threading.Event()
    told: dict[UUID, set[tuple[JobState, str | None]]] = {}

    def ask() -> None:
        chance = random.Random(1)
        while not over.wait(0.001):
            jobs = list(rush.accepted)[-50:]
            with suppress(UnavailableError):
                status = rush.supervisor.status(chance.choice(jobs)) if jobs else None
                if status is not None and status.status in (JobState.COMPLETED, JobState.FAILED):
                    told.setdefault(status.job_id, set()).add((status.status, status.reason))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join(10.0)
    for job_id, answers in told.items():
        status = _status(rush.supervisor, job_id)
        assert status is not None
        assert answers == {(status.status, status.reason)}, job_id


def _status(supervisor: Supervisor, job_id: UUID) -> JobStatus | None:
    # Each connection that was cut while idle costs whoever meets it one refusal.
    for _ in range(supervisor.settings.pool_max):
        with suppress(UnavailableError):
            return supervisor.status(job_id)
    return supervisor.status(job_id)


# Each selects what must not exist. Written apart from the product's own audit, on purpose.
_VIOLATIONS = {
    "sold is not the sum of the confirmed bookings, or above the capacity": """
        SELECT event_id, sold, capacity FROM event_inventory AS i
         WHERE sold > capacity
            OR sold <> (SELECT coalesce(sum(quantity), 0) FROM bookings AS b
                         WHERE b.event_id = i.event_id AND status = 'confirmed')""",
    "entry numbers have a gap": """
        SELECT event_id, count(*), max(entry_number) FROM booking_ledger GROUP BY event_id
        HAVING count(*) <> max(entry_number) OR min(entry_number) <> 1""",
    "a job has two outcomes": """
        SELECT job_id, count(*) FROM booking_ledger WHERE job_id IS NOT NULL GROUP BY job_id HAVING count(*) > 1""",
    "a job has two bookings": """
        SELECT job_id, count(*) FROM bookings GROUP BY job_id HAVING count(*) > 1""",
    "a confirmed entry has no booking": """
        SELECT l.event_id, l.entry_number FROM booking_ledger AS l
         WHERE kind = 'confirmed' AND NOT EXISTS (
               SELECT FROM bookings AS b WHERE b.id = l.booking_id AND b.job_id = l.job_id
                  AND b.event_id = l.event_id AND b.user_id = l.user_id AND b.quantity = l.quantity)""",
    "a booking has no confirmed entry": """
        SELECT b.id FROM bookings AS b
         WHERE NOT EXISTS (SELECT FROM booking_ledger AS l WHERE l.booking_id = b.id AND l.kind = 'confirmed')""",
    "refused as sold out while seats were free": """
        SELECT event_id, entry_number FROM booking_ledger
         WHERE reason = 'sold_out' AND capacity_after - sold_after >= quantity""",
    "a user holds more than the cap": """
        SELECT b.event_id, b.user_id, count(*) FROM bookings AS b JOIN event_inventory AS i USING (event_id)
         WHERE status = 'confirmed' GROUP BY b.event_id, b.user_id, i.cap_per_user HAVING count(*) > i.cap_per_user""",
    "decided out of the order of acceptance": """
        SELECT event_id, entry_number, queue_number, before FROM (
            SELECT event_id, entry_number, queue_number,
                   lag(queue_number) OVER (PARTITION BY event_id, era ORDER BY entry_number) AS before
              FROM (SELECT *, count(*) FILTER (WHERE kind = 'queue_restarted')
                              OVER (PARTITION BY event_id ORDER BY entry_number) AS era
                      FROM booking_ledger) AS eras
             WHERE kind IN ('confirmed', 'rejected', 'failed') AND queue_number IS NOT NULL) AS decided
         WHERE queue_number <= before""",
    "a failed job, and none was poisoned": """
        SELECT event_id, entry_number, reason FROM booking_ledger
         WHERE kind = 'failed' AND NOT user_id = ANY(%(poisoned)s)""",
}


def check_rows(
    database_url: str,
    *,
    accepted: Sequence[UUID] = (),
    perhaps: Sequence[UUID] | set[UUID] | frozenset[UUID] = frozenset(),
    poisoned_users: Sequence[int] = (),
    restarts_allowed: bool = False,
    others_allowed: bool = False,
) -> None:
    """Hold the rows against the promises, and the accepted jobs against the ledger: each has one outcome.

    Nobody has an outcome who was neither accepted nor told "perhaps", unless others booked, too.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        for sentence, query in _VIOLATIONS.items():
            found = connection.execute(query, {"poisoned": list(poisoned_users)}).fetchall()  # type: ignore[call-overload]
            assert not found, f"{sentence}: {found[:5]}"
        answered = {row[0] for row in connection.execute("SELECT job_id FROM booking_ledger WHERE job_id IS NOT NULL")}
        restarts = connection.execute("SELECT count(*) FROM booking_ledger WHERE kind = 'queue_restarted'").fetchone()
    assert set(accepted) <= answered, f"{len(set(accepted) - answered)} accepted jobs have no outcome"
    strangers = answered - set(accepted) - set(perhaps)
    assert others_allowed or not strangers, f"{len(strangers)} outcomes of jobs that nobody was told of"
    assert restarts is not None
    assert restarts_allowed or restarts[0] == 0, f"the order began anew {restarts[0]} times"


def check_order(database_url: str, rush: Rush) -> None:
    """The numbers on the receipts are those of the ledger, and their order is the order of acceptance."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT event_id, job_id, queue_number FROM booking_ledger"
            " WHERE kind IN ('confirmed', 'rejected', 'failed') ORDER BY event_id, entry_number"
        ).fetchall()
    last: dict[int, datetime] = {}
    for event_id, job_id, queue_number in rows:
        receipt = rush.accepted.get(job_id)
        if receipt is None:
            continue
        assert receipt.queue_number == queue_number
        assert last.get(event_id, receipt.accepted_at) <= receipt.accepted_at, f"{job_id} overtook somebody"
        last[event_id] = receipt.accepted_at


def check_audit(settings: Settings) -> None:
    """The product's own audit finds nothing."""
    report = Auditor(Database(settings)).run()
    assert report.ok, [violation.sentence for event in report.events for violation in event.violations][:5]


def sold(database_url: str, event_id: int) -> int:
    """Return how many seats of the event are sold."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute("SELECT sold FROM event_inventory WHERE event_id = %s", (event_id,)).fetchone()
    assert row is not None
    return int(row[0])


def check_sale(settings: Settings, rush: Rush, *, restarts_allowed: bool = False) -> None:
    """Everything above: each accepted job decided once, in order, told as recorded, the audit clean."""
    url = settings.database_url
    assert url is not None
    wait_decided(url, rush.jobs)
    check_rows(url, accepted=rush.jobs, perhaps=rush.perhaps, restarts_allowed=restarts_allowed)
    check_order(url, rush)
    check_answers(rush.supervisor, url, rush.jobs)
    check_audit(settings)
