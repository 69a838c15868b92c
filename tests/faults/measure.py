"""What recovery and rest cost: time to the first and the last commit after a crash, memory, and CPU when idle.

``python -m faults.measure`` prints a table; ``--report FILE`` writes it as Markdown, too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
import psycopg

from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedPostgres, EmbeddedRedis
from aurora_atlan.persistence.job_ids import random_job_id
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.records import NewJob
from aurora_atlan.persistence.redis_clients import patient_client
from harness.databases import Databases
from harness.service import ServiceProcess
from harness.short_paths import short_folder
from harness_sales import make_buyers, wait_until

_PENDING = (1_000, 10_000, 100_000)
_EVENTS_WITH_PENDING = 50
_ENQUEUE_AT_ONCE = 1_000
_FIRST_COMMIT_MAX_S = 3.0

_KNOWN_EVENTS = 10_000
_ACTORS = 512
_MEMORY_MAX_MB = 300

_IDLE_FOR_S = 20.0
_IDLE_MAX_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Measure:
    """One number, and what it must stay below; None: it is only told."""

    what: str
    value: float
    unit: str
    limit: float | None

    @property
    def ok(self) -> bool:
        """Whether the limit holds."""
        return self.limit is None or self.value <= self.limit

    def cells(self) -> tuple[str, str, str, str]:
        """Return the row of the table."""
        limit = "" if self.limit is None else f"{self.limit:g} {self.unit}"
        value = f"{self.value:,.0f}" if self.value >= 1_000 else f"{self.value:.3g}"
        return self.what, f"{value} {self.unit}", limit, "ok" if self.ok else "TOO MUCH"


class Stores:
    """A PostgreSQL and a Redis that keep everything, as in earnest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = EmbeddedPostgres(folder / "postgres", folder / "postgres.log")
        self.redis = EmbeddedRedis(folder / "redis", folder / "redis.log")

    @contextmanager
    def running(self) -> Iterator[Databases]:
        """Run both, and give the databases."""
        self.postgres.start()
        self.redis.start()
        try:
            yield Databases(self.postgres)
        finally:
            self.redis.stop()
            self.postgres.stop()


def recovery(stores: Stores, databases: Databases, pending: int) -> list[Measure]:
    """Start a service that finds so many undecided jobs; time its first and its last commit from the start."""
    with databases.migrated() as url:
        _fill(url, stores.redis.url(), events=_EVENTS_WITH_PENDING, jobs=pending)
        service = _service(stores, url)
        started_at = time.monotonic()
        service.start(wait=False)
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                wait_until(lambda: _decided(connection), 60, "the first commit")
                first_s = time.monotonic() - started_at
                wait_until(lambda: _decided(connection) == pending, 300, "the last commit")
                last_s = time.monotonic() - started_at
        finally:
            service.stop()
    return [
        Measure(f"first commit with {pending:,} pending", first_s, "s", _FIRST_COMMIT_MAX_S),
        Measure(f"all {pending:,} decided", last_s, "s", None),
        Measure("decided per second after the first commit", pending / max(last_s - first_s, 1e-3), "/s", None),
    ]


def rest(stores: Stores, databases: Databases) -> list[Measure]:
    """Let a service get to know ten thousand events and keep 512 actors; then measure its memory and its idleness."""
    with databases.migrated() as url:
        service = _service(stores, url, AURORA_ACTOR_IDLE_S="3600", AURORA_ACTORS_MAX=str(_ACTORS))
        service.start()
        try:
            fresh = _cpu_share(service.pid)
            _fill(url, stores.redis.url(), events=_KNOWN_EVENTS, jobs=_KNOWN_EVENTS)
            with psycopg.connect(url, autocommit=True) as connection:
                wait_until(lambda: _decided(connection) == _KNOWN_EVENTS, 120, "every event has decided a job")
            actors = _actors(service)
            busy = _cpu_share(service.pid)
            memory_mb = psutil.Process(service.pid).memory_info().rss / 1e6
        finally:
            service.stop()
    assert actors == _ACTORS, f"{actors} actors are alive"
    return [
        Measure("a core's share when idle, fresh", fresh * 100, "%", _IDLE_MAX_SHARE * 100),
        Measure(f"a core's share when idle, {_ACTORS} actors", busy * 100, "%", _IDLE_MAX_SHARE * 100),
        Measure(f"memory with {_ACTORS} actors and {_KNOWN_EVENTS:,} events", memory_mb, "MB", _MEMORY_MAX_MB),
    ]


