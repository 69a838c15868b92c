"""Who decides for an event: leases, epochs, and the lock by which a process shows that it lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors.commit import Committing, Decided, Fenced, Foreign, Paused, RowBusy, Verdict
from aurora_atlan.actors.messages import Batch
from aurora_atlan.config import Settings
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.ownership import OwnerLock, new_owner
from aurora_atlan.persistence.records import Job, Kind
from harness_sales import wait_until

Sql = psycopg.Connection[Any]


class _Process:
    """What a process has to decide with: an id, its lock, and its stores."""

    def __init__(self, database: Database, lease_s: float = 60.0) -> None:
        self.owner = new_owner()
        self.lock = OwnerLock(database, self.owner)
        self.bookings = BookingStore(database, self.owner)
        self.committing = Committing(self.bookings, self.owner, lease_s, None)

    def die(self, sql: Sql) -> None:
        """Let go of the lock, and wait until PostgreSQL has noticed."""
        self.lock.release()
        held = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint << 32 | objid::bigint = %s"
        )
        wait_until(lambda: sql.execute(held, (self.owner,)).fetchone() == (0,), 5, "the lock is free")

    def commit(self, batch: Batch, *, patient: bool = True) -> Verdict:
        [verdict] = self.committing.commit([batch], patient=patient)
        return verdict


@pytest.fixture
def make_process(database: Database) -> Iterator[Callable[..., _Process]]:
    with ExitStack() as stack:

        def make(*, lives: bool = True, lease_s: float = 60.0) -> _Process:
            process = _Process(database, lease_s)
            stack.callback(process.lock.release)
            if lives:
                process.lock.keep()
            return process

        yield make


@pytest.fixture
def next_batch(
    make_event: Callable[..., int], buyers: list[int], enqueue: Callable[..., Job], batch_of: Callable[..., Batch]
) -> Callable[..., Batch]:
    """Makes batches of one new job each, all of the same event."""
    event_id = make_event(capacity=50)
    users = iter(buyers)

    def make(epoch: int | None = None) -> Batch:
        return batch_of(enqueue(event_id, next(users)), epoch=epoch)

    return make


def _owned(sql: Sql, event_id: int) -> tuple[Any, ...]:
    row = sql.execute(
        "SELECT owner, epoch, lease_until > clock_timestamp() FROM event_inventory WHERE event_id = %s", (event_id,)
    ).fetchone()
    assert row is not None
    return row


def _entries(sql: Sql) -> int:
    row = sql.execute("SELECT count(*) FROM booking_ledger WHERE kind = 'confirmed'").fetchone()
    assert row is not None
    return int(row[0])


# The lock.


def test_owner_ids_are_positive_numbers_of_62_bits_by_chance() -> None:
    """No two process starts share one, and PostgreSQL's bigint holds it."""
    owners = {new_owner() for _ in range(1000)}

    assert len(owners) == 1000
    assert all(0 < owner < 2**62 for owner in owners)


def test_the_lock_is_seen_by_others_while_its_process_lives(database: Database, sql: Sql) -> None:
    """Kept, it is granted to one session; released, it is free."""
    lock = OwnerLock(database, new_owner())
    lock.keep()
    lock.keep()
    assert sql.execute("SELECT pg_try_advisory_lock(%s)", (lock._owner,)).fetchone() == (False,)

    lock.release()
    lock.release()

    free = "SELECT pg_try_advisory_lock(%s)"
    wait_until(lambda: sql.execute(free, (lock._owner,)).fetchone() == (True,), 5, "the lock is free")


def test_a_lost_connection_is_noticed_and_the_lock_taken_again(database: Database, sql: Sql) -> None:
    """After its session was ended the next look fails, and the one after takes the lock anew."""
    lock = OwnerLock(database, new_owner())
    lock.keep()
    sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
    )

    with pytest.raises(StoreError):
        lock.keep()
    lock.keep()

    assert sql.execute("SELECT pg_try_advisory_lock(%s)", (lock._owner,)).fetchone() == (False,)
    lock.release()


# The lease and the epoch.


