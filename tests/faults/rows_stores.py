"""Rows of stores that hold back, refuse or lie about the time: a supervisor of this process, and its sale."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from statistics import median
from time import time as wall_clock
from typing import Any

import psycopg

from aurora_atlan.actors import crew
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.cell import CellState
from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets, Flush
from aurora_atlan.config import Settings
from aurora_atlan.persistence import errors
from faults.clients import HANG_S, Load, is_small
from faults.row import Row, Stage, demand
from faults.stage_sale import (
    World,
    all_well,
    milliseconds,
    p99,
    replaced,
    sale_under_way,
    waits_s,
)
from faults.wall_clock import WallClock
from harness_sales import make_buyers, make_event, undecided, wait_until
from oracle.history import Told

_MORE_MEASURES = 4
_HELD_JOBS = 20
# Light, and without new events all the time, whose actors' starts would be what is measured.
_MEASURED = Load(wave=6_000, clients=4, at_once=4, pause_s=0.02)
# At any scale a user's limits: whoever waits for the row waits long enough to be noticed.
_USUAL: dict[str, Any] = {
    name: Settings.__dataclass_fields__[name].default
    for name in ("lock_timeout_s", "statement_timeout_s", "watchdog_s", "idle_transaction_timeout_s")
}

# One event held back: the others must not notice.


def foreign_lock(stage: Stage) -> None:
    """Hold one event's row in a foreign transaction, again and again."""
    held_s = 1.0 if is_small(stage) else 10.0

    @contextmanager
    def hold(world: World, event: int) -> Iterator[None]:
        with psycopg.connect(world.url) as stranger:
            stranger.execute("SELECT FROM event_inventory WHERE event_id = %s FOR UPDATE", (event,))
            yield
            time.sleep(held_s)
            demand(_entries(world, event) == 1, "a job was decided although somebody else holds the row")
            stranger.rollback()

    with sale_under_way(stage, load=_MEASURED, **_USUAL) as world:
        _hold_back_again_and_again(world, hold)


def slow_postgres(stage: Stage) -> None:
    """Let PostgreSQL take seconds for one event's edit, whose transaction holds the row meanwhile."""
    slow_s = 1.0 if is_small(stage) else 10.0

    @contextmanager
    def edit_slowly(world: World, event: int) -> Iterator[None]:
        _execute(world, "INSERT INTO slowed VALUES (%s, %s)", event, slow_s)
        editor = threading.Thread(target=edit, args=(world, event))
        editor.start()
        _wait_until_held(world, event)
        yield
        editor.join()
        _execute(world, "DELETE FROM slowed")

    def edit(world: World, event: int) -> None:
        # PostgreSQL may give up a statement that takes so long; the edit is refused then.
        with suppress(UnavailableError):
            world.supervisor.set_capacity(event, 2 * _HELD_JOBS)

    with sale_under_way(stage, load=_MEASURED, **_USUAL) as world:
        _execute(world, "CREATE TABLE slowed (event_id bigint, seconds float8)")
        _before_entries(
            world,
            "PERFORM pg_sleep(seconds) FROM slowed WHERE event_id = NEW.event_id AND NEW.kind = 'capacity_changed'",
        )
        _hold_back_again_and_again(world, edit_slowly)


HoldBack = Callable[[World, int], AbstractContextManager[None]]


def _hold_back_again_and_again(world: World, hold_back: HoldBack) -> None:
    """Measure the others' waits with and without one event held back; demand less than twice the 99th percentile.

    It is the median over the measures, of which there are some more when few do not suffice: a moment in which
    the machine was busy otherwise decides nothing.
    """
    stage = world.stage
    calm: list[float] = []
    disturbed: list[float] = []
    for measures in itertools.count():
        enough = not stage.more()
        if enough and (_unharmed(calm, disturbed) or measures - stage.reached >= _MORE_MEASURES):
            break
        began = wall_clock()
        time.sleep(1.0 if is_small(stage) else 3.0)
        held_at = wall_clock()
        event, freed_at = _hold_one_back(world, hold_back)
        calm.append(p99(waits_s(world.url, began, held_at)))
        disturbed.append(p99(waits_s(world.url, held_at, freed_at, without=[event])))
        if not enough:
            stage.reach()
    said = f"{milliseconds(median(calm))}, {milliseconds(median(disturbed))} of {len(calm)}"
    stage.seen["p99 of others, calm and disturbed"] = said
    demand(_unharmed(calm, disturbed), f"the others' 99th percentile, calm and disturbed, was {said}")


