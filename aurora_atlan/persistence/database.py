"""The pool of PostgreSQL connections, our own or the host's, and the transactions over it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import psycopg_pool
from psycopg import sql
from psycopg.rows import tuple_row

from aurora_atlan.config import ConfigurationError, Settings
from aurora_atlan.persistence.errors import (
    FORKED,
    ForkedError,
    NoAnswerError,
    NoConnectionFreeError,
    StoreRefusesError,
    StoreTimeoutError,
    StoreUnavailableError,
    translated,
)

_GIVE_UP_RECONNECTING_AFTER_S = 0.1
# A connection that was being made when the others were cut may be cut, too, and comes into the pool all the same.
_READ_AGAIN_MAX = 2

Connection = psycopg.Connection[tuple[Any, ...]]

log = logging.getLogger(__name__)


R = TypeVar("R")


class WatchedConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is given up when the server does not answer in time.

    A stopped server, or a network that swallows packets, defeats every limit that the server itself keeps,
    and ``tcp_user_timeout`` too: only the client can end the wait.
    """

    # Of one statement, COMMIT included; None: for as long as it takes.
    answer_within_s: float | None = None

    # On the monotonic clock.
    made_at = 0.0

    def wait(self, gen: Generator[Any, Any, R], interval: float = 0.1, timeout: float | None = None) -> R:
        """Wait for the server as psycopg does, but not for ever. Raises NoAnswerError; then this is closed."""
        limit_s = self.answer_within_s
        if timeout is not None or limit_s is None:
            return super().wait(gen, interval, timeout)
        asked_at = time.monotonic()
        try:
            return super().wait(gen, interval, limit_s)
        except psycopg.OperationalError as error:
            if time.monotonic() - asked_at < limit_s:
                raise
            self.close()
            raise NoAnswerError(f"PostgreSQL has not answered for {limit_s:g} s") from error


Pool = psycopg_pool.ConnectionPool[WatchedConnection]