def test_the_first_batch_takes_the_event_over(
    make_process: Callable[..., _Process], next_batch: Callable[..., Batch], sql: Sql
) -> None:
    """Owner, lease and a new epoch are written with it."""
    process, batch = make_process(), next_batch()

    verdict = process.commit(batch)

    assert isinstance(verdict, Decided)
    assert verdict.epoch == 1
    assert _owned(sql, batch.event_id) == (process.owner, 1, True)


def test_further_batches_renew_the_lease_under_the_same_epoch(
    make_process: Callable[..., _Process], next_batch: Callable[..., Batch], sql: Sql
) -> None:
    """The epoch changes only when the event is taken over."""
    process = make_process()
    process.commit(next_batch())
    sql.execute("UPDATE event_inventory SET lease_until = clock_timestamp() + interval '1 ms'")

    batch = next_batch(epoch=1)
    verdict = process.commit(batch)

    assert isinstance(verdict, Decided)
    assert verdict.epoch == 1
    assert _owned(sql, batch.event_id) == (process.owner, 1, True)


@pytest.mark.parametrize("patient", [True, False])
def test_a_living_processs_event_is_foreign_to_others(
    make_process: Callable[..., _Process], next_batch: Callable[..., Batch], sql: Sql, *, patient: bool
) -> None:
    """While owner and lease live nobody else decides."""
    owner, other = make_process(), make_process()
    owner.commit(next_batch())
    batch = next_batch()

    assert other.commit(batch, patient=patient) == Foreign(batch)
    assert _entries(sql) == 1
    assert _owned(sql, batch.event_id) == (owner.owner, 1, True)


@pytest.mark.parametrize("patient", [True, False])
def test_a_dead_processs_event_is_taken_at_once(
    make_process: Callable[..., _Process], next_batch: Callable[..., Batch], sql: Sql, *, patient: bool
) -> None:
    """A lease that has long to run is worth nothing when its owner's lock is free."""
    owner, other = make_process(), make_process()
    owner.commit(next_batch())

    owner.die(sql)
    batch = next_batch()
    verdict = other.commit(batch, patient=patient)

    assert isinstance(verdict, Decided)
    assert _owned(sql, batch.event_id) == (other.owner, 2, True)


def test_a_frozen_processs_event_is_taken_when_its_lease_is_over(
    make_process: Callable[..., _Process], next_batch: Callable[..., Batch], sql: Sql
) -> None:
    """The lock alone does not hold an event for ever."""
    owner, other = make_process(), make_process()
    owner.commit(next_batch())
    sql.execute("UPDATE event_inventory SET lease_until = clock_timestamp() - interval '1 ms'")

    assert isinstance(other.commit(next_batch()), Decided)


def test_a_process_may_always_take_its_own_event_again(
    make_process: Callable[..., _Process], next_batch: Callable[..., Batch], sql: Sql
) -> None:
    """A crashed actor's successor does not wait for its own process's lease; the old one is fenced."""
    process = make_process()
    process.commit(next_batch())
    stale = next_batch(epoch=1)

    verdict = process.commit(next_batch())

    assert isinstance(verdict, Decided)
    assert verdict.epoch == 2
    assert process.commit(stale) == Fenced(stale)


def test_a_stale_batch_is_fenced_and_writes_nothing(
    make_process: Callable[..., _Process], next_batch: Callable[..., Batch], sql: Sql
) -> None:
    """A process that was frozen, and replaced, learns it at its next batch."""
    frozen, successor = make_process(), make_process()
    frozen.commit(next_batch())
    stale = next_batch(epoch=1)
    frozen.die(sql)
    successor.commit(next_batch())

    verdict = frozen.commit(stale)

    assert verdict == Fenced(stale)
    assert _entries(sql) == 2
    assert _owned(sql, stale.event_id) == (successor.owner, 2, True)


def test_the_epoch_alone_fences(
    make_process: Callable[..., _Process], next_batch: Callable[..., Batch], sql: Sql
) -> None:
    """An owner whose lease lapsed while nobody took over goes on, also without its lock."""
    process = make_process()
    process.commit(next_batch())
    process.die(sql)
    sql.execute("UPDATE event_inventory SET lease_until = clock_timestamp() - interval '1 hour'")

    batch = next_batch(epoch=1)
    verdict = process.commit(batch)

    assert isinstance(verdict, Decided)
    assert _owned(sql, batch.event_id) == (process.owner, 1, True)


