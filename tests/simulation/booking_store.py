"""PostgreSQL as far as bookings see it: row locks, constraints, commits that may have happened, and a ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from aurora_atlan.persistence.bookings import RecordedJob
from aurora_atlan.persistence.durability import PostgresState
from aurora_atlan.persistence.errors import (
    DataError,
    LockNotGrantedError,
    NoConnectionFreeError,
    StoreRefusesError,
    StoreTimeoutError,
    StoreUnavailableError,
    TransientError,
)
from aurora_atlan.persistence.events import Event
from aurora_atlan.persistence.inventory import EncodedChange, Locked, Reading
from aurora_atlan.persistence.records import Booking, Inventory, Job, Kind, NewJob, Outcome, Reason

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import World

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_LOCK_TIMEOUT_S = 0.3
_IDLE_TRANSACTION_S = 2.0
GENESIS = "00" * 32


@dataclass(slots=True)
class Row:
    """A row of event_inventory."""

    event_id: int
    capacity: int
    cap_per_user: int
    sold: int = 0
    gone: bool = False
    paused: bool = False
    last_queue_number: int = 0
    last_entry: int = 0
    ledger_head: str = GENESIS
    owner: int | None = None
    epoch: int = 0
    lease_until: datetime | None = None
    # Of confirmed bookings.
    bookings: int = 0
    # Of the row of events.
    version: int = 1
    updated_at: datetime = _EPOCH


@dataclass(slots=True)
class BookingRow:
    """A row of bookings."""

    booking: Booking
    slot: int


@dataclass(slots=True)
class Tables:
    """What is committed."""

    events: dict[int, Row] = field(default_factory=dict)
    bookings: dict[int, BookingRow] = field(default_factory=dict)
    # By event, in the order of commits.
    ledger: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    # The unique index over job_id.
    outcomes: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    # The unique index over confirmed bookings.
    slots: dict[tuple[int, int, int], int] = field(default_factory=dict)
    paused: bool = False


class Postgres:
    """The server: tables, locks, and who is connected."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tables = Tables()
        self.down_until = 0.0
        self.refusing_until = 0.0
        # Connections made under an earlier one are broken.
        self.generation = 0
        self.owners: set[int] = set()
        self.locks: dict[int, UnitOfWorkDouble] = {}
        self.open: list[UnitOfWorkDouble] = []
        self.last_booking_id = 0

    @property
    def now(self) -> datetime:
        """The server's clock."""
        return _EPOCH + timedelta(seconds=self.world.clock.now)

    def create_event(self, event_id: int, capacity: int, cap_per_user: int) -> None:
        """Add an event without bookings."""
        self.tables.events[event_id] = Row(event_id, capacity, cap_per_user)
        self.tables.ledger[event_id] = []

    def restart(self) -> None:
        """Break every connection and roll back what was open."""
        self.generation += 1
        self.owners.clear()
        for work in list(self.open):
            work.abort()

    def drop(self, process: Process) -> None:
        """Notice that a process has died."""
        self.owners.discard(process.owner)
        for work in list(self.open):
            if work.process is process:
                work.abort()

    def holder(self, event_id: int) -> UnitOfWorkDouble | None:
        """Return who holds the row, unless it has been idle for too long."""
        work = self.locks.get(event_id)
        if work is not None and self.world.clock.now - work.touched_at > _IDLE_TRANSACTION_S:
            work.abort()
            return None
        return work

    def reachable(self, *, writes: bool = False) -> None:
        """Raise when a statement cannot be served now."""
        world = self.world
        if world.clock.now < self.down_until:
            raise StoreUnavailableError("connection refused")
        if writes and world.clock.now < self.refusing_until:
            raise StoreRefusesError("cannot execute in a read-only transaction")
        if world.bad_luck():
            errors = (TransientError, StoreUnavailableError, NoConnectionFreeError, StoreTimeoutError)
            error = errors[world.below(len(errors))]
            world.note(f"postgres: {error.__name__}")
            if error is StoreTimeoutError:
                world.clock.now += _IDLE_TRANSACTION_S
            raise error("injected")


