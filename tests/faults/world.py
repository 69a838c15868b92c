"""A service as it runs in production, in small: real stores behind proxies, a real process, and its buyers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import psutil
import psycopg
import redis

from aurora_atlan.config import Settings
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.embedded import EmbeddedPostgres, EmbeddedRedis
from aurora_atlan.persistence.migrate import migrate
from aurora_atlan.persistence.users import UserStore
from aurora_atlan.supervisor import Supervisor
from faults.proxy import Proxy
from faults.row import Stage, demand
from harness.databases import FAST
from harness.service import ServiceProcess
from harness_http import Buyer

JWT_SECRET = "a secret of the fault kit, known to everybody and long enough"

DATABASE = "faults"
# The service logs in as one that is no superuser, so that limits hold for it.
_LOGIN = "service"
_BUYERS = 1_000
_ROLE = "USER"
_TOKEN_VERSION = 1
_TOKEN_LIFETIME_S = 31_536_000
_POLL_S = 0.02
_SHARDS = 64

Durability = Literal["always", "everysec", "none"]


class World:
    """The servers of one row, its service processes, and the way around the proxies for whoever judges them."""

    def __init__(
        self,
        folder: Path,
        postgres: EmbeddedPostgres,
        redis_server: EmbeddedRedis,
        proxies: tuple[Proxy, Proxy],
        url: str,
        environ: Mapping[str, str],
    ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.redis = redis_server
        self.postgres_proxy, self.redis_proxy = proxies
        # Of the superuser, not through the proxy.
        self.url = url
        self._environ = environ
        self.services: list[ServiceProcess] = []
        # The offices's own way to the stores: a supervisor that is never started.
        self.office = Supervisor(
            Settings(
                database_url=url,
                redis_url=redis_server.url(),
                jwt_secret=JWT_SECRET,
                migrate_on_start=False,
                data_dir=folder,
                cpu_affinity="off",
                pool_min=1,
                pool_max=4,
            )
        )

    @property
    def service(self) -> ServiceProcess:
        """The only service, or the first."""
        return self.services[0]

    def add_service(self, **environ: str) -> ServiceProcess:
        """Make one more process over the same stores, not started yet."""
        number = len(self.services) + 1
        service = ServiceProcess({**self._environ, **environ}, self.folder / f"service-{number}.log")
        self.services.append(service)
        return service

    def make_buyers(self, count: int = _BUYERS) -> list[Buyer]:
        """Make buyers, each with a token."""
        issuer = TokenIssuer(self.office.settings)
        return [
            Buyer(user_id, issuer.issue(user_id, _ROLE, _TOKEN_VERSION, lifetime_s=_TOKEN_LIFETIME_S))
            for user_id in UserStore(self.office.database).create_synthetic(count)
        ]

    # Redis.

    def redis_client(self) -> redis.Redis:
        """Connect to Redis, not through the proxy."""
        return redis.Redis.from_url(self.redis.url())

    def kill_redis(self) -> None:
        """SIGKILL it; connections are refused until it is started again."""
        assert self.redis.pid is not None
        os.kill(self.redis.pid, signal.SIGKILL)
        self.redis_proxy.refuse()
        wait_for(lambda: self.redis.pid is None, 5.0, "Redis is gone")

    def start_redis(self) -> None:
        """Start it again, with what it has on disk."""
        self.redis.start()
        self.redis_proxy.pass_on()

    def queued(self) -> int:
        """Return how many jobs wait in Redis."""
        with self.redis_client() as client:
            pipeline = client.pipeline(transaction=False)
            for shard in range(_SHARDS):
                pipeline.zrange(f"{{aa:{shard:02d}}}:pending", 0, -1)
            shards = pipeline.execute()
            for shard, events in enumerate(shards):
                for event in events:
                    pipeline.xlen(f"{{aa:{shard:02d}}}:event:{int(event)}:jobs")
            return sum(max(1, depth) for depth in pipeline.execute())

    # PostgreSQL.

    def stop_postgres(self, *, kill: bool) -> None:
        """Stop it, or SIGKILL the postmaster alone, as the kernel does when memory runs out."""
        if kill:
            assert self.postgres.pid is not None
            postmaster = psutil.Process(self.postgres.pid)
            postmaster.kill()
            self.postgres_proxy.refuse()
            wait_for(lambda: self.postgres.pid is None, 5.0, "the postmaster is gone")
        else:
            self.postgres.stop()
            self.postgres_proxy.refuse()

    def start_postgres(self) -> None:
        """Start it again."""
        self.postgres.start()
        self.postgres_proxy.pass_on()

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Connect as an operator, not through the proxy."""
        return psycopg.connect(self.url, autocommit=True)

    def decided(self) -> int:
        """Return a number that grows with each deciding transaction, and with nothing else."""
        with self.connect() as connection:
            row = connection.execute(
                "SELECT coalesce(sum(last_queue_number), 0)::bigint FROM event_inventory"
            ).fetchone()
        assert row is not None
        return int(str(row[0]))

    def first_commit(self, before: int, since: float, within_s: float, what: str) -> float:
        """Wait for the first decision after ``before`` and return the seconds since ``since``; raises FaultError."""
        while True:
            with suppress(psycopg.OperationalError):
                if self.decided() > before:
                    return time.monotonic() - since
            took_s = time.monotonic() - since
            demand(took_s < within_s + 5.0, f"no commit within {took_s:.1f} s of {what}, {within_s:g} s are allowed")
            time.sleep(_POLL_S)


