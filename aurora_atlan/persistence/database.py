"""The pool of PostgreSQL connections and the transactions over it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import psycopg_pool

from aurora_atlan.config import ConfigurationError, Settings
from aurora_atlan.persistence.errors import StoreUnavailableError, translated

_DRAIN_AT_MOST_EVERY_S = 1.0
_GIVE_UP_RECONNECTING_AFTER_S = 0.1

Connection = psycopg.Connection[tuple[Any, ...]]

log = logging.getLogger(__name__)


class Database:
    """A bounded pool of connections whose sessions carry the service's time limits.

    Nothing is connected before :meth:`open`, and ``open`` does not wait for the server: a database
    that is away at start is simply unavailable until it is there.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.database_url is None:
            raise ConfigurationError("DATABASE_URL is not set: give the URL of a PostgreSQL database")
        self._settings = settings
        self._url = settings.database_url
        self._drained_at = 0.0
        self._drain_lock = threading.Lock()
        self._pool: psycopg_pool.ConnectionPool[Connection] = psycopg_pool.ConnectionPool(
            self._url,
            open=False,
            min_size=settings.pool_min,
            max_size=settings.pool_max,
            timeout=settings.pool_timeout_s,
            max_waiting=settings.pool_waiting_max,
            # The pool's own retries back off for minutes; ours come with the next one who asks.
            reconnect_timeout=_GIVE_UP_RECONNECTING_AFTER_S,
            kwargs={"connect_timeout": max(1, round(settings.connect_timeout_s))},
            configure=self._configure,
            name="aurora-atlan",
        )

    def open(self) -> None:
        """Start connecting in the background."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Close every connection; transactions under way are waited for, up to 5 seconds."""
        self._pool.close(timeout=5.0)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One READ COMMITTED transaction: committed when the block ends, rolled back when it raises.

        Raises the errors of :mod:`aurora_atlan.persistence.errors`. When the connection was lost during
        COMMIT the outcome is unknown, which is a :class:`StoreUnavailableError` like any lost connection.
        """
        try:
            with translated(), self._pool.connection() as connection:
                yield connection
        except StoreUnavailableError:
            self._drain()
            raise

    def dedicated_connection(self) -> Connection:
        """Open a connection outside the pool, in autocommit mode; the caller closes it."""
        with translated():
            connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=max(1, round(self._settings.connect_timeout_s)),
            )
            self._configure(connection)
            return connection

    def _drain(self) -> None:
        # After a restart of the server every pooled connection is dead. Renewing them all on the first
        # broken one costs one error; finding them one by one costs an error each.
        with self._drain_lock:
            now = time.monotonic()
            if now - self._drained_at < _DRAIN_AT_MOST_EVERY_S:
                return
            self._drained_at = now
        log.warning("PostgreSQL connection lost; renewing the pool")
        self._pool.drain()

    def _configure(self, connection: Connection) -> None:
        settings = self._settings
        limits = {
            "lock_timeout": settings.lock_timeout_s,
            "statement_timeout": settings.statement_timeout_s,
            "idle_in_transaction_session_timeout": settings.idle_transaction_timeout_s,
        }
        # By statement, not as start-up options, which PgBouncer refuses.
        for name, limit_s in limits.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, f"{round(limit_s * 1000)}ms"))
        if settings.database_role is not None:
            connection.execute("SELECT set_config('role', %s, false)", (settings.database_role,))
        if not connection.autocommit:
            connection.commit()