class UnitOfWorkDouble:
    """One transaction; stands in for ``EventWork``."""

    def __init__(self, server: Postgres, owner: int) -> None:
        self._server = server
        self._tables = server.tables
        self._owner = owner
        self.process = server.world.running.process
        self.shares_pause = False
        self.claims_pause = False
        self.dead = False
        self._held: list[int] = []
        self._writes: list[Callable[[], None]] = []
        self._revised: dict[int, Event] = {}
        # For the checks: events with newly decided jobs.
        self.deciding: dict[int, int] = {}
        self.touched_at = server.world.clock.now
        server.open.append(self)

    def abort(self) -> None:
        """Roll back and let go of every lock."""
        self.dead = True
        self._writes.clear()
        self._release()

    def hold_off_pause(self) -> None:
        """Share the lock of pauses."""
        self._statement()
        if any(work.claims_pause for work in self._server.open):
            self._lock_timeout()
        self.shares_pause = True

    def lock_free(self, event_ids: Collection[int]) -> dict[int, Locked]:
        """Lock rows, SKIP LOCKED."""
        self._statement()
        found = {}
        for event_id in sorted(event_ids):
            row = self._tables.events.get(event_id)
            if row is None or self._server.holder(event_id) is not None:
                continue
            self._take(event_id)
            found[event_id] = self._locked(row)
        return found

    def lock(self, event_id: int) -> Locked | None:
        """Lock one row; whoever holds it cannot go on while this one waits."""
        self._statement()
        row = self._tables.events.get(event_id)
        if row is None:
            return None
        if self._server.holder(event_id) not in (None, self):
            self._lock_timeout()
        self._take(event_id)
        return self._locked(row)

    def read(self, jobs: Sequence[Job | NewJob], bookings_max: int) -> Reading:
        """Return the time, new ids, recorded outcomes, and the slots held with confirmed bookings."""
        self._statement()
        first = self._server.last_booking_id + 1
        self._server.last_booking_id += bookings_max
        known = {job.job_id: _outcome(entry) for job in jobs if (entry := self._tables.outcomes.get(job.job_id))}
        if known and self.shares_pause:
            self._server.world.reached("a replay that found a decided job")
        wanted = {(job.event_id, job.user_id) for job in jobs}
        held: dict[int, dict[int, set[int]]] = {}
        for event_id, user_id, slot in self._tables.slots:
            if (event_id, user_id) in wanted:
                held.setdefault(event_id, {}).setdefault(user_id, set()).add(slot)
        return Reading(self._server.now, list(range(first, first + bookings_max)), known, held)

    def record(self, changes: Sequence[EncodedChange]) -> None:
        """Check the constraints, and write at COMMIT."""
        self._statement(writes=True)
        tables = self._tables
        entries, rows = (
            [row for change in changes for row in orjson.loads(b"[" + getattr(change, part) + b"]")]
            for part in ("entries", "inventory")
        )
        for entry in entries:
            self._check_entry(entry)
            if (entry["event_id"], entry["user_id"], entry["slot"]) in tables.slots:
                raise DataError("duplicate key", "bookings_one_per_slot")
        job_ids = [entry["job_id"] for entry in entries if entry["job_id"]]
        if len(set(job_ids)) < len(job_ids):
            raise DataError("duplicate key", "booking_ledger_one_outcome")
        for new in rows:
            if not 0 <= tables.events[new["event_id"]].sold + new["tickets"] <= new["capacity"]:
                raise DataError("check", "event_inventory_never_oversold")
        self._writes.append(lambda: self._apply(entries, rows))

    def _check_entry(self, entry: dict[str, Any]) -> None:
        world, tables = self._server.world, self._tables
        entry["job_id"] = UUID(entry["job_id"]) if entry["job_id"] else None
        if entry["user_id"] in world.unrecordable_users and entry["kind"] in ("confirmed", "rejected"):
            world.trouble()
            raise DataError("invalid byte sequence")
        if entry["job_id"] in tables.outcomes:
            raise DataError("duplicate key", "booking_ledger_one_outcome")
        if entry["entry_number"] <= len(tables.ledger[entry["event_id"]]):
            raise DataError("duplicate key", "booking_ledger_pkey")
        if entry["job_id"] is not None and entry["kind"] != "cancelled":
            self.deciding[entry["event_id"]] = self.deciding.get(entry["event_id"], 0) + 1

    def cancel_booking(self, booking_id: int, at: datetime) -> bool:
        """Mark a booking cancelled, at COMMIT."""
        self._statement(writes=True)
        row = self._tables.bookings.get(booking_id)
        if row is None or row.booking.status != "confirmed":
            return False

        def write() -> None:
            held = row.booking
            row.booking = Booking(
                held.id,
                held.job_id,
                held.event_id,
                held.user_id,
                held.quantity,
                "cancelled",
                held.created_at,
                at,
            )
            del self._tables.slots[held.event_id, held.user_id, row.slot]

        self._writes.append(write)
        return True

    def event(self, event_id: int) -> Event:
        """Return the event, as this transaction has changed it."""
        self._statement()
        assert self._server.holder(event_id) is self
        row = self._tables.events[event_id]
        shown = Event(
            id=event_id,
            name="Event",
            venue="Hall",
            time=_EPOCH,
            capacity=row.capacity,
            booked=row.sold,
            impressions=0,
            version=row.version,
            cap_per_user=row.cap_per_user,
            opens_at=None,
            closes_at=None,
            created_at=_EPOCH,
            updated_at=row.updated_at,
        )
        return self._revised.get(event_id, shown)

    def revise(self, event: Event, at: datetime) -> None:
        """Write the next version, at COMMIT."""
        self._statement(writes=True)
        row = self._tables.events[event.id]
        version = row.version + 1
        self._revised[event.id] = replace(event, version=version, updated_at=at)

        def write() -> None:
            row.version, row.updated_at = version, at

        self._writes.append(write)

    def pause(self, event_id: int | None, *, paused: bool) -> bool:
        """Pause or resume, at COMMIT."""
        self._statement(writes=True)
        if any(work.shares_pause or work.claims_pause for work in self._server.open if work is not self):
            self._lock_timeout()
        self.claims_pause = True
        if event_id is not None and event_id not in self._tables.events:
            return False
        if event_id is not None and self._server.holder(event_id) is not None:
            self._lock_timeout()

        def write() -> None:
            if event_id is None:
                self._tables.paused = paused
            else:
                self._tables.events[event_id].paused = paused

        self._writes.append(write)
        return True

    def commit(self) -> None:
        """Commit; the answer may be lost on either side of it."""
        world = self._server.world
        self._statement(writes=bool(self._writes))
        if world.bad_luck():
            done = world.below(2) == 1
            world.note(f"postgres: COMMIT's answer is lost, {'done' if done else 'not done'}")
            if done:
                self._write()
                if self.deciding:
                    world.reached("an unknown COMMIT")
            self.abort()
            raise StoreUnavailableError("the connection was lost during COMMIT")
        self._write()

    def _write(self) -> None:
        for write in self._writes:
            write()
        self._writes.clear()
        self._release()
        self._server.world.check.committed(self)

    def _apply(self, entries: list[Any], rows: list[Any]) -> None:
        tables = self._tables
        for entry in entries:
            if entry["kind"] == "confirmed":
                booking = Booking(
                    entry["booking_id"],
                    entry["job_id"],
                    entry["event_id"],
                    entry["user_id"],
                    entry["quantity"],
                    "confirmed",
                    datetime.fromisoformat(entry["at"]),
                    None,
                )
                tables.bookings[booking.id] = BookingRow(booking, entry["slot"])
                tables.slots[booking.event_id, booking.user_id, entry["slot"]] = booking.id
            tables.ledger[entry["event_id"]].append(entry)
            if entry["job_id"] is not None:
                tables.outcomes[entry["job_id"]] = entry
        for new in rows:
            row = tables.events[new["event_id"]]
            if new["epoch"] < row.epoch:
                self._server.world.violated(
                    "I5", f"event {row.event_id}: a former owner decided, fenced off at {row.epoch}"
                )
            row.sold += new["tickets"]
            row.bookings += new["bookings"]
            for name in ("capacity", "gone", "last_queue_number", "last_entry", "ledger_head", "owner", "epoch"):
                setattr(row, name, new[name])
            row.lease_until = datetime.fromisoformat(new["lease_until"]) if new["lease_until"] else None

    def _statement(self, *, writes: bool = False) -> None:
        world = self._server.world
        world.preempt()
        if self.dead or world.clock.now - self.touched_at > _IDLE_TRANSACTION_S:
            self.abort()
            raise StoreUnavailableError("the connection is lost")
        self.touched_at = world.clock.now
        try:
            self._server.reachable(writes=writes)
        except NoConnectionFreeError:
            raise TransientError("deadlock detected") from None

    def _lock_timeout(self) -> None:
        self._server.world.clock.now += _LOCK_TIMEOUT_S
        self._server.world.reached("a lock not granted in time")
        raise LockNotGrantedError("canceling statement due to lock timeout")

    def _take(self, event_id: int) -> None:
        self._server.locks[event_id] = self
        self._held.append(event_id)

    def _release(self) -> None:
        for event_id in self._held:
            if self._server.locks.get(event_id) is self:
                del self._server.locks[event_id]
        self._held.clear()
        self.shares_pause = self.claims_pause = False
        if self in self._server.open:
            self._server.open.remove(self)

    def _locked(self, row: Row) -> Locked:
        now = self._server.now
        inventory = Inventory(
            event_id=row.event_id,
            capacity=row.capacity,
            sold=row.sold,
            sold_at_lock=row.sold,
            cap_per_user=row.cap_per_user,
            opens_at=None,
            closes_at=None,
            gone=row.gone,
            paused=row.paused or self._tables.paused,
            last_queue_number=row.last_queue_number,
            last_entry=row.last_entry,
            ledger_head=bytes.fromhex(row.ledger_head),
            owner=row.owner,
            epoch=row.epoch,
            lease_until=row.lease_until,
        )
        lapsed = row.lease_until is not None and row.lease_until < now
        takeable = row.owner in (None, self._owner) or lapsed or row.owner not in self._server.owners
        return Locked(inventory, takeable)


