"""Stores that are away, as clients and operators of a running service see it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedPostgres, EmbeddedRedis
from harness.databases import FAST, Databases
from harness.service import ServiceProcess
from harness.short_paths import short_folder
from harness_http import Client, HttpRush, Wish, make_buyers
from harness_sales import check_audit, check_rows, create_event, sold, undecided, wait_decided, wait_until

JWT_SECRET = "a secret of tests, known to everybody and long enough"


@pytest.fixture(scope="module")
def own_servers() -> Iterator[tuple[EmbeddedPostgres, EmbeddedRedis, Databases]]:
    """A PostgreSQL and a Redis that these tests may stop."""
    with short_folder() as folder:
        postgres = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", options=FAST)
        redis = EmbeddedRedis(folder / "redis", folder / "redis.log")
        postgres.start()
        redis.start()
        try:
            yield postgres, redis, Databases(postgres)
        finally:
            redis.stop()
            postgres.stop()


@pytest.fixture
def stores(
    own_servers: tuple[EmbeddedPostgres, EmbeddedRedis, Databases],
) -> Iterator[tuple[EmbeddedPostgres, EmbeddedRedis, Settings]]:
    """Both servers, running, and settings for a fresh database over them."""
    postgres, redis, databases = own_servers
    with databases.migrated() as url:
        try:
            yield postgres, redis, Settings(database_url=url, redis_url=redis.url(), jwt_secret=JWT_SECRET)
        finally:
            for server in (postgres, redis):
                if server.pid is None:
                    server.start()


Stores = tuple[EmbeddedPostgres, EmbeddedRedis, Settings]


def environ_for(settings: Settings) -> dict[str, str]:
    """Return the environment of a service with these settings."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    return {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "JWT_SECRET": JWT_SECRET}


def test_bookings_while_postgresql_is_down(
    stores: Stores, make_service: Callable[..., ServiceProcess], tmp_path: Path
) -> None:
    """They get their 202, wait, and are decided when it is back; /readyz stays 200 and names it, /livez too."""
    postgres, _, settings = stores
    url = settings.database_url
    assert url is not None
    service = make_service(**environ_for(settings))
    service.start()
    event = create_event(settings, 50)
    buyers = make_buyers(service.environ, 401, tmp_path / "buyers")
    with Client(service.url, buyers[-1].token) as client, Client(service.ops_url) as operator:
        assert client.book(event).status == 202
        postgres.stop()
        rush = HttpRush(service.url, [Wish(buyer, event) for buyer in buyers[:-1]]).run()
        assert len(rush.accepted) == 400
        assert not rush.refused
        waiting = client.status(next(iter(rush.accepted.values())))
        assert waiting.status == 200
        assert waiting.body["status"] in ("queued", "processing")
        assert int(waiting.headers["Retry-After"]) >= 1
        wait_until(lambda: not operator.get("/readyz").body["components"]["postgresql"]["ok"], 2.0, "/readyz tells")
        assert operator.get("/readyz").status == 200
        assert operator.get("/livez").status == 200
        # What needs PostgreSQL says so, and when to come back.
        unread = client.get("/api/bookings/history")
        assert unread.status == 503
        assert "Retry-After" in unread.headers
        postgres.start()
        wait_until(lambda: undecided(url, rush.jobs) < 400, 2.0, "the first commit")
        wait_decided(url, rush.jobs, timeout_s=5.0)
        wait_until(lambda: operator.get("/readyz").body["components"]["postgresql"]["ok"], 2.0, "/readyz tells")
    check_rows(url, accepted=rush.jobs, others_allowed=True)
    check_audit(settings)
    assert sold(url, event) == 50


def test_redis_killed_while_people_book(
    stores: Stores, make_service: Callable[..., ServiceProcess], tmp_path: Path
) -> None:
    """503 with Retry-After within 1.5 s, /readyz 503 and /livez 200; then it goes on, and nothing is lost."""
    _, redis, settings = stores
    url = settings.database_url
    assert url is not None
    service = make_service(**environ_for(settings))
    service.start()
    event = create_event(settings, 100)
    buyers = make_buyers(service.environ, 1200, tmp_path / "buyers")
    wishes = [Wish(buyer, event, "mine") for buyer in buyers]
    rush = HttpRush(service.url, wishes, persistent=True).start()
    wait_until(lambda: len(rush.accepted) >= 300, 10.0, "bookings are accepted")
    assert redis.pid is not None
    os.kill(redis.pid, signal.SIGKILL)
    wait_until(lambda: redis.pid is None, 3.0, "Redis is gone")
    wait_until(lambda: rush.refused, 3.0, "somebody is refused")
    wait_until(lambda: service.probe("/readyz") == 503, 2.0, "/readyz tells")
    assert service.probe("/livez") == 200
    redis.start()
    wait_until(lambda: service.probe("/readyz") == 200, 2.0, "/readyz tells")
    rush.join()
    assert len(rush.accepted) == 1200
    assert not rush.aborted
    assert max(took_s for _, took_s in rush.refused) < 1.5
    wait_decided(url, rush.jobs, timeout_s=10.0)
    check_rows(url, accepted=rush.jobs, perhaps=rush.perhaps)
    check_audit(settings)
    assert sold(url, event) == 100


def test_a_service_whose_stores_are_down_starts_and_waits(
    stores: Stores, make_service: Callable[..., ServiceProcess]
) -> None:
    """It lives, says what is missing, refuses bookings with Retry-After, and is ready when they come, one by one."""
    postgres, redis, settings = stores
    redis.stop()
    postgres.stop()
    service = make_service(**environ_for(settings))
    service.start(wait=False)
    wait_until(lambda: service.probe("/livez") == 200, 10.0, "it lives")
    with Client(service.ops_url) as operator, Client(service.url) as client:
        ready = operator.get("/readyz")
        assert ready.status == 503
        assert not ready.body["components"]["redis"]["ok"]
        assert not ready.body["components"]["postgresql"]["ok"]
        assert operator.get("/startupz").status == 503
        asked_at = time.monotonic()
        status = client.status("00000000-0000-8000-8000-000000000000")
        assert time.monotonic() - asked_at < 1.5
        assert status.status == 503
        assert "Retry-After" in status.headers
        postgres.start()
        wait_until(lambda: operator.get("/readyz").body["components"]["postgresql"]["ok"], 2.5, "PostgreSQL is there")
        assert operator.get("/readyz").status == 503
        redis.start()
        wait_until(lambda: operator.get("/readyz").status == 200, 2.0, "it is ready")
        assert operator.get("/startupz").status == 200
        client.register()
        event = create_event(settings, 5)
        assert client.book(event).status == 202
    assert service.terminate() == 0


def test_sigterm_while_the_stores_are_down_ends_the_service(
    stores: Stores, make_service: Callable[..., ServiceProcess]
) -> None:
    """With neither PostgreSQL nor Redis it still exits with 0 within 20 seconds."""
    postgres, redis, settings = stores
    service = make_service(**environ_for(settings))
    service.start()
    event = create_event(settings, 5)
    with Client(service.url) as client:
        client.register()
        assert client.book(event).status == 202
        postgres.stop()
        client.book(event)
    redis.stop()
    started_at = time.monotonic()
    assert service.terminate(25.0) == 0, service.log_text()
    assert time.monotonic() - started_at < 20.0
