"""What can go wrong below: psycopg's and redis-py's errors, translated once.

Nobody above this layer sees a driver's exception. PostgreSQL's are told apart by SQLSTATE, because
psycopg's classes do not say who is at fault (a read-only server is an InternalError, a deadlock an
OperationalError). https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool
import redis


class StoreError(Exception):
    """A store refused or failed; the subclasses say whose fault it is."""


class TransientError(StoreError):
    """The same work may succeed later: a deadlock, a lock not granted in time, a full pool."""


class NoConnectionFreeError(TransientError):
    """Every connection of the pool is in use, or is still being made: back-pressure, not yet an outage."""


class LockNotGrantedError(TransientError):
    """Somebody else held the row for longer than the lock timeout."""


class StoreUnavailableError(TransientError):
    """The store cannot be reached or cannot serve: connection lost, starting, shutting down."""


class StoreRefusesError(StoreUnavailableError):
    """The store answers, but takes no writes: its memory or disk is full, or it is read-only."""


class StoreTimeoutError(StoreUnavailableError):
    """The store did not answer in time; what was asked may have been done all the same."""


class NoAnswerError(psycopg.OperationalError):
    """PostgreSQL was asked and has not answered in time; raised by our own connections."""


class DataError(StoreError):
    """The data of this very request was refused (SQLSTATE classes 22 and 23)."""

    def __init__(self, message: str, constraint: str | None = None) -> None:
        super().__init__(message)
        self.constraint = constraint


class SchemaError(StoreError):
    """The database's schema is not the one this version needs; run ``aurora-atlan migrate``."""


class ForkedError(RuntimeError):
    """The supervisor belongs to the process that started it, and this one was forked from that: make another here.

    Threads do not come along into a fork, and connections must not be shared by two processes.
    """


FORKED = "this supervisor was started before a fork, by the parent: make and start one in this process"

# SQLSTATEs and classes of them, the first that fits.
_BY_STATE: tuple[tuple[tuple[str, ...], type[StoreError]], ...] = (
    (("25006", "53100", "53200", "53400"), StoreRefusesError),
    (("55P03",), LockNotGrantedError),
    (("40001", "40P01", "57014"), TransientError),
    (("08", "53", "57P", "58", "25P03", "25P04"), StoreUnavailableError),
    (("42", "26", "3F"), SchemaError),
)
_DATA_CLASSES = ("22", "23")

# Where a script's command was refused, Redis 6.2 writes its code into a sentence about the script.
_REFUSED_BY_REDIS = re.compile(r"(?:^|[\s:-])(?:OOM|MISCONF|NOREPLICAS|READONLY) ")


def from_postgres(error: psycopg.Error) -> StoreError:
    """Translate an error of psycopg by its SQLSTATE."""
    state = error.sqlstate
    text = str(error).strip()
    if isinstance(error, psycopg_pool.PoolTimeout | psycopg_pool.TooManyRequests):
        return NoConnectionFreeError(text)
    if isinstance(error, NoAnswerError):
        return StoreTimeoutError(text)
    if state is None:
        # Without a state it never reached the server or never came back, unless the value itself
        # could not be sent (a NUL in a text).
        return DataError(text) if isinstance(error, psycopg.DataError) else StoreUnavailableError(text)
    if state.startswith(_DATA_CLASSES):
        return DataError(text, error.diag.constraint_name)
    for states, kind in _BY_STATE:
        if state.startswith(states):
            return kind(text)
    return StoreError(text)


def from_redis(error: redis.RedisError) -> StoreError:
    """Translate an error of redis-py."""
    text = str(error).strip()
    if isinstance(error, redis.TimeoutError):
        return StoreTimeoutError(text)
    if isinstance(error, redis.exceptions.ReadOnlyError | redis.exceptions.OutOfMemoryError):
        return StoreRefusesError(text)
    if isinstance(error, redis.ConnectionError):
        # Includes BUSYLOADING.
        return StoreUnavailableError(text)
    if isinstance(error, redis.ResponseError):
        # redis-py strips the codes that it has an exception for.
        if _REFUSED_BY_REDIS.search(text):
            return StoreRefusesError(text)
        if text.startswith(("CLUSTERDOWN", "TRYAGAIN", "LOADING", "MASTERDOWN")):
            return StoreUnavailableError(text)
    return StoreError(text)


@contextmanager
def translated() -> Iterator[None]:
    """Turn drivers' errors raised in the block into this module's."""
    try:
        yield
    except psycopg.Error as error:
        raise from_postgres(error) from error
    except redis.RedisError as error:
        raise from_redis(error) from error
    except UnicodeEncodeError as error:
        # A lone surrogate: psycopg cannot encode it, and raises Python's error, not its own.
        raise DataError("text is not valid Unicode") from error