class BookingStoreDouble:
    """Stands in for ``BookingStore`` in one process."""

    def __init__(self, world: World, owner: int) -> None:
        self._server = world.postgres
        self._world = world
        self._owner = owner

    @contextmanager
    def unit_of_work(self) -> Iterator[UnitOfWorkDouble]:
        """One transaction."""
        self._world.preempt()
        self._server.reachable()
        work = UnitOfWorkDouble(self._server, self._owner)
        try:
            yield work
        except BaseException:
            work.abort()
            raise
        try:
            work.commit()
        except BaseException:
            work.abort()
            raise

    def last_queue_numbers(self, event_ids: Sequence[int], *_: Any) -> dict[int, int]:
        """Return the highest decided queue numbers."""
        self._read()
        rows = self._server.tables.events
        return {event_id: rows[event_id].last_queue_number for event_id in event_ids if event_id in rows}

    def resumed(self, event_ids: Sequence[int], *_: Any) -> list[int]:
        """Return those that are not paused."""
        self._read()
        tables = self._server.tables
        return [event for event in event_ids if not tables.paused and not tables.events[event].paused]

    def installation_key(self) -> bytes:
        """Return the key of all processes."""
        self._read()
        return b"k" * 32

    def get(self, booking_id: int, user_id: int | None = None) -> Booking | None:
        """Return a booking."""
        self._read()
        row = self._server.tables.bookings.get(booking_id)
        return None if row is None or user_id not in (None, row.booking.user_id) else row.booking

    def recorded(self, job_id: UUID, *_: Any) -> RecordedJob | None:
        """Return what the ledger says."""
        self._read()
        entry = self._server.tables.outcomes.get(job_id)
        if entry is None:
            return None
        row = self._server.tables.bookings.get(entry["booking_id"])
        return RecordedJob(
            entry["event_id"],
            entry["user_id"],
            entry["quantity"],
            entry["queue_number"],
            datetime.fromisoformat(entry["accepted_at"]),
            _outcome(entry),
            None if row is None else row.booking,
        )

    def release_leases(self, leases: Sequence[tuple[int, int]]) -> None:
        """Give up events."""
        self._world.preempt()
        self._server.reachable(writes=True)
        for event_id, epoch in leases:
            row = self._server.tables.events[event_id]
            if (row.epoch, row.owner) == (epoch, self._owner) and self._server.holder(event_id) is None:
                row.owner = row.lease_until = None

    def _read(self) -> None:
        self._world.preempt()
        self._server.reachable()


