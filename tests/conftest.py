"""Fixtures that every test may ask for: real servers, a fresh database and queue, and settings for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedPostgres, EmbeddedRedis
from harness.databases import FAST, Databases
from harness.service import ServiceProcess
from harness.short_paths import short_folder

JWT_SECRET = "a secret of tests, known to everybody and long enough"


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for the session's servers."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for a service's own embedded servers, with a short path."""
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The session's PostgreSQL."""
    server = EmbeddedPostgres(server_folder / "postgres", server_folder / "postgres.log", options=FAST)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def databases(postgres_server: EmbeddedPostgres) -> Databases:
    """Databases of the session's PostgreSQL, for tests that need several."""
    return Databases(postgres_server)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The URL, as superuser, of a migrated database of this test's own."""
    with databases.migrated() as url:
        yield url


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[EmbeddedRedis]:
    """The session's Redis."""
    server = EmbeddedRedis(server_folder / "redis", server_folder / "redis.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The URL of a Redis with nothing in it."""
    url = redis_server.url()
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings for a service over this test's own stores, with waits of a test's size."""
    return Settings(
        database_url=database_url,
        migrator_database_url=database_url,
        database_role="aurora_app",
        redis_url=redis_url,
        jwt_secret=JWT_SECRET,
        data_dir=tmp_path,
        migrate_on_start=False,
        port=0,
        ops_port=0,
        threads=8,
        cpu_affinity="off",
        lease_s=2.0,
        sweep_s=0.2,
        backoff_min_s=0.02,
        backoff_max_s=0.2,
        quarantine_s=0.5,
    )


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., ServiceProcess]]:
    """Makes services as processes, not started yet, from settings by their variables; ended afterwards."""
    with ExitStack() as stack:
        logs = iter(range(1, 100))

        def make(**environ: str) -> ServiceProcess:
            service = ServiceProcess(environ, tmp_path / f"service-{next(logs)}.log")
            stack.callback(service.stop)
            return service

        yield make


@pytest.fixture
def service(make_service: Callable[..., ServiceProcess], database_url: str, redis_url: str) -> Iterator[ServiceProcess]:
    """The service as a running process, over this test's own stores."""
    process = make_service(
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        JWT_SECRET=JWT_SECRET,
        AURORA_DATABASE_ROLE="aurora_app",
        AURORA_MIGRATOR_DATABASE_URL=database_url,
    )
    process.start()
    yield process
    # Before its database is dropped, which takes seconds while somebody connects again and again.
    process.stop()