def test_both_processes_of_an_event_answer_each_job_once(
    make_process: Callable[..., _Process],
    next_batch: Callable[..., Batch],
    sql: Sql,
    settings: Settings,
    audit_clean: None,
) -> None:
    """The same batch decided by two owners has one outcome, and both are told the same."""
    first, second = make_process(), make_process()
    batch = next_batch()
    told = first.commit(batch)
    first.die(sql)

    again = second.commit(replace(batch, batch_id=99))

    assert isinstance(told, Decided)
    assert isinstance(again, Decided)
    assert list(told.outcomes) == list(again.outcomes)
    assert told.outcomes[0].kind is Kind.CONFIRMED
    assert _entries(sql) == 1


def test_one_events_fence_leaves_the_others_in_the_transaction_alone(
    make_process: Callable[..., _Process],
    make_event: Callable[..., int],
    buyers: list[int],
    enqueue: Callable[..., Job],
    batch_of: Callable[..., Batch],
    hold_row: Callable[[int], Sql],
    sql: Sql,
) -> None:
    """Decided, fenced, foreign, busy and paused events share a transaction, each with its own verdict."""
    process, stranger = make_process(), make_process()
    events = {name: make_event() for name in ("decided", "fenced", "foreign", "busy", "paused")}
    stranger.commit(batch_of(enqueue(events["foreign"], buyers[1])))
    stranger.commit(batch_of(enqueue(events["fenced"], buyers[1])))
    hold_row(events["busy"])
    sql.execute("UPDATE event_inventory SET paused = true WHERE event_id = %s", (events["paused"],))
    epochs = {"fenced": 77}
    batches = {
        name: batch_of(enqueue(event_id, buyers[0]), epoch=epochs.get(name)) for name, event_id in events.items()
    }

    verdicts = {
        verdict.batch.event_id: type(verdict)
        for verdict in process.committing.commit(list(batches.values()), patient=False)
    }

    assert {name: verdicts[event_id] for name, event_id in events.items()} == {
        "decided": Decided,
        "fenced": Fenced,
        "foreign": Foreign,
        "busy": RowBusy,
        "paused": Paused,
    }
    assert _entries(sql) == 3


# Letting go.


def test_a_released_event_is_taken_by_anybody_at_once(
    make_process: Callable[..., _Process], next_batch: Callable[..., Batch], sql: Sql
) -> None:
    """A passivated event's next owner need not wait, though the last one lives."""
    owner, other = make_process(), make_process()
    batch = next_batch()
    owner.commit(batch)

    owner.bookings.release_leases([(batch.event_id, 1), (999_999, 1)])

    assert _owned(sql, batch.event_id) == (None, 1, None)
    assert isinstance(other.commit(next_batch()), Decided)


def test_an_old_owner_cannot_release_what_it_no_longer_owns(
    make_process: Callable[..., _Process], next_batch: Callable[..., Batch], sql: Sql
) -> None:
    """Neither another's lease, nor its own of a newer epoch."""
    old, new = make_process(), make_process()
    batch = next_batch()
    old.commit(batch)
    old.die(sql)
    new.commit(next_batch())

    old.bookings.release_leases([(batch.event_id, 1), (batch.event_id, 2)])
    new.bookings.release_leases([(batch.event_id, 1)])

    assert _owned(sql, batch.event_id) == (new.owner, 2, True)


def test_a_row_that_is_locked_keeps_its_lease_and_holds_nobody_up(
    make_process: Callable[..., _Process],
    next_batch: Callable[..., Batch],
    hold_row: Callable[[int], Sql],
    sql: Sql,
) -> None:
    """Releasing never waits; such a lease ends by itself."""
    owner = make_process()
    batch = next_batch()
    owner.commit(batch)
    hold_row(batch.event_id)

    owner.bookings.release_leases([(batch.event_id, 1)])

    assert _owned(sql, batch.event_id) == (owner.owner, 1, True)
