"""The Redis clients: one that accepts bookings and fails fast, one patient for the actors, one for what is optional.

Of a client that the host gives, its address and credentials are taken, and its connections are left alone: ours give up
in time, repeat nothing by themselves, and are all cut when Redis has to be reached anew.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from aurora_atlan.config import ConfigurationError, Settings

# Hundreds of actors may read their logs at once, as after a start; nothing in the process needs more connections.
_CONNECTIONS_MAX = 128
# PostgreSQL answers sooner than that.
_CACHE_TIMEOUT_S = 0.1

# What leads to a server, and proves who asks.
_ADDRESS = frozenset(
    {"host", "port", "path", "db", "username", "password", "credential_provider", "client_name", "socket_keepalive"}
    | {"socket_keepalive_options", "socket_type"}
    | {f"ssl_{what}" for what in ("keyfile", "certfile", "cert_reqs", "ca_certs", "ca_data", "ca_path", "password")}
    | {"ssl_check_hostname", "ssl_min_version", "ssl_ciphers", "ssl_include_verify_flags", "ssl_exclude_verify_flags"}
    | {"ssl_validate_ocsp", "ssl_validate_ocsp_stapled", "ssl_ocsp_context", "ssl_ocsp_expected_cert"}
)

Client = redis.Redis


def accepting_client(settings: Settings, like: Client | None = None) -> Client:
    """Make the client of the accepting path: connects and answers within fractions of a second, or fails."""
    return _client(settings, like, settings.redis_connect_timeout_s, settings.redis_timeout_s)


def patient_client(settings: Settings, like: Client | None = None) -> Client:
    """Make the actors' client: nobody waits for it, so it may take its time."""
    return _client(settings, like, settings.redis_patient_timeout_s, settings.redis_patient_timeout_s)


def cache_client(settings: Settings, like: Client | None = None) -> Client:
    """Make the client of what can be done without Redis: waits no longer than doing without it would take."""
    timeout_s = min(_CACHE_TIMEOUT_S, settings.redis_timeout_s)
    return _client(settings, like, settings.redis_connect_timeout_s, timeout_s)


def _client(settings: Settings, like: Client | None, connect_timeout_s: float, timeout_s: float) -> Client:
    # redis-py retries ten times by itself, even after a reply was lost. Whether a command may be
    # repeated is for the caller to know.
    ours: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": False,
        "socket_connect_timeout": connect_timeout_s,
        "socket_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": _CONNECTIONS_MAX,
        # Those beyond wait for one; an error at once would look as if Redis were away.
        "timeout": timeout_s,
    }
    if like is not None:
        theirs = like.connection_pool
        given = {name: value for name, value in theirs.connection_kwargs.items() if name in _ADDRESS}
        make: Any = redis.BlockingConnectionPool
        pool = make(connection_class=theirs.connection_class, **given, **ours)
    elif settings.redis_url is not None:
        pool = redis.BlockingConnectionPool.from_url(settings.redis_url, **ours)
    else:
        raise ConfigurationError("REDIS_URL is not set: give the URL of a Redis server")
    return redis.Redis.from_pool(pool)
