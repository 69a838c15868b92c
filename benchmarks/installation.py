"""One installation of the service: a database, a numbered Redis database, and what is in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
import redis

from aurora_atlan.config import Settings
from aurora_atlan.persistence.audit import Auditor
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.events import EventStore, NewEvent
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.migrate import migrate
from aurora_atlan.persistence.redis_clients import patient_client
from benchmarks.crowd import SECRET
from benchmarks.results import MeasurementError

_QUEUE_MAX = 1_000_000
_POLL_S = 0.01
_IDLE_WITHIN_S = 60.0
_DECISIONS = """
    SELECT count(*), count(*) FILTER (WHERE kind = 'confirmed'),
           extract(epoch FROM max(accepted_at) - min(accepted_at))::float8,
           extract(epoch FROM max(at) - min(accepted_at))::float8
      FROM booking_ledger WHERE event_id = ANY(%s) AND job_id IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the ledger says of a sale: its jobs, and the seconds that accepting and deciding them took."""

    decided: int
    confirmed: int
    accepted_in_s: float
    decided_in_s: float


class Installation:
    """A migrated database with users 1 to ``users``, a Redis database of its own, and perhaps settings of its own."""

    def __init__(
        self, name: str, database_url: str, redis_url: str, users: int, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._environ = environ or {}
        self.settings = Settings(
            database_url=database_url,
            migrator_database_url=database_url,
            database_role="aurora_app",
            redis_url=redis_url,
            jwt_secret=SECRET,
        )
        self._url = database_url
        migrate(database_url)
        self._connection = psycopg.connect(database_url, autocommit=True)
        self.run(
            "INSERT INTO users (name, email) SELECT 'Buyer', 'buyer-' || n || '@example.org'"
            " FROM generate_series(1, %s) AS n ORDER BY n ON CONFLICT DO NOTHING",
            users,
        )
        self.settle()
        # Events are made between the measurements: no need to wait for the disk.
        self._database = Database(
            replace(self.settings, database_url=f"{database_url}&options=-csynchronous_commit%3Doff")
        )
        self._database.open()
        self.queue = JobStore(
            patient_client(self.settings), depth_max=_QUEUE_MAX, user_jobs_max=_QUEUE_MAX, ttl_s=3_600
        )

    def environ(self) -> dict[str, str]:
        """Return the environment in which the service serves this installation.

        Without limits of rate, unless the installation's own settings say otherwise.
        """
        settings = self.settings
        assert settings.database_url is not None
        assert settings.redis_url is not None
        return {
            "DATABASE_URL": settings.database_url,
            "AURORA_MIGRATOR_DATABASE_URL": settings.database_url,
            "AURORA_DATABASE_ROLE": "aurora_app",
            "REDIS_URL": settings.redis_url,
            "JWT_SECRET": SECRET,
            "AURORA_OPS_PORT": "off",
            "AURORA_RATE_LIMITS": "off",
            **self._environ,
        }

    def close(self) -> None:
        """Close the connections to both stores."""
        self.queue.close()
        self._database.close()
        self._connection.close()

    def settle(self) -> None:
        """Let the stores put in order what was written, so that they do not do so during the next measurement.

        Raises MeasurementError when Redis takes a minute.
        """
        self.run("VACUUM (ANALYZE)")
        self.run("CHECKPOINT")
        assert self.settings.redis_url is not None
        with redis.Redis.from_url(self.settings.redis_url) as client:
            self._wait_until(lambda: not _rewrites(client), "rewriting Redis' file")
            client.bgrewriteaof()
            self._wait_until(lambda: not _rewrites(client), "rewriting Redis' file")

    def run(self, statement: LiteralString, *parameters: Any) -> None:
        """Run one statement as the owner of the database."""
        self._connection.execute(statement, parameters)

    def run_each(self, *statements: LiteralString, **parameters: Any) -> None:
        """Run statements one after the other in a session of their own, each a transaction."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement, parameters)

    def rows(self, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of one query."""
        return self._connection.execute(query, parameters).fetchall()

    def make_events(self, count: int, capacity: int) -> list[int]:
        """Create events as the service does, with the first entry of their ledgers, and return their ids."""
        events = EventStore(self._database)
        new = NewEvent("Night of lights", "Harbour", datetime(2030, 3, 1, 20, tzinfo=UTC), capacity)
        return [events.create(new).id for _ in range(count)]

    def wait_idle(self) -> None:
        """Wait until every accepted job has its answer, in both stores; raises MeasurementError after a minute."""
        self._wait_until(lambda: not self.queue.events_with_work(1), "deciding its jobs")

    def _wait_until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _IDLE_WITHIN_S
        while not done():
            if time.monotonic() > deadline:
                raise MeasurementError(f"{self.name}: {what} takes more than {_IDLE_WITHIN_S:g} s")
            time.sleep(_POLL_S)

    def decisions(self, event_ids: list[int]) -> Decisions:
        """Return what the ledger says of these events."""
        [(decided, confirmed, accepted_in_s, decided_in_s)] = self.rows(_DECISIONS, event_ids)
        return Decisions(decided, confirmed, accepted_in_s or 0.0, decided_in_s or 0.0)

    def audit(self) -> list[str]:
        """Audit the database as ``aurora-atlan audit`` does, and return what is wrong with it, in sentences."""
        report = Auditor(Database(self.settings)).run()
        return [violation.sentence for event in report.events for violation in event.violations]


def _rewrites(client: redis.Redis) -> bool:
    state: Any = client.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])