class Database:
    """A bounded pool of connections whose sessions carry the service's time limits.

    Nothing is connected before :meth:`open`, and ``open`` does not wait for the server: a database
    that is away at start is simply unavailable until it is there.

    A pool of the host's is used as it is and never opened, drained or closed. What is needed of its sessions is set
    for each transaction and gone with it.
    """

    def __init__(self, settings: Settings, pool: Pool | None = None) -> None:
        self._settings = settings
        self._drained_at = 0.0
        self._drain_lock = threading.Lock()
        self._is_hosts = pool is not None
        # Of the process that opened it.
        self._pid: int | None = None
        self._pool = self._own_pool() if pool is None else _usable(pool)

    def _own_pool(self) -> Pool:
        settings = self._settings
        if settings.database_url is None:
            raise ConfigurationError("DATABASE_URL is not set: give the URL of a PostgreSQL database")
        return psycopg_pool.ConnectionPool(
            settings.database_url,
            connection_class=WatchedConnection,
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
        """Start connecting in the background; from now on this belongs to this process."""
        self._pid = os.getpid()
        if not self._is_hosts:
            self._pool.open(wait=False)

    def close(self, timeout_s: float = 5.0) -> None:
        """Close every connection; transactions under way are waited for, up to ``timeout_s``."""
        if not self._is_hosts:
            self._pool.close(timeout=timeout_s)

    @contextmanager
    def transaction(self, within_s: float | None = None) -> Iterator[Connection]:
        """One READ COMMITTED transaction: committed when the block ends, rolled back when it raises.

        With ``within_s`` neither a free connection nor an answer is waited for longer than that.
        Raises the errors of :mod:`aurora_atlan.persistence.errors`. When the connection was lost during
        COMMIT the outcome is unknown, which is a :class:`StoreUnavailableError` like any lost connection.
        """
        self._refuse_fork()
        connection = None
        try:
            with translated(), self._pool.connection(within_s or self._settings.pool_timeout_s) as connection:
                answer_within_s = within_s or self._settings.watchdog_s
                if self._is_hosts:
                    with _lent(connection, answer_within_s), connection.transaction():
                        # Several statements, which cannot be prepared.
                        connection.execute(self._session_of_ours(), prepare=False)
                        yield connection
                else:
                    connection.answer_within_s = answer_within_s
                    yield connection
        except NoConnectionFreeError:
            self._forget_waiters()
            raise
        except StoreUnavailableError as error:
            # Somebody in a hurry says nothing of the other connections.
            if connection is not None and (within_s is None or not isinstance(error, StoreTimeoutError)):
                self._drain(connection)
            raise

    def rows(
        self, query: bytes, parameters: Mapping[str, Any] | None = None, within_s: float | None = None
    ) -> list[tuple[Any, ...]]:
        """Return the rows of one reading statement; it is asked again if its connection turns out to be cut."""
        for _ in range(_READ_AGAIN_MAX):
            try:
                return self._rows(query, parameters, within_s)
            except (StoreTimeoutError, StoreRefusesError):
                raise
            except StoreUnavailableError:
                continue
        return self._rows(query, parameters, within_s)

    def dedicated_connection(self, answer_within_s: float | None = None) -> Connection:
        """Open a connection outside the pool, in autocommit mode; the caller closes it.

        With ``answer_within_s`` every answer of it is waited for so long, instead of the service's usual limit.
        """
        self._refuse_fork()
        # psycopg_pool takes functions, too, for credentials that change.
        conninfo, kwargs = self._pool.conninfo, self._pool.kwargs
        given = kwargs() if callable(kwargs) else kwargs or {}
        parameters = dict(given) | {"autocommit": True, "row_factory": tuple_row}
        parameters.setdefault("connect_timeout", max(1, round(self._settings.connect_timeout_s)))
        with translated():
            connection = WatchedConnection.connect(conninfo() if callable(conninfo) else conninfo, **parameters)
            try:
                self._configure(connection)
            except BaseException:
                connection.close()
                raise
            if answer_within_s is not None:
                connection.answer_within_s = answer_within_s
            return connection

    def _refuse_fork(self) -> None:
        # Two processes that talk over one connection read each other's answers.
        if self._pid not in (None, os.getpid()):
            raise ForkedError(FORKED)

    def _rows(
        self, query: bytes, parameters: Mapping[str, Any] | None, within_s: float | None
    ) -> list[tuple[Any, ...]]:
        with self.transaction(within_s) as connection:
            return connection.execute(query, parameters).fetchall()

    def _drain(self, broken: WatchedConnection) -> None:
        # After a restart of the server every pooled connection is dead. Renewing them all on the first
        # broken one costs one error; finding them one by one costs an error each. Those that were made
        # since the last renewal are renewed by the first of them that breaks.
        if self._is_hosts:
            return
        with self._drain_lock:
            if broken.made_at < self._drained_at:
                return
            self._drained_at = time.monotonic()
        log.warning("PostgreSQL connection lost; renewing the pool")
        self._pool.drain()

    def _forget_waiters(self) -> None:
        # The pool keeps those whose time is up in its queue until it has a connection for them. During an outage
        # they fill the queue, and a full queue (max_waiting) refuses the very request that would make it connect
        # again: for ever. psycopg_pool 3.3.3, ConnectionPool._getconn_unchecked.
        if self._is_hosts:
            return
        pool = self._pool
        with pool._lock:  # noqa: SLF001
            alive = [waiter for waiter in pool._waiting if waiter.conn is None and waiter.error is None]  # noqa: SLF001
            pool._waiting.clear()  # noqa: SLF001
            pool._waiting.extend(alive)  # noqa: SLF001

    def _configure(self, connection: WatchedConnection) -> None:
        settings = self._settings
        connection.answer_within_s = settings.watchdog_s
        connection.made_at = time.monotonic()
        # By statement, not as start-up options, which PgBouncer refuses.
        for name, value in self._session():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        if not connection.autocommit:
            connection.commit()

    def _session(self) -> Iterator[tuple[str, str]]:
        settings = self._settings
        yield "lock_timeout", _milliseconds(settings.lock_timeout_s)
        yield "statement_timeout", _milliseconds(settings.statement_timeout_s)
        yield "idle_in_transaction_session_timeout", _milliseconds(settings.idle_transaction_timeout_s)
        if settings.database_role is not None:
            yield "role", settings.database_role

    def _session_of_ours(self) -> sql.Composed:
        # In one round trip, and until the end of the transaction.
        local = [
            sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in self._session()
        ]
        return sql.SQL("; ").join([sql.SQL("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE"), *local])


def _usable(pool: Pool) -> Pool:
    if not issubclass(pool.connection_class, WatchedConnection):
        raise ConfigurationError(
            "the pool's connections would wait for ever for a server that hangs: make it as"
            " psycopg_pool.ConnectionPool(..., connection_class=aurora_atlan.WatchedConnection)"
        )
    return pool


@contextmanager
def _lent(connection: WatchedConnection, answer_within_s: float) -> Iterator[None]:
    # The host finds its connection as it was.
    before = connection.answer_within_s, connection.row_factory
    connection.answer_within_s, connection.row_factory = answer_within_s, tuple_row
    try:
        yield
    finally:
        connection.answer_within_s, connection.row_factory = before


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
