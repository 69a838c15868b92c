"""What rows within this process stand on: servers of their own, a sale under way, and the last word on it."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import psycopg

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedPostgres, EmbeddedRedis
from aurora_atlan.persistence.outbox import OutcomeNotice as Outcome
from aurora_atlan.supervisor import Supervisor
from faults.clients import Load, Sale, database_of, told_of
from faults.rare_paths import watched_paths
from faults.row import Stage, demand
from harness.databases import FAST, Databases
from harness.short_paths import short_folder
from harness_sales import wait_until
from oracle.checker import check_final, undecided
from oracle.history import Delivered, History, Told

_QUIET_S = 10.0
_template: ContextVar[Path | None] = ContextVar("_template", default=None)


@dataclass(frozen=True)
class Servers:
    """A row's PostgreSQL and Redis, and as many separate sales over them as it wants."""

    databases: Databases
    redis: EmbeddedRedis
    stage: Stage

    @contextmanager
    def settings(self, number: int = 0, **changes: Any) -> Iterator[Settings]:
        """Give settings over a database of its own, with the times of the stage, changed as asked."""
        with self.databases.migrated() as url:
            yield replace(
                Settings(
                    database_url=url,
                    migrator_database_url=url,
                    database_role="aurora_app",
                    redis_url=self.redis.url(number),
                    migrate_on_start=False,
                    data_dir=self.stage.folder,
                    cpu_affinity="off",
                    **self.stage.times(),
                ),
                **changes,
            )


@contextmanager
def servers(stage: Stage) -> Iterator[Servers]:
    """Run a PostgreSQL and a Redis for one row."""
    postgres = _postgres_in(stage.folder)
    redis = EmbeddedRedis(stage.folder / "redis", stage.folder / "redis.log")
    with ExitStack() as stack:
        stack.callback(postgres.stop)
        if (template := _template.get()) is not None:
            # With its owner, who is not this user when that is root.
            subprocess.run(["cp", "-a", template, stage.folder], check=True)
        postgres.start()
        stack.callback(redis.stop)
        redis.start()
        yield Servers(Databases(postgres), redis, stage)


@contextmanager
def one_template() -> Iterator[None]:
    """Let rows within the block copy one PostgreSQL's data folder, which saves each of them a second."""
    with short_folder() as folder:
        postgres = _postgres_in(folder)
        postgres.start()
        try:
            Databases(postgres)
        finally:
            postgres.stop()
        before = _template.set(folder / "postgres")
        try:
            yield
        finally:
            _template.reset(before)


def _postgres_in(folder: Path) -> EmbeddedPostgres:
    # A deadlock is looked for before the shortest lock timeout is over, and late enough to be made.
    options = FAST | {"deadlock_timeout": "60ms"}
    return EmbeddedPostgres(folder / "postgres", folder / "postgres.log", options=options)


@dataclass
class World:
    """One supervisor, its clients, and what they saw."""

    settings: Settings
    supervisor: Supervisor
    sale: Sale
    history: History
    stage: Stage
    poisoned: list[int] = field(default_factory=list)
    _settled: bool = False

    @property
    def url(self) -> str:
        """The URL of the sale's database."""
        return database_of(self.settings)

    def settle(self) -> None:
        """End the sale, let everything come to rest, and demand that every promise was kept; once is enough."""
        if self._settled:
            return
        self._settled = True
        self.sale.stop()
        settle(self.supervisor, self.history, poisoned=self.poisoned)


@contextmanager
def started(settings: Settings, history: History) -> Iterator[Supervisor]:
    """Run a supervisor whose outcomes are delivered into the history."""

    def deliver(told: Outcome) -> None:
        history.add(Delivered(event_id=told.event_id, entry_number=told.entry_number, job_id=told.job_id))

    supervisor = Supervisor(settings, on_outcome=deliver)
    supervisor.start()
    try:
        wait_until(lambda: supervisor.health().ready, 10.0, "the supervisor is ready")
        yield supervisor
    finally:
        supervisor.stop()


@contextmanager
def sale_under_way(stage: Stage, *patches: Any, load: Load | None = None, **changes: Any) -> Iterator[World]:
    """A sale that goes on while the block runs, over servers of its own; afterwards it is settled.

    ``patches`` are in force from before the start of the supervisor.
    """
    history = History()
    with ExitStack() as stack:
        settings = stack.enter_context(stack.enter_context(servers(stage)).settings(**changes))
        stack.enter_context(watched_paths(stage))
        for patch in patches:
            stack.enter_context(patch)
        supervisor = stack.enter_context(started(settings, history))
        world = World(settings, supervisor, Sale(supervisor, history, stage, load), history, stage)
        with world.sale:
            yield world
        world.settle()


def settle(supervisor: Supervisor, history: History, *, poisoned: Collection[int] = ()) -> None:
    """Wait until all is quiet, and demand that every promise was kept; new buyers are to be gone by now."""
    url = database_of(supervisor.settings)
    jobs = history.accepted_jobs()
    wait_until(lambda: not undecided(url, jobs), _QUIET_S, f"all {len(jobs)} jobs are decided")
    wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), _QUIET_S, "no work is left in Redis")
    wait_until(lambda: all_well(supervisor), _QUIET_S, "every component is well")
    wait_until(lambda: not _rows(url, "SELECT FROM outbox LIMIT 1"), _QUIET_S, "every outcome is delivered")
    for told in [supervised_answer(supervisor, job_id) for job_id in jobs - {told.job_id for told in history.told}]:
        if told is not None:
            history.add(told)
    violations = check_final(
        url,
        history,
        poisoned_users=poisoned,
        status_of=lambda job_id: supervised_answer(supervisor, job_id),
    )
    demand(not violations, "; ".join(f"{found.invariant}: {found.sentence}" for found in violations[:5]))


def all_well(supervisor: Supervisor) -> bool:
    """Tell whether breakers are closed, nothing is quarantined, and no actor waits for its start."""
    components = supervisor.health().components.values()
    return all(component.ok for component in components) and not supervisor._cells.wanting()


def supervised_answer(supervisor: Supervisor, job_id: UUID) -> Told | None:
    """Return the final answer for a job; None when there is none. Each cut connection costs one refusal."""
    for _ in range(supervisor.settings.pool_max):
        try:
            return told_of(supervisor.status(job_id))
        except UnavailableError:
            continue
    return told_of(supervisor.status(job_id))


def waits_s(url: str, since: float = 0.0, until: float = 2e10, without: Collection[int] = ()) -> list[float]:
    """Return how long decided jobs waited from acceptance to decision, in seconds and ascending.

    Of those accepted between two times of the wall clock, leaving out some events.
    """
    rows = _rows(
        url,
        "SELECT extract(epoch FROM at - accepted_at)::float8 FROM booking_ledger"
        " WHERE kind IN ('confirmed', 'rejected', 'failed') AND event_id <> ALL(%(without)s::bigint[])"
        "   AND accepted_at >= to_timestamp(%(since)s) AND accepted_at < to_timestamp(%(until)s) ORDER BY 1",
        {"without": list(without), "since": since, "until": until},
    )
    return [row[0] for row in rows]


def p99(values: Sequence[float]) -> float:
    """Return the 99th percentile of ascending values."""
    return values[min(len(values) - 1, len(values) * 99 // 100)]


def replaced(target: Any, name: str, value: Any) -> Any:
    """Put a value in an attribute's place for the duration of a block."""
    return mock.patch.object(target, name, value)


def milliseconds(value_s: float) -> str:
    """Write a time as people read it."""
    return f"{value_s * 1000:.0f} ms"


def _rows(url: str, query: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query, parameters).fetchall()
