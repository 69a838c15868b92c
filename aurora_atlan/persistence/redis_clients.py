"""The Redis clients: one that accepts bookings and fails fast, one patient for the actors, one for what is optional.

Or the host's own for all of it.
"""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from aurora_atlan.config import ConfigurationError, Settings

# The actors' client may run a few commands at once; nothing in the process needs more.
_CONNECTIONS_MAX = 128
# PostgreSQL answers sooner than that.
_CACHE_TIMEOUT_S = 0.1

Client = redis.Redis


def accepting_client(settings: Settings) -> Client:
    """Make the client of the accepting path: connects and answers within fractions of a second, or fails."""
    return _client(settings, settings.redis_connect_timeout_s, settings.redis_timeout_s)


def patient_client(settings: Settings) -> Client:
    """Make the actors' client: nobody waits for it, so it may take its time."""
    return _client(settings, settings.redis_patient_timeout_s, settings.redis_patient_timeout_s)


def cache_client(settings: Settings) -> Client:
    """Make the client of what can be done without Redis: waits no longer than doing without it would take."""
    return _client(settings, settings.redis_connect_timeout_s, min(_CACHE_TIMEOUT_S, settings.redis_timeout_s))


def _client(settings: Settings, connect_timeout_s: float, timeout_s: float) -> Client:
    if settings.redis_url is None:
        raise ConfigurationError("REDIS_URL is not set: give the URL of a Redis server")
    # redis-py retries ten times by itself, even after a reply was lost. Whether a command may be
    # repeated is for the caller to know.
    return redis.Redis.from_url(
        settings.redis_url,
        protocol=2,
        decode_responses=False,
        socket_connect_timeout=connect_timeout_s,
        socket_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=_CONNECTIONS_MAX,
    )


def usable_client(client: Client) -> Client:
    """Return the host's client; raises ConfigurationError when the service's promises cannot be kept with it."""
    given = client.get_connection_kwargs()
    retry = given.get("retry")
    if (
        given.get("decode_responses")
        or given.get("protocol") not in (2, "2")
        or given.get("socket_timeout") is None
        or retry is None
        or retry.get_retries() != 0
    ):
        raise ConfigurationError(
            "the Redis client must answer in bytes, give up in time and repeat nothing by itself: make it as"
            " redis.Redis(..., decode_responses=False, protocol=2, socket_timeout=0.8, retry=Retry(NoBackoff(), 0))"
        )
    return client
