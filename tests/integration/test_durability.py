"""What a 202 promises is what the stores keep, and the operator's minimum is enforced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
import redis

from aurora_atlan.actors.errors import DurabilityUnmetError
from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.config import Settings
from aurora_atlan.persistence.durability import (
    Durability,
    PostgresState,
    read_postgres_state,
    read_redis_state,
    weakest,
)
from aurora_atlan.persistence.embedded import EmbeddedPostgres, EmbeddedRedis
from aurora_atlan.supervisor import Supervisor
from harness.databases import Databases
from harness.short_paths import short_folder
from harness_sales import make_buyers, make_event, running, wait_until


@pytest.fixture(scope="module")
def safe_postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that syncs to the disk, unlike that of the other tests."""
    with short_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", folder / "postgres.log")
        server.start()
        yield server
        server.stop()


@pytest.mark.parametrize(
    ("kept", "expected"), [("always", Durability.ALWAYS), ("everysec", Durability.EVERYSEC), ("none", Durability.NONE)]
)
def test_a_202_states_the_weakest_of_both_stores(
    settings: Settings, safe_postgres: EmbeddedPostgres, kept: str, expected: Durability
) -> None:
    """PostgreSQL keeps everything here, so Redis's class is the one in force, in health and on the receipt."""
    with short_folder() as folder, Databases(safe_postgres).migrated() as url:
        server = EmbeddedRedis(folder / "redis", folder / "redis.log", durability=kept)  # type: ignore[arg-type]
        server.start()
        try:
            safe = replace(settings, database_url=url, migrator_database_url=url, redis_url=server.url())
            with running(safe) as supervisor:
                [buyer] = make_buyers(url, 1)
                receipt = supervisor.submit(BookTickets(make_event(supervisor, 1), buyer))
                components = supervisor.health().components
        finally:
            server.stop()
    assert receipt.durability == expected.value
    assert components["redis"].values["durability"] == expected.value
    assert components["redis"].values["role"] == "master"
    assert components["postgresql"].values["durability"] == "always"
    assert components["postgresql"].values["fsync"] is True


def test_below_the_required_durability_nothing_is_accepted(settings: Settings) -> None:
    """The tests' PostgreSQL does not sync: with ``always`` required bookings are refused, and health is not ready."""
    assert settings.database_url is not None
    supervisor = Supervisor(replace(settings, required_durability="always"))
    supervisor.start()
    try:
        wait_until(lambda: supervisor.health().components["postgresql"].ok, 5.0, "PostgreSQL is reached")
        wait_until(lambda: supervisor.health().components["redis"].ok, 5.0, "Redis is reached")
        event = make_event(supervisor, 1)
        [buyer] = make_buyers(settings.database_url, 1)

        with pytest.raises(DurabilityUnmetError, match="durability none, and always is required"):
            supervisor.submit(BookTickets(event, buyer))

        assert not supervisor.health().ready
        assert not supervisor._fast_jobs.events_with_work(10)
    finally:
        supervisor.stop()


def test_a_redis_that_may_evict_jobs_keeps_none(redis_client: redis.Redis) -> None:
    """Policies that touch keys without a time to live would drop undecided jobs; the others do not."""
    assert read_redis_state(redis_client).durability is Durability.ALWAYS
    redis_client.config_set("maxmemory", "100mb")
    try:
        redis_client.config_set("maxmemory-policy", "allkeys-lru")
        assert read_redis_state(redis_client).durability is Durability.NONE
        redis_client.config_set("maxmemory-policy", "volatile-lru")
        assert read_redis_state(redis_client).durability is Durability.ALWAYS
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")
        redis_client.config_set("maxmemory", "0")


def test_a_commit_that_need_not_reach_the_disk_is_everysec(safe_postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(safe_postgres.url("postgres"), autocommit=True) as connection:
        assert read_postgres_state(connection).durability is Durability.ALWAYS
        connection.execute("SET synchronous_commit = off")
        assert read_postgres_state(connection).durability is Durability.EVERYSEC


@pytest.mark.parametrize(("fsync", "full_page_writes"), [(False, True), (True, False)])
def test_a_postgresql_that_may_be_corrupted_by_a_crash_keeps_none(*, fsync: bool, full_page_writes: bool) -> None:
    assert PostgresState(fsync, full_page_writes, "on", "18").durability is Durability.NONE


def test_classes_are_ordered() -> None:
    always, everysec, none, unknown = Durability.ALWAYS, Durability.EVERYSEC, Durability.NONE, Durability.UNKNOWN

    assert weakest(always, everysec) is everysec
    assert weakest(unknown, always) is unknown
    assert weakest(none, unknown) is none
    assert all(kept.suffices(none) for kept in Durability)
    assert [kept for kept in Durability if kept.suffices(everysec)] == [always, everysec]
    assert [kept for kept in Durability if kept.suffices(always)] == [always]