def _fill(database_url: str, redis_url: str, *, events: int, jobs: int) -> None:
    """Put jobs into the queues as a service does that is killed before it decides any."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        event_ids = _create_events(connection, events, capacity=jobs)
    buyers = make_buyers(database_url, jobs)
    client = patient_client(Settings(redis_url=redis_url))
    store = JobStore(client, depth_max=jobs, user_jobs_max=jobs, ttl_s=3600)
    try:
        for event_id in event_ids:
            store.seed(event_id, highest_number=0, last_decided=0)
        new = [
            NewJob(random_job_id(event_id), event_id, buyer, 1, None)
            for event_id, buyer in zip(itertools.cycle(event_ids), buyers, strict=False)
        ]
        for start in range(0, jobs, _ENQUEUE_AT_ONCE):
            store.enqueue(new[start : start + _ENQUEUE_AT_ONCE])
    finally:
        store.close()


def _create_events(connection: psycopg.Connection[tuple[int]], count: int, capacity: int) -> list[int]:
    rows = connection.execute(
        "WITH made AS (INSERT INTO events (name, venue, time)"
        " SELECT 'Event ' || n, 'Atlan', now() + interval '1 year' FROM generate_series(1, %s) AS n RETURNING id)"
        " INSERT INTO event_inventory (event_id, capacity) SELECT id, %s FROM made RETURNING event_id",
        (count, capacity),
    ).fetchall()
    return [row[0] for row in rows]


def _service(stores: Stores, database_url: str, **environ: str) -> ServiceProcess:
    return ServiceProcess(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": stores.redis.url(),
            "JWT_SECRET": "a secret of more than thirty-two bytes",
            "AURORA_RATE_LIMITS": "off",
            **environ,
        },
        stores.folder / "service.log",
    )


def _decided(connection: psycopg.Connection[tuple[int]]) -> int:
    row = connection.execute(
        "SELECT count(*) FROM booking_ledger WHERE kind IN ('confirmed', 'rejected', 'failed')"
    ).fetchone()
    assert row is not None
    return row[0]


def _actors(service: ServiceProcess) -> int:
    with urllib.request.urlopen(f"{service.ops_url}/readyz", timeout=5) as response:
        alive: int = json.load(response)["components"]["actors"]["alive"]
    return alive


def _cpu_share(pid: int) -> float:
    process = psutil.Process(pid)
    before, began_at = process.cpu_times(), time.monotonic()
    time.sleep(_IDLE_FOR_S)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.monotonic() - began_at)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if a limit was broken."""
    parser = argparse.ArgumentParser(prog="python -m faults.measure", description=__doc__)
    parser.add_argument("--report", type=Path, help="write the table as Markdown to this file")
    report: Path | None = parser.parse_args(arguments).report
    measures: list[Measure] = []
    with short_folder() as folder:
        stores = Stores(folder)
        with stores.running() as databases:
            for pending in _PENDING:
                measures += _told(recovery(stores, databases, pending))
            measures += _told(rest(stores, databases))
    if report is not None:
        rows = [("measured", "value", "at most", ""), ("---", "---", "---", "---"), *(m.cells() for m in measures)]
        report.write_text("".join(f"| {' | '.join(row)} |\n" for row in rows), encoding="utf-8")
    return 0 if all(measure.ok for measure in measures) else 1


def _told(measures: list[Measure]) -> list[Measure]:
    for measure in measures:
        what, value, limit, verdict = measure.cells()
        click.echo(f"{what:48} {value:>12} {limit:>10}  {verdict}")
    return measures


if __name__ == "__main__":
    sys.exit(main())
