"""How safe an accepted job is, read from the live Redis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import redis

from aurora_atlan.persistence.errors import translated


class Durability(StrEnum):
    """What survives a crash of Redis: every acknowledged job, all but about a second's, or perhaps none."""

    ALWAYS = "always"
    EVERYSEC = "everysec"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RedisState:
    """What of Redis's configuration decides over the safety of the queue."""

    durability: Durability
    maxmemory_policy: str
    version: str


def read_redis_state(client: redis.Redis) -> RedisState:
    """Read the AOF and eviction settings; UNKNOWN where the server does not let clients see them."""
    with translated():
        information = client.info()
        version = str(information.get("redis_version", "unknown"))
        try:
            configuration = {**client.config_get("append*"), **client.config_get("maxmemory-policy")}
        except redis.ResponseError:
            return RedisState(Durability.UNKNOWN, "unknown", version)
    values = {_text(name): _text(value) for name, value in configuration.items()}
    durability = Durability.NONE
    if values.get("appendonly") == "yes":
        # "no" leaves the flush to the operating system: about half a minute may be lost.
        policy = values.get("appendfsync")
        durability = Durability(policy) if policy in ("always", "everysec") else Durability.NONE
    return RedisState(durability, values.get("maxmemory-policy", "unknown"), version)


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