class OwnerLockDouble:
    """Stands in for ``OwnerLock``."""

    def __init__(self, world: World, owner: int) -> None:
        self._server = world.postgres
        self._owner = owner
        self._generation: int | None = None

    def keep(self) -> None:
        """Take the lock, or see that it is still held."""
        self._server.world.preempt()
        try:
            self._server.reachable()
            if self._generation not in (None, self._server.generation):
                raise StoreUnavailableError("terminating connection")
        except TransientError:
            self.release()
            raise
        self._generation = self._server.generation
        self._server.owners.add(self._owner)

    def postgres_state(self) -> PostgresState:
        """Tell how safe a commit is."""
        return PostgresState(fsync=True, full_page_writes=True, synchronous_commit="on", version="18")

    def read(self, look: Callable[[Any], Any]) -> None:
        """Ask for what no simulation knows of."""
        try:
            self._server.reachable()
        except TransientError:
            self.release()
            raise

    def release(self) -> None:
        """Let go of the lock."""
        self._server.owners.discard(self._owner)
        self._generation = None


def _outcome(entry: dict[str, Any]) -> Outcome:
    return Outcome(
        job_id=entry["job_id"],
        kind=Kind(entry["kind"]),
        reason=None if entry["reason"] is None else Reason(entry["reason"]),
        booking_id=entry["booking_id"],
        decided_at=datetime.fromisoformat(entry["at"]),
    )
