"""How safe an accepted job and a committed outcome are, read from the live Redis and PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg
import redis

from aurora_atlan.persistence.errors import translated


class Durability(StrEnum):
    """What survives a crash: every acknowledged job, all but about a second's, or perhaps none."""

    ALWAYS = "always"
    EVERYSEC = "everysec"
    NONE = "none"
    UNKNOWN = "unknown"

    def suffices(self, required: Durability) -> bool:
        """Tell whether this is as much as required, or more; nothing is less than NONE."""
        return required is Durability.NONE or _RANKS[self] >= _RANKS[required]


_RANKS = {Durability.NONE: 0, Durability.UNKNOWN: 1, Durability.EVERYSEC: 2, Durability.ALWAYS: 3}


def weakest(first: Durability, second: Durability) -> Durability:
    """Return what two stores keep between them."""
    return min(first, second, key=_RANKS.__getitem__)


@dataclass(frozen=True, slots=True)
class RedisState:
    """What of Redis decides over the safety of the queue."""

    durability: Durability
    maxmemory_policy: str
    # "master", or "slave", which takes no writes
    role: str
    version: str


@dataclass(frozen=True, slots=True)
class PostgresState:
    """What of PostgreSQL decides over the safety of outcomes."""

    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    version: str

    @property
    def durability(self) -> Durability:
        """A commit that need not reach the disk is lost with about a second's; without fsync all may be."""
        if not (self.fsync and self.full_page_writes):
            return Durability.NONE
        return Durability.EVERYSEC if self.synchronous_commit == "off" else Durability.ALWAYS


def read_redis_state(client: redis.Redis) -> RedisState:
    """Read role, AOF and eviction; UNKNOWN where the server does not let clients see its configuration."""
    with translated():
        information = client.info()
        version = str(information.get("redis_version", "unknown"))
        role = str(information.get("role", "unknown"))
        try:
            configuration = {**client.config_get("append*"), **client.config_get("maxmemory*")}
        except redis.ResponseError:
            return RedisState(Durability.UNKNOWN, "unknown", role, version)
    values = {_text(name): _text(value) for name, value in configuration.items()}
    return RedisState(_redis_durability(values), values.get("maxmemory-policy", "unknown"), role, version)


def read_postgres_state(connection: psycopg.Connection[Any]) -> PostgresState:
    """Read the settings as they hold for this connection's sessions."""
    with translated():
        row = connection.execute(
            "SELECT current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean,"
            " current_setting('synchronous_commit'), current_setting('server_version')"
        ).fetchone()
    assert row is not None
    return PostgresState(*row)


def _redis_durability(values: dict[str, str]) -> Durability:
    if values.get("maxmemory-policy", "").startswith("allkeys-") and values.get("maxmemory", "0") != "0":
        # Undecided jobs have no time to live; these policies drop them all the same.
        return Durability.NONE
    if values.get("appendonly") != "yes":
        return Durability.NONE
    # "no" leaves the flush to the operating system: about half a minute may be lost.
    policy = values.get("appendfsync")
    return Durability(policy) if policy in ("always", "everysec") else Durability.NONE


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
