"""Where bugs are planted: one PostgreSQL and one Redis, and for every sale an empty database and an empty queue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedPostgres, EmbeddedRedis
from harness.databases import FAST, Databases
from harness.short_paths import short_folder
from oracle.mutations import Mutation, Trial, run


@dataclass(frozen=True, slots=True)
class Examination:
    """One bug's two sales."""

    mutation: Mutation
    without_bug: Trial
    with_bug: Trial
    took_s: float

    @property
    def caught(self) -> bool:
        """The named invariant was found broken."""
        return self.mutation.wanted in self.with_bug.invariants

    @property
    def passed(self) -> bool:
        """It was, and without the bug nothing was found."""
        return self.caught and self.without_bug.clean

    def evidence(self) -> Iterator[str]:
        """Give the first of the violations that were wanted, and everything that should not be."""
        wanted = [one for one in self.with_bug.violations if one.invariant == self.mutation.wanted]
        for violation in wanted[:1]:
            yield f"{violation.invariant}: {violation.sentence}"
        for violation in self.without_bug.violations:
            yield f"without the bug, {violation.invariant}: {violation.sentence}"
        for name, trial in (("without the bug", self.without_bug), ("with the bug", self.with_bug)):
            if trial.broke_off is not None:
                yield f"{name}, the sale broke off: {trial.broke_off}"


@dataclass(frozen=True, slots=True)
class Laboratory:
    """The servers."""

    folder: Path
    databases: Databases
    redis_url: str

    def examine(self, mutation: Mutation) -> Examination:
        """Hold a bug's sale without it and with it."""
        started_at = time.monotonic()
        without_bug = self._trial(mutation, with_bug=False)
        with_bug = self._trial(mutation, with_bug=True)
        return Examination(mutation, without_bug, with_bug, time.monotonic() - started_at)

    def _trial(self, mutation: Mutation, *, with_bug: bool) -> Trial:
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
        with self.databases.migrated() as url:
            return run(mutation, self._settings(url), with_bug=with_bug)

    def _settings(self, database_url: str) -> Settings:
        return Settings(
            database_url=database_url,
            database_role="aurora_app",
            redis_url=self.redis_url,
            data_dir=self.folder,
            migrate_on_start=False,
            cpu_affinity="off",
            sweep_s=0.2,
            backoff_min_s=0.02,
            backoff_max_s=0.2,
            quarantine_s=0.5,
        )


@contextmanager
def laboratory() -> Iterator[Laboratory]:
    """Run the servers as long as the block runs."""
    with short_folder() as folder:
        postgres = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", options=FAST)
        queue = EmbeddedRedis(folder / "redis", folder / "redis.log")
        postgres.start()
        try:
            queue.start()
            yield Laboratory(folder, Databases(postgres), queue.url())
        finally:
            queue.stop()
            postgres.stop()
