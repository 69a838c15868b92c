"""Rows in which PostgreSQL goes away, freezes, loses answers or takes no writes, under load."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from uuid import UUID

import psycopg

from aurora_atlan.config import Settings
from faults.proxy import AtPattern
from faults.row import Row, Scale, Stage, demand
from faults.scene import Scene, scene
from faults.world import DATABASE, wait_for

_FIRST_COMMIT_WITHIN_S = 2.0
_RECOVERED_WITHIN_S = 5.0
_AWAY_S = (0.1, 0.7, 2.5)
_CUT_WITHIN_S = 20.0
_FROZEN_S = 30.0
_WOKEN_WITHIN_S = 2.0
# A batch that the watchdog gave up is tried again within this.
_TRIED_AGAIN_S = 2.0
_CAUGHT_WITHIN_S = 20.0

_IN_TRANSACTION = """
    SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND usename = 'service' AND state IN ('active', 'idle in transaction')
       AND backend_xid IS NOT NULL"""


def restart(stage: Stage, *, kill: bool) -> None:
    """PostgreSQL is stopped, or its postmaster killed, and started again."""
    with scene(stage) as act:
        act.begin()
        while stage.more():
            act.let_decide()
            away_s = _AWAY_S[stage.reached % len(_AWAY_S)]
            before = act.world.decided()
            with act.watch.outage("postgresql"):
                act.world.stop_postgres(kill=kill)
                time.sleep(away_s)
            act.world.start_postgres()
            took_s = act.world.first_commit(before, time.monotonic(), _FIRST_COMMIT_WITHIN_S, "PostgreSQL's return")
            act.limit("first commit", took_s, _FIRST_COMMIT_WITHIN_S)
            act.wait_well(_RECOVERED_WITHIN_S, "with PostgreSQL back")
            stage.reach()
        act.finish()


def cut_commit(stage: Stage) -> None:
    """COMMIT is done, and its reply is lost with the connection."""
    with scene(stage) as act:
        act.begin()
        while stage.more():
            # Of a transaction that wrote inventory rows, not of one that only read.
            cut = act.world.postgres_proxy.arm(AtPattern(b"COMMIT\0", after=b"UPDATE "))
            wait_for(partial(cut.wait, 0.1), _CUT_WITHIN_S, "a COMMIT's reply is cut")
            act.let_accept(2)
            stage.once("an unknown COMMIT")
            stage.reach()
        act.finish()


def frozen_backend(stage: Stage) -> None:
    """The backend in the midst of a deciding transaction stops answering, its locks held."""
    small = stage.scale not in (Scale.FULL, Scale.LONG)
    times = stage.times()
    watchdog_s = times.get("watchdog_s", Settings.__dataclass_fields__["watchdog_s"].default)
    with scene(stage) as act:
        act.begin()
        while stage.more():
            act.let_decide()
            pid = freeze_amid_transaction(act)
            try:
                frozen_at = time.monotonic()
                before = act.world.decided()
                took_s = act.world.first_commit(before, frozen_at, watchdog_s + _TRIED_AGAIN_S, "a backend's freezing")
                act.limit("resumption", took_s, watchdog_s + _TRIED_AGAIN_S)
                time.sleep(max(0.0, _FROZEN_S / (10 if small else 1) - (time.monotonic() - frozen_at)))
                waiting = act.history.accepted_jobs()
            finally:
                os.kill(pid, signal.SIGCONT)
            woken_at = time.monotonic()
            wait_for(partial(_decided, act, waiting), 10.0, "what waited for the frozen backend")
            act.limit("decision of all after waking", time.monotonic() - woken_at, _WOKEN_WITHIN_S)
            stage.reach()
        act.finish()


def refusing(stage: Stage, trouble: Callable[[Scene], AbstractContextManager[None]]) -> None:
    """PostgreSQL answers, but what is wanted cannot be done; nothing fails, and it goes on afterwards."""
    with scene(stage) as act:
        act.begin()
        while stage.more():
            act.let_decide()
            with trouble(act):
                act.let_accept(10)
                time.sleep(2.3 if stage.reached == 0 else 0.3)
            ended_at = time.monotonic()
            before = act.world.decided()
            took_s = act.world.first_commit(before, ended_at, _RECOVERED_WITHIN_S, "the fault's end")
            act.limit("first commit", took_s, _RECOVERED_WITHIN_S)
            act.wait_well(_RECOVERED_WITHIN_S + 5.0, "with PostgreSQL well")
            stage.reach()
        act.finish()


@contextmanager
def read_only(act: Scene) -> Iterator[None]:
    """Every new session is read-only, as on a replica after a failover."""
    with act.world.connect() as operator:
        operator.execute(f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on")
        with act.watch.outage("postgresql"):
            _end_sessions(operator)
            try:
                yield
            finally:
                operator.execute("SET default_transaction_read_only = off")
                operator.execute(f"ALTER DATABASE {DATABASE} RESET default_transaction_read_only")


@contextmanager
def full(act: Scene) -> Iterator[None]:
    """Every entry is refused as on a full disk (53100); a trigger says so, since the disk is not ours to fill."""
    with act.world.connect() as operator:
        operator.execute(
            "CREATE OR REPLACE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        operator.execute(
            "CREATE TRIGGER disk_full BEFORE INSERT ON booking_ledger FOR EACH STATEMENT EXECUTE FUNCTION disk_full()"
        )
        with act.watch.outage("postgresql"):
            try:
                yield
            finally:
                operator.execute("DROP TRIGGER disk_full ON booking_ledger")


@contextmanager
def too_many_connections(act: Scene) -> Iterator[None]:
    """All sessions are ended, and no new one is let in (53300)."""
    with act.world.connect() as operator:
        operator.execute(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT 0")
        with act.watch.outage("postgresql"):
            _end_sessions(operator)
            try:
                yield
            finally:
                operator.execute(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT -1")


@contextmanager
def missing_column(act: Scene) -> Iterator[None]:
    """The schema is not the one that this version needs."""
    with act.world.connect() as operator:
        operator.execute("ALTER TABLE bookings RENAME COLUMN slot TO place")
        try:
            yield
        finally:
            operator.execute("ALTER TABLE bookings RENAME COLUMN place TO slot")


def _end_sessions(operator: psycopg.Connection[tuple[object, ...]]) -> None:
    operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'service'")


def _decided(act: Scene, jobs: Collection[UUID]) -> bool:
    return act.undecided(jobs) == 0


def freeze_amid_transaction(act: Scene) -> int:
    """SIGSTOP a backend of the service that has written and not yet committed; return its process id."""
    deadline = time.monotonic() + _CAUGHT_WITHIN_S
    with act.world.connect() as operator:
        while True:
            demand(time.monotonic() < deadline, f"no transaction was caught within {_CAUGHT_WITHIN_S:g} s")
            for (pid,) in operator.execute(_IN_TRANSACTION).fetchall():
                assert isinstance(pid, int)
                os.kill(pid, signal.SIGSTOP)
                if (pid,) in operator.execute(_IN_TRANSACTION).fetchall():
                    return pid
                os.kill(pid, signal.SIGCONT)


ROWS = (
    *(
        Row(
            f"postgres-{key}",
            f"PostgreSQL {fault}",
            "first commit <= 2 s after it is up",
            20,
            200,
            partial(restart, kill=kill),
        )
        for key, fault, kill in (("restart", "restart", False), ("kill", "SIGKILL of the postmaster", True))
    ),
    Row("commit-cut", "COMMIT reply cut", "no duplicate, no false failure", 100, 2_000, cut_commit),
    Row(
        "backend-frozen",
        "the committer's backend SIGSTOPped 30 s (at small scales 3 s)",
        "all resumes <= 8 s later on a new connection, but for the events whose rows the frozen backend holds: these "
        "<= 2 s after it wakes; no job failed",
        10,
        50,
        frozen_backend,
    ),
    *(
        Row(
            f"postgres-{key}",
            f"PostgreSQL {fault}",
            "breaker or parked event; 0 jobs failed",
            5,
            5,
            partial(refusing, trouble=trouble),
        )
        for key, fault, trouble in (
            ("read-only", "read-only", read_only),
            ("full", "full", full),
            ("too-many", "too many connections", too_many_connections),
            ("missing-column", "missing column", missing_column),
        )
    ),
)
