"""Drivers' errors translated by who is at fault."""

from __future__ import annotations

import psycopg
import psycopg_pool
import pytest
import redis

from aurora_atlan.persistence.errors import (
    DataError,
    LockNotGrantedError,
    NoConnectionFreeError,
    SchemaError,
    StoreError,
    StoreRefusesError,
    StoreTimeoutError,
    StoreUnavailableError,
    TransientError,
    from_postgres,
    from_redis,
    translated,
)


def _with_state(state: str) -> psycopg.Error:
    error = psycopg.errors.lookup(state)("refused") if state in _KNOWN else psycopg.DatabaseError("refused")
    error.sqlstate = state
    return error


# How Redis 6.2 begins to tell what a command of a script was refused for.
_SCRIPT = "Error running script (call to f_0a9f75e9): @user_script:33: @user_script: 33:"
_KNOWN = {"25006", "25P03", "40001", "40P01", "55P03", "57014", "23505", "22003", "42P01"}


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", StoreUnavailableError),
        ("08001", StoreUnavailableError),
        ("53100", StoreRefusesError),
        ("53200", StoreRefusesError),
        ("53300", StoreUnavailableError),
        ("57P01", StoreUnavailableError),
        ("57P03", StoreUnavailableError),
        ("58030", StoreUnavailableError),
        ("25006", StoreRefusesError),
        ("25P03", StoreUnavailableError),
        ("25P04", StoreUnavailableError),
        ("55P03", LockNotGrantedError),
        ("40001", TransientError),
        ("40P01", TransientError),
        ("57014", TransientError),
        ("22003", DataError),
        ("22P02", DataError),
        ("23503", DataError),
        ("23505", DataError),
        ("23514", DataError),
        ("42P01", SchemaError),
        ("42703", SchemaError),
        ("42501", SchemaError),
        ("26000", SchemaError),
        ("3F000", SchemaError),
        ("XX000", StoreError),
        ("0A000", StoreError),
    ],
)
def test_postgresqls_errors_are_told_apart_by_their_state(state: str, kind: type[StoreError]) -> None:
    """The SQLSTATE says who is at fault, whatever class psycopg gives the error."""
    assert type(from_postgres(_with_state(state))) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), StoreUnavailableError),
        (psycopg.InterfaceError("the connection is closed"), StoreUnavailableError),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), DataError),
        (psycopg_pool.PoolTimeout("couldn't get a connection"), NoConnectionFreeError),
        (psycopg_pool.TooManyRequests("the pool has already 64 requests waiting"), NoConnectionFreeError),
    ],
)
def test_an_error_without_a_state_never_reached_the_server(error: psycopg.Error, kind: type[StoreError]) -> None:
    """A broken connection is an outage, a value that cannot be sent its own fault, a full pool back-pressure."""
    assert type(from_postgres(error)) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.TimeoutError("Timeout reading from socket"), StoreTimeoutError),
        (redis.ConnectionError("Connection refused"), StoreUnavailableError),
        (redis.exceptions.BusyLoadingError("LOADING Redis is loading"), StoreUnavailableError),
        (redis.exceptions.ReadOnlyError("READONLY You can't write against a read only replica"), StoreRefusesError),
        (redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'"), StoreRefusesError),
        (redis.ResponseError("MISCONF Redis is configured to save RDB snapshots"), StoreRefusesError),
        (redis.ResponseError(f"{_SCRIPT} -OOM command not allowed when used memory > 'maxmemory'."), StoreRefusesError),
        (redis.ResponseError(f"{_SCRIPT} -MISCONF Errors writing to the AOF file"), StoreRefusesError),
        (redis.ResponseError(f"{_SCRIPT} -READONLY You can't write against a read only replica."), StoreRefusesError),
        (redis.ResponseError(f"{_SCRIPT} WRONGTYPE Operation against a key"), StoreError),
        (redis.ResponseError("CLUSTERDOWN The cluster is down"), StoreUnavailableError),
        (redis.ResponseError("WRONGTYPE Operation against a key"), StoreError),
    ],
)
def test_rediss_errors_are_told_apart(error: redis.RedisError, kind: type[StoreError]) -> None:
    """Out of reach, out of time, taking no writes, and anything else."""
    assert type(from_redis(error)) is kind


def test_what_may_succeed_later_is_transient_and_what_never_will_is_not() -> None:
    """The classes say what to do: try again, or not."""
    for kind in (LockNotGrantedError, NoConnectionFreeError, StoreUnavailableError, StoreTimeoutError):
        assert issubclass(kind, TransientError)
    assert not issubclass(DataError, TransientError)
    assert not issubclass(SchemaError, TransientError)
    assert issubclass(StoreTimeoutError, StoreUnavailableError)
    assert issubclass(StoreRefusesError, StoreUnavailableError)
    # A full pool is back-pressure and opens no breaker.
    assert not issubclass(NoConnectionFreeError, StoreUnavailableError)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("gone"), StoreUnavailableError),
        (redis.TimeoutError("late"), StoreTimeoutError),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), DataError),
    ],
)
def test_a_block_lets_no_drivers_error_out(error: Exception, kind: type[StoreError]) -> None:
    """What is raised in a translated block is ours, with the driver's error as its cause."""
    with pytest.raises(kind) as caught, translated():
        raise error

    assert caught.value.__cause__ is error


def test_a_block_lets_every_other_error_pass() -> None:
    """Bugs are not dressed up as failures of a store."""
    with pytest.raises(KeyError), translated():
        raise KeyError("a bug")