@contextmanager
def made(
    stage: Stage,
    *,
    durability: Durability = "always",
    environ: Mapping[str, str] | None = None,
    postgres_options: Mapping[str, str] | None = None,
) -> Iterator[World]:
    """Run a world in the stage's folder, without a service yet; everything has ended afterwards."""
    folder = stage.folder
    postgres = EmbeddedPostgres(
        folder / "postgres", folder / "postgres.log", options={**FAST, **(postgres_options or {})}
    )
    redis_server = EmbeddedRedis(folder / "redis", folder / "redis.log", durability=durability)
    with ExitStack() as stack:
        stack.callback(redis_server.stop)
        redis_server.start()
        stack.callback(postgres.stop)
        postgres.start()
        postgres.ensure_database(DATABASE)
        url = postgres.url(DATABASE)
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {_LOGIN} LOGIN IN ROLE aurora_app")
        proxies = (
            stack.enter_context(Proxy(_socket_of(url))),
            stack.enter_context(Proxy(redis_server.socket)),
        )
        through = f"postgresql://{_LOGIN}@127.0.0.1:{proxies[0].port}{urlsplit(url).path}"
        service_environ = {
            "DATABASE_URL": f"{through}?sslmode=disable&gssencmode=disable",
            "AURORA_DATABASE_ROLE": "aurora_app",
            "AURORA_MIGRATE_ON_START": "false",
            "REDIS_URL": f"redis://127.0.0.1:{proxies[1].port}/0",
            "JWT_SECRET": JWT_SECRET,
            "AURORA_RATE_LIMITS": "off",
            "AURORA_CPU_AFFINITY": os.environ.get("FAULTS_CPU_AFFINITY", "auto"),
            **stage.environment(),
            **(environ or {}),
        }
        world = World(folder, postgres, redis_server, proxies, url, service_environ)
        world.office.database.open()
        # It asks the stores as if it had been started.
        world.office._pid = os.getpid()
        stack.callback(world.office.database.close)
        stack.callback(lambda: end_all(world))
        yield world


def end_all(world: World) -> None:
    """End every service process, frozen ones too."""
    for service in world.services:
        with suppress(AssertionError, ProcessLookupError):
            os.kill(service.pid, signal.SIGCONT)
        with suppress(AssertionError):
            service.kill()


def _socket_of(url: str) -> Path:
    [folder] = parse_qs(urlsplit(url).query)["host"]
    return Path(folder) / ".s.PGSQL.5432"


def wait_for(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Wait until the condition holds; raises FaultError."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        demand(time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}")
        time.sleep(_POLL_S)
