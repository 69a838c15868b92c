"""Every setting of the service: its type, default, limits and environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

from aurora_atlan.config import kinds
from aurora_atlan.config.environment import read_environment
from aurora_atlan.config.errors import ConfigurationError
from aurora_atlan.config.faults import FaultRule
from aurora_atlan.config.option import option, option_of, variable_of

_POSTGRES = kinds.url("postgresql", "postgres", example="postgresql://user:password@host:5432/database")
_REDIS = kinds.url("redis", "rediss", "unix", example="redis://host:6379/0, rediss://... or unix:///path/redis.sock")
_HOST = kinds.matching(r"[A-Za-z0-9.:_\[\]-]{1,253}", "a host name or an IP address")
_PORT = kinds.whole(0, 65_535)
_PROXY = kinds.matching(r"\*|[0-9A-Fa-f.:]{2,45}", "an IP address, or * for any")
_ROLE = kinds.matching(r"[a-z_][a-z0-9_]{0,62}", "the name of a PostgreSQL role, in lower case")
_RATE = kinds.or_off(kinds.rate())
_DURABILITY = kinds.one_of("always", "everysec", "none")
_LEVEL = kinds.one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# No access token lives longer, so whoever remembers for so long which were voided need not remember for ever.
ACCESS_TOKEN_LIFETIME_MAX_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one service; times in seconds.

    Constructing one, by hand or with :meth:`from_env`, raises :class:`ConfigurationError` when a value
    is not accepted. Secrets are left out of ``repr``.
    """

    # Stores: None means an embedded server of the command line's own.
    database_url: str | None = option(None, _POSTGRES, variable="DATABASE_URL", secret=True)
    redis_url: str | None = option(None, _REDIS, variable="REDIS_URL", secret=True)
    # Used for migrations instead of database_url: the service itself needs no right to change the schema.
    migrator_database_url: str | None = option(None, _POSTGRES, secret=True)
    # The role that the service's sessions switch to after logging in.
    database_role: str | None = option(None, kinds.or_off(_ROLE))
    migrate_on_start: bool = option(True, kinds.flag())
    data_dir: Path = option(Path("var"), kinds.path())

    # Serving.
    host: str = option("127.0.0.1", _HOST, variable="HOST")
    port: int = option(3000, _PORT, variable="PORT")
    ops_host: str = option("127.0.0.1", _HOST)
    ops_port: int | None = option(3001, kinds.or_off(_PORT))
    threads: int = option(16, kinds.whole(1, 512))
    # Beside them, for bookings alone.
    booking_threads: int = option(64, kinds.whole(1, 512))
    cpu_affinity: Literal["auto", "off"] | tuple[int, ...] = option("auto", kinds.cores())
    log_level: str = option("INFO", _LEVEL)
    log_format: str = option("console", kinds.one_of("console", "json"))
    metrics: bool = option(True, kinds.flag())
    # Pages of other origins that may call the API from a browser; none: CORS is off.
    cors_origins: tuple[str, ...] = option((), kinds.origins())
    docs: bool = option(True, kinds.flag())
    # Whose X-Forwarded-For is believed; None: nobody's.
    trusted_proxy: str | None = option(None, kinds.or_off(_PROXY))
    trusted_proxy_count: int = option(1, kinds.whole(1, 10))

    # Webhooks may lead to addresses of the private network; without TLS to one's own machine.
    webhook_private_addresses: bool = option(False, kinds.flag())

    # Rate limits, in the notation of the library limits; "off" switches all of them off.
    rate_limits: Literal["on", "off"] = option("on", kinds.one_of("on", "off"))
    rate_limit_booking_user: str | None = option("20/second", _RATE)
    rate_limit_booking_ip: str | None = option("1000/second", _RATE)
    rate_limit_login_account: str | None = option("10/minute", _RATE)
    rate_limit_login_ip: str | None = option("60/minute", _RATE)
    rate_limit_register_ip: str | None = option("30/minute", _RATE)
    rate_limit_read_ip: str | None = option("200/second", _RATE)

    # Accounts.
    jwt_secret: str | None = option(None, kinds.secret(32), variable="JWT_SECRET", secret=True)
    access_token_lifetime_s: int = option(900, kinds.whole(1, ACCESS_TOKEN_LIFETIME_MAX_S))
    refresh_token_lifetime_s: int = option(2_592_000, kinds.whole(60, 31_536_000))

    # PostgreSQL.
    pool_min: int = option(2, kinds.whole(0, 1_000))
    pool_max: int = option(10, kinds.whole(1, 1_000))
    pool_timeout_s: float = option(1.0, kinds.seconds())
    pool_waiting_max: int = option(64, kinds.whole(1, 100_000))
    connect_timeout_s: float = option(3.0, kinds.seconds())
    lock_timeout_s: float = option(1.0, kinds.seconds())
    statement_timeout_s: float = option(4.0, kinds.seconds())
    # The client's own limit for one answer: a server that is stopped keeps none of its own.
    watchdog_s: float = option(6.0, kinds.seconds())
    idle_transaction_timeout_s: float = option(8.0, kinds.seconds())

    # Redis: the accepting client fails fast, the actors' one is patient.
    redis_connect_timeout_s: float = option(0.3, kinds.seconds())
    redis_timeout_s: float = option(0.8, kinds.seconds())
    redis_patient_timeout_s: float = option(5.0, kinds.seconds())
    accept_timeout_s: float = option(1.2, kinds.seconds())

    # The queue.
    queue_depth_max: int = option(200_000, kinds.whole(1, 10_000_000))
    user_jobs_in_flight_max: int = option(20, kinds.whole(1, 1_000_000))
    job_ttl_s: int = option(86_400, kinds.whole(1, 31_536_000))
    # Jobs that waited longer are failed as expired; None: however long it takes.
    job_max_age_s: float | None = option(None, kinds.or_off(kinds.seconds()))

    # Actors and their supervision.
    actors_max: int = option(512, kinds.whole(1, 100_000))
    actor_idle_s: float = option(60.0, kinds.seconds())
    batch_max: int = option(1_000, kinds.whole(1, 10_000))
    transaction_jobs_max: int = option(2_000, kinds.whole(1, 1_000_000))
    lease_s: float = option(10.0, kinds.seconds())
    restarts_max: int = option(5, kinds.whole(1, 1_000))
    restart_window_s: float = option(30.0, kinds.seconds())
    backoff_min_s: float = option(0.1, kinds.seconds())
    backoff_max_s: float = option(5.0, kinds.seconds())
    quarantine_s: float = option(30.0, kinds.seconds())
    sweep_s: float = option(1.0, kinds.seconds())
    stuck_s: float = option(15.0, kinds.seconds())

    # Safety.
    required_durability: Literal["always", "everysec", "none"] = option("none", _DURABILITY)
    degraded_booking: bool = option(False, kinds.flag())
    fault_points: tuple[FaultRule, ...] = option((), kinds.fault_rules())

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = getattr(self, declared.name)
            if value is None and declared.default is None:
                continue
            kind = option_of(declared).kind
            try:
                object.__setattr__(self, declared.name, kind.read(value))
            except ValueError as error:
                raise ConfigurationError(f"{variable_of(declared)} accepts {kind.accepts}") from error
        self._in_order("pool_min", "pool_max")
        self._in_order("lock_timeout_s", "statement_timeout_s", "idle_transaction_timeout_s", strictly=True)
        self._in_order("statement_timeout_s", "watchdog_s", strictly=True)
        self._in_order("backoff_min_s", "backoff_max_s")
        if self.port != 0 and self.port == self.ops_port and self.host == self.ops_host:
            raise ConfigurationError(f"AURORA_OPS_PORT must differ from PORT, which is {self.port}, or be off")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from the environment (``os.environ`` unless another is given).

        Raises :class:`ConfigurationError`, also for an ``AURORA_`` variable that does not exist.
        """
        found = read_environment(fields(cls), os.environ if environ is None else environ)
        return cls(**{name: value.setting for name, value in found.items()})

    def _in_order(self, *names: str, strictly: bool = False) -> None:
        variables = {declared.name: variable_of(declared) for declared in fields(self)}
        for lower, upper in pairwise(names):
            low, high = getattr(self, lower), getattr(self, upper)
            if low > high or (strictly and low == high):
                relation = "less than" if strictly else "at most"
                raise ConfigurationError(
                    f"{variables[lower]} must be {relation} {variables[upper]}, which is {high:g}, but it is {low:g}"
                )