def _unharmed(calm: list[float], disturbed: list[float]) -> bool:
    return median(disturbed) < 2 * median(calm)


def _hold_one_back(world: World, hold_back: HoldBack) -> tuple[int, float]:
    """Hold a new event back while it has jobs; see them decided once it is free. Return it, and when that was."""
    event = make_event(world.supervisor, _HELD_JOBS * 6 // 10)
    buyers = make_buyers(world.url, _HELD_JOBS)
    with hold_back(world, event):
        receipts = [world.sale.book(BookTickets(event, buyer, 1, f"held-{buyer}")) for buyer in buyers]
    freed_at = wall_clock()
    jobs = [receipt.job_id for receipt in receipts if receipt is not None]
    wait_until(lambda: not undecided(world.url, jobs), 5.0, "the held jobs are decided once the row is free")
    for job_id in jobs:
        world.sale.ask(job_id)
    return event, freed_at


def _wait_until_held(world: World, event: int) -> None:
    query = "SELECT FROM event_inventory WHERE event_id = %s FOR UPDATE SKIP LOCKED"
    with psycopg.connect(world.url, autocommit=True) as watcher:
        wait_until(lambda: watcher.execute(query, (event,)).fetchone() is None, HANG_S, "somebody holds the row")


def _entries(world: World, event: int) -> int:
    with psycopg.connect(world.url) as connection:
        row = connection.execute("SELECT count(*) FROM booking_ledger WHERE event_id = %s", (event,)).fetchone()
    assert row is not None
    return int(row[0])


# Errors that say "try again", from the server itself.

_DEADLOCK = "40P01"
_SERIALIZATION_FAILURE = "40001"
_LOCK_TIMEOUT = "55P03"
# More often than a job may fail before it is taken for poisoned.
_MEETINGS = 5
_MISSES_MAX = 20


def deadlock(stage: Stage) -> None:
    """Meet the committer crosswise: it wants a user that we hold, we want the event that it holds."""
    _provoke_again_and_again(stage, _DEADLOCK, _meet_crosswise)


def serialization_failure(stage: Stage) -> None:
    """Let the server refuse an event's entries as if it could not serialize them."""

    @contextmanager
    def refuse(world: World, event: int, _: int) -> Iterator[None]:
        _execute(world, "INSERT INTO refused VALUES (%s)", event)
        yield
        _execute(world, "DELETE FROM refused")

    def prepare(world: World) -> None:
        _execute(world, "CREATE TABLE refused (event_id bigint)")
        _before_entries(
            world,
            "IF EXISTS (SELECT FROM refused WHERE event_id = NEW.event_id) THEN"
            f" RAISE EXCEPTION 'as the row wants' USING ERRCODE = '{_SERIALIZATION_FAILURE}'; END IF",
        )

    _provoke_again_and_again(stage, _SERIALIZATION_FAILURE, refuse, prepare)


def lock_timeout(stage: Stage) -> None:
    """Hold a buyer's row for longer than the committer may wait for it."""

    @contextmanager
    def hold(world: World, _: int, buyer: int) -> Iterator[None]:
        with psycopg.connect(world.url) as stranger:
            stranger.execute("SELECT FROM users WHERE id = %s FOR UPDATE", (buyer,))
            yield
            stranger.rollback()

    _provoke_again_and_again(stage, _LOCK_TIMEOUT, hold)


Provoke = Callable[[World, int, int], AbstractContextManager[None]]


class _Errors:
    """Counts what PostgreSQL refused to the service, by SQLSTATE."""

    def __init__(self) -> None:
        self.seen: Counter[str | None] = Counter()
        self._translate = errors.from_postgres

    def translate(self, error: psycopg.Error) -> errors.StoreError:
        """Translate as the service does, and count."""
        self.seen[error.sqlstate] += 1
        return self._translate(error)

    def wait_for(self, state: str, count: int) -> None:
        """Wait until there were so many of this state."""
        wait_until(lambda: self.seen[state] >= count, HANG_S, f"the service meets {state}")


def _provoke_again_and_again(
    stage: Stage, state: str, provoke: Provoke, prepare: Callable[[World], None] | None = None
) -> None:
    """Provoke an error, see that the service met it, and that the booking that met it was confirmed."""
    counting = _Errors()
    slowest_s, missed = 0.0, 0
    with sale_under_way(stage, replaced(errors, "from_postgres", counting.translate)) as world:
        if prepare is not None:
            prepare(world)
        event = make_event(world.supervisor, 10_000)
        while stage.more():
            met = counting.seen[state]
            [buyer] = make_buyers(world.url, 1)
            with provoke(world, event, buyer):
                receipt = world.sale.book(BookTickets(event, buyer, 1, f"victim-{buyer}"))
                assert receipt is not None
                # A deadlock is made by us as soon as the committer waits; the others come by themselves.
                if state != _DEADLOCK:
                    counting.wait_for(state, met + _MEETINGS)
            over_at = time.monotonic()
            told = world.sale.ask(receipt.job_id)
            slowest_s = max(slowest_s, time.monotonic() - over_at)
            _demand_confirmed(told)
            # A deadlock may come too late to be one.
            missed = 0 if counting.seen[state] > met else missed + 1
            demand(missed < _MISSES_MAX, f"the service never met {state}")
            stage.reach(counting.seen[state] > met)
    stage.seen["slowest decision afterwards"] = milliseconds(slowest_s)


def _demand_confirmed(told: Told) -> None:
    demand(told.status == "completed", f"the job that met the error is {told.status}: {told.reason}")


@contextmanager
def _meet_crosswise(world: World, event: int, buyer: int) -> Iterator[None]:
    with psycopg.connect(world.url) as stranger, psycopg.connect(world.url, autocommit=True) as watcher:
        # It never looks for deadlocks, so the other one is the victim.
        stranger.execute("SET deadlock_timeout = '60s'")
        stranger.execute("SELECT FROM users WHERE id = %s FOR UPDATE", (buyer,))
        yield
        blocked = "SELECT FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        pid = stranger.info.backend_pid
        wait_until(lambda: watcher.execute(blocked, (pid,)).fetchone() is not None, HANG_S, "the committer waits")
        stranger.execute("SELECT FROM event_inventory WHERE event_id = %s FOR UPDATE", (event,))
        stranger.rollback()


def _before_entries(world: World, statement: str) -> None:
    """Let the server do something before every entry of the ledger."""
    _execute(
        world,
        "CREATE FUNCTION before_entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        f" SET search_path = public AS $$ BEGIN {statement}; RETURN NEW; END $$",
    )
    _execute(
        world,
        "CREATE TRIGGER before_entry BEFORE INSERT ON booking_ledger FOR EACH ROW EXECUTE FUNCTION before_entry()",
    )


def _execute(world: World, statement: str, *parameters: Any) -> None:
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute(statement, parameters or None)


# The clock on the wall.

_HOUR_S = 3600.0
_SHIFTS_S = (_HOUR_S, -_HOUR_S, 24 * _HOUR_S, -24 * _HOUR_S)
_BACK_S = 1.0


def wall_clock_jumps(stage: Stage) -> None:
    """Set the clock an hour or a day forward or back while an actor pauses after a crash and a breaker is open."""
    clock = WallClock()
    victims: set[int] = set()
    back_s = 0.0

    class Crashing(BookingActor):
        def handle(self, message: Any) -> None:
            if isinstance(message, Flush) and self._cell.event_id in victims:
                victims.discard(self._cell.event_id)
                raise ValueError("as the row wants")
            super().handle(message)

    crashing = replaced(crew, "BookingActor", Crashing)
    settings: dict[str, Any] = {
        # Far longer than anybody waits here, and far shorter than the clock jumps.
        "job_max_age_s": 600.0,
        # Long enough for the clock to jump amid it.
        "backoff_min_s": 0.3,
        "backoff_max_s": 0.3,
    }
    with sale_under_way(stage, crashing, *clock.patches(), **settings) as world:
        for shift_s in itertools.cycle(_SHIFTS_S):
            if not stage.more():
                break
            back_s = max(back_s, _jump(world, clock, shift_s, victims))
            stage.reach()
        clock.shift_s = 0.0
        world.settle()
        with psycopg.connect(world.url) as connection:
            expired = connection.execute("SELECT FROM booking_ledger WHERE reason = 'expired'").fetchall()
        demand(not expired, f"{len(expired)} jobs expired")
    stage.seen["back after a crash within"] = milliseconds(back_s)


def _jump(world: World, clock: WallClock, shift_s: float, victims: set[int]) -> float:
    """Let the clock jump amid a pause after a crash; return the seconds until the event sells again."""
    supervisor = world.supervisor
    event = make_event(supervisor, 10)
    first, second = make_buyers(world.url, 2)
    _book_and_ask(world, event, first)
    cell = supervisor._cells.get(event)
    assert cell is not None
    wait_until(lambda: cell.state is CellState.RUNNING and not cell.busy, HANG_S, "the actor has nothing to do")
    victims.add(event)
    receipt = world.sale.book(BookTickets(event, second, 1, f"victim-{second}"))
    assert receipt is not None
    wait_until(lambda: event not in victims, HANG_S, "the actor crashed")
    clock.shift_s = shift_s
    supervisor._switchboard.postgres.open("as the row wants")
    jumped_at = time.monotonic()
    world.sale.ask(receipt.job_id)
    took_s = time.monotonic() - jumped_at
    demand(took_s <= _BACK_S, f"the clock moved by {shift_s:+g} s, and a crashed actor was back after {took_s:.2f} s")
    wait_until(lambda: all_well(supervisor), 2.0, f"the breaker is closed although the clock moved by {shift_s:+g} s")
    return took_s


def _book_and_ask(world: World, event: int, buyer: int) -> None:
    receipt = world.sale.book(BookTickets(event, buyer, 1, f"first-{buyer}"))
    assert receipt is not None
    world.sale.ask(receipt.job_id)


_ONE_EVENT = "foreign lock held 10 s on one event; slow PostgreSQL"
_OTHERS = "other events < 2x p99"
_TRANSIENT = "deadlock, serialization failure, lock timeout injected"
_NONE_FAILED = "no job failed"

ROWS: tuple[Row, ...] = (
    Row("foreign-lock", f"{_ONE_EVENT}: foreign lock", _OTHERS, 10, 50, foreign_lock, alone=True),
    Row("slow-postgres", f"{_ONE_EVENT}: slow PostgreSQL", _OTHERS, 10, 50, slow_postgres, alone=True),
    Row("deadlock", f"{_TRANSIENT}: deadlock", _NONE_FAILED, 50, 1_000, deadlock),
    Row(
        "serialization-failure", f"{_TRANSIENT}: serialization failure", _NONE_FAILED, 50, 1_000, serialization_failure
    ),
    Row("lock-timeout", f"{_TRANSIENT}: lock timeout", _NONE_FAILED, 50, 1_000, lock_timeout),
    Row("wall-clock", "wall clock +-1 h, +-1 day", "no expiry storm, no stuck backoff", 10, 50, wall_clock_jumps),
)
