"""One transaction over inventory rows, in a real PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from aurora_atlan.config import Settings
from aurora_atlan.persistence import queries
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.errors import DataError, LockNotGrantedError, SchemaError
from aurora_atlan.persistence.events import EventStore, NewEvent
from aurora_atlan.persistence.inventory import Change, Draft, UnitOfWork, encode
from aurora_atlan.persistence.job_ids import random_job_id
from aurora_atlan.persistence.ledger import LedgerEntry, entry_hash
from aurora_atlan.persistence.records import Inventory, Kind, NewJob, Outcome, Reason
from harness_sales import check_audit
from ledger_story import COLUMNS, seal

MakeEvent = Callable[..., int]
Sql = psycopg.Connection[Any]


def _locked(work: UnitOfWork, event_id: int) -> Inventory:
    row = work.lock(event_id)
    assert row is not None
    return row.inventory


def _attempt(event_id: int, user_id: int) -> NewJob:
    return NewJob(random_job_id(event_id), event_id, user_id, 1, None)


def _confirm(work: UnitOfWork, event_id: int, user_id: int, quantity: int = 1, slot: int = 1) -> Draft:
    """Record one confirmed booking, and return its entry, which says that it was accepted when it was decided."""
    row = _locked(work, event_id)
    read = work.read([], 1)
    entry = _entry_of(row, read.booking_ids[0], user_id, quantity, slot, read.now)
    work.record([encode(_sold(row, entry), read.now)])
    return entry


def _entry_of(row: Inventory, booking_id: int, user_id: int, quantity: int, slot: int, accepted_at: datetime) -> Draft:
    return Draft(
        Kind.CONFIRMED,
        row.sold + quantity,
        row.capacity,
        job_id=random_job_id(row.event_id),
        booking_id=booking_id,
        user_id=user_id,
        quantity=quantity,
        queue_number=row.last_queue_number + 1,
        accepted_at=accepted_at,
        slot=slot,
    )


def _sold(row: Inventory, entry: Draft) -> Change:
    assert entry.queue_number is not None
    return Change(row._replace(sold=entry.sold_after, last_queue_number=entry.queue_number), [entry])


def _ledger(sql: Sql, event_id: int) -> list[LedgerEntry]:
    rows = sql.execute("SELECT * FROM booking_ledger WHERE event_id = %s ORDER BY entry_number", (event_id,)).fetchall()
    return [LedgerEntry(**dict(zip(COLUMNS, row, strict=True))) for row in rows]


def test_leaving_the_block_commits(bookings: BookingStore, make_event: MakeEvent, buyers: list[int], sql: Sql) -> None:
    """Booking, entry, outbox and row are there together."""
    event_id = make_event()

    with bookings.unit_of_work() as work:
        booking = _confirm(work, event_id, buyers[0], quantity=2)

    row = sql.execute("SELECT sold, last_entry FROM event_inventory WHERE event_id = %s", (event_id,)).fetchone()
    assert row == (2, 2)
    columns = "job_id, event_id, user_id, quantity, slot, queue_number, status"
    made = sql.execute(f"SELECT {columns} FROM bookings WHERE id = %s", (booking.booking_id,)).fetchone()  # type: ignore[arg-type]
    assert made == (booking.job_id, event_id, buyers[0], 2, 1, 1, "confirmed")
    # Of one time, PostgreSQL's.
    assert sql.execute(
        "SELECT created_at = at FROM bookings JOIN booking_ledger USING (job_id) WHERE id = %s", (booking.booking_id,)
    ).fetchone() == (True,)
    assert bookings.get(booking.booking_id) is not None
    assert sql.execute("SELECT event_id, entry_number FROM outbox").fetchall() == [(event_id, 2)]


def test_an_exception_takes_everything_back(
    bookings: BookingStore, make_event: MakeEvent, buyers: list[int], sql: Sql
) -> None:
    """Nothing of a block that raised is left, and its row is free again."""
    event_id = make_event()

    with pytest.raises(RuntimeError), bookings.unit_of_work() as work:  # noqa: PT012 - what it leaves is the point
        _confirm(work, event_id, buyers[0])
        raise RuntimeError("too late")

    assert sql.execute("SELECT count(*) FROM bookings").fetchone() == (0,)
    assert [entry.kind for entry in _ledger(sql, event_id)] == ["opened"]
    with bookings.unit_of_work() as work:
        assert _locked(work, event_id).sold == 0


def test_the_free_rows_are_locked_and_the_others_left_out(
    bookings: BookingStore, make_event: MakeEvent, hold_row: Callable[[int], Sql]
) -> None:
    """Whoever decides for many events waits for none of them."""
    events = [make_event() for _ in range(3)]
    hold_row(events[1])

    began = time.monotonic()
    with bookings.unit_of_work() as work:
        rows = work.lock_free([*reversed(events), 999_999])

    assert list(rows) == [events[0], events[2]]
    assert time.monotonic() - began < 0.9


def test_a_held_row_is_waited_for_up_to_the_lock_timeout(
    settings: Settings, make_event: MakeEvent, hold_row: Callable[[int], Sql]
) -> None:
    """Who asks for one event's row gets it when it is free, or hears that it was not in time."""
    event_id = make_event()
    stranger = hold_row(event_id)
    database = Database(replace(settings, lock_timeout_s=0.1))
    database.open()
    try:
        with pytest.raises(LockNotGrantedError), BookingStore(database, 1).unit_of_work() as work:
            work.lock(event_id)
        stranger.rollback()
        with BookingStore(database, 1).unit_of_work() as work:
            assert _locked(work, event_id).event_id == event_id
    finally:
        database.close()


def test_an_event_that_does_not_exist_has_no_row(bookings: BookingStore) -> None:
    """No error: there is nothing to lock."""
    with bookings.unit_of_work() as work:
        assert work.lock(999_999) is None
        assert work.lock_free([999_999]) == {}
        assert work.lock(2**70) is None


def test_what_is_read_after_the_lock_is_what_was_committed_before_it(
    bookings: BookingStore, make_event: MakeEvent, buyers: list[int], sql: Sql
) -> None:
    """A transaction that had to wait sees what the one before it sold."""
    event_id = make_event()
    seen: list[int] = []
    waiting = threading.Event()

    def wait_and_look() -> None:
        with bookings.unit_of_work() as work:
            # A snapshot taken here would be too old.
            work.read([], 0)
            waiting.set()
            seen.append(_locked(work, event_id).sold)
            seen.append(len(work.read([_attempt(event_id, buyers[0])], 0).held_slots))

    with bookings.unit_of_work() as work:
        _locked(work, event_id)
        thread = threading.Thread(target=wait_and_look)
        thread.start()
        assert waiting.wait(5)
        _confirm(work, event_id, buyers[0])
    thread.join(10)

    assert seen == [1, 1]


def test_the_answers_that_jobs_have_are_found(bookings: BookingStore, make_event: MakeEvent, buyers: list[int]) -> None:
    """Decided jobs are found with their outcome, and only those."""
    event_id = make_event()
    with bookings.unit_of_work() as work:
        booking = _confirm(work, event_id, buyers[0])

    with bookings.unit_of_work() as work:
        undecided = _attempt(event_id, buyers[1])
        found = work.read([undecided._replace(job_id=booking.job_id), undecided], 0).outcomes

    expected = Outcome(
        job_id=booking.job_id,
        kind=Kind.CONFIRMED,
        reason=None,
        booking_id=booking.booking_id,
        decided_at=booking.accepted_at,
    )
    assert found == {booking.job_id: expected}


def test_only_confirmed_bookings_hold_slots(bookings: BookingStore, make_event: MakeEvent, buyers: list[int]) -> None:
    """A cancelled booking's slot is free, another event's and another user's do not count."""
    event_id, other = make_event(cap_per_user=3), make_event()
    with bookings.unit_of_work() as work:
        cancelled = _confirm(work, event_id, buyers[0], slot=1)
        _confirm(work, event_id, buyers[0], slot=2)
        _confirm(work, event_id, buyers[0], slot=3)
        _confirm(work, event_id, buyers[1])
        _confirm(work, other, buyers[0])
        assert work.cancel_booking(cancelled.booking_id, cancelled.accepted_at)
        assert not work.cancel_booking(cancelled.booking_id, cancelled.accepted_at)

    with bookings.unit_of_work() as work:
        attempts = [_attempt(event_id, buyers[0]), _attempt(other, buyers[1]), _attempt(other, buyers[2])]
        # Two attempts of one user count once.
        held = work.read([*attempts, attempts[0]], 0).held_slots

    assert held == {event_id: {buyers[0]: {2, 3}}}


def test_booking_ids_are_fresh_and_the_clock_goes_on(bookings: BookingStore) -> None:
    """Every call has the time of its own, and ids that nobody had before."""
    with bookings.unit_of_work() as work:
        first, second, third = work.read([], 3), work.read([], 2), work.read([], 0)

    assert len({*first.booking_ids, *second.booking_ids}) == 5
    assert third.booking_ids == []
    assert first.now < second.now < third.now


# What the schema itself forbids.


def test_a_job_has_one_outcome_for_ever(bookings: BookingStore, make_event: MakeEvent, buyers: list[int]) -> None:
    """A second entry for the same job is refused, in any event."""
    event_id, other = make_event(), make_event()
    with bookings.unit_of_work() as work:
        booking = _confirm(work, event_id, buyers[0])

    for again in (event_id, other):
        with pytest.raises(DataError) as caught, bookings.unit_of_work() as work:  # noqa: PT012 - leaving the block is what raises
            row = _locked(work, again)
            entry = Draft(Kind.REJECTED, row.sold, row.capacity, job_id=booking.job_id, reason=Reason.SOLD_OUT)
            work.record([encode(Change(row, [entry]), booking.accepted_at)])
        assert caught.value.constraint == "booking_ledger_one_outcome"


def test_the_cap_is_held_by_the_database_itself(
    bookings: BookingStore, make_event: MakeEvent, buyers: list[int]
) -> None:
    """Two confirmed bookings of one user never share a slot."""
    event_id = make_event()
    with bookings.unit_of_work() as work:
        _confirm(work, event_id, buyers[0])

    with pytest.raises(DataError) as caught, bookings.unit_of_work() as work:
        _confirm(work, event_id, buyers[0])

    assert caught.value.constraint == "bookings_one_per_slot"


def test_more_than_the_capacity_cannot_be_written(
    bookings: BookingStore, make_event: MakeEvent, buyers: list[int]
) -> None:
    """Whatever decides wrongly, the rows never oversell."""
    event_id = make_event(capacity=1)

    with pytest.raises(DataError) as caught, bookings.unit_of_work() as work:  # noqa: PT012 - leaving the block is what raises
        row = _locked(work, event_id)
        at = work.read([], 0).now
        work.record([encode(Change(row._replace(sold=2), []), at)])

    assert caught.value.constraint == "event_inventory_never_oversold"


def test_fewer_than_none_cannot_be_sold(bookings: BookingStore, make_event: MakeEvent) -> None:
    """Sold never falls below zero."""
    event_id = make_event()

    with pytest.raises(DataError), bookings.unit_of_work() as work:  # noqa: PT012 - leaving the block is what raises
        row = _locked(work, event_id)
        work.record([encode(Change(row._replace(sold=-1), []), datetime.now(UTC))])


def test_nobody_changes_the_ledger_not_even_its_owner(make_event: MakeEvent, sql: Sql) -> None:
    """A trigger refuses updates, deletions and truncation, also to a superuser."""
    event_id = make_event()

    for statement in (
        "UPDATE booking_ledger SET quantity = 2",
        "UPDATE booking_ledger SET quantity = quantity WHERE false",
        "DELETE FROM booking_ledger",
        "TRUNCATE booking_ledger",
        "UPDATE audit_log SET action = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            sql.execute(statement.encode())

    assert len(_ledger(sql, event_id)) == 1


def test_the_services_role_may_only_add_to_the_ledger(database: Database) -> None:
    """The role that the service works under can neither rewrite history nor change the schema."""
    for statement in (
        "UPDATE booking_ledger SET quantity = 2",
        "DELETE FROM booking_ledger",
        "TRUNCATE booking_ledger",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET action = 'x'",
        "ALTER TABLE booking_ledger DISABLE TRIGGER ALL",
        "DROP TABLE bookings",
        "CREATE TABLE ours (id int)",
        "UPDATE installation SET key = decode(repeat('00', 32), 'hex')",
    ):
        with (
            pytest.raises(SchemaError, match=r"permission denied|must be owner"),
            database.transaction() as connection,
        ):
            connection.execute(statement.encode())


def test_readers_may_look_but_not_at_passwords(settings: Settings) -> None:
    """The readers' role sees the sale and no secret."""
    database = Database(replace(settings, database_role="aurora_reader"))
    database.open()
    try:
        with database.transaction() as connection:
            connection.execute("SELECT * FROM booking_ledger, bookings, event_inventory")
        for query in ("SELECT password_hash FROM users", "SELECT key FROM installation", "DELETE FROM outbox"):
            with pytest.raises(SchemaError), database.transaction() as connection:
                connection.execute(query.encode())
    finally:
        database.close()


# The chain.


def test_the_chain_in_the_table_is_the_documented_one(
    bookings: BookingStore, make_event: MakeEvent, buyers: list[int], sql: Sql
) -> None:
    """Entries read back from the table have the hashes that a verifier of the documents computes."""
    event_id = make_event(capacity=5)
    for user_id in buyers[:3]:
        with bookings.unit_of_work() as work:
            _confirm(work, event_id, user_id)

    entries = _ledger(sql, event_id)

    head = bytes(32)
    for number, entry in enumerate(entries, start=1):
        row = {column: getattr(entry, column) for column in COLUMNS}
        for column in ("at", "accepted_at"):
            if row[column] is not None:
                row[column] = row[column].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        row["job_id"] = None if entry.job_id is None else str(entry.job_id)
        assert (entry.entry_number, entry.prev_hash, entry.hash) == (number, head, seal(row))
        assert entry_hash(entry) == entry.hash
        head = entry.hash
    stored = sql.execute("SELECT ledger_head, last_entry FROM event_inventory WHERE event_id = %s", (event_id,))
    assert stored.fetchone() == (head, 4)


def test_the_chain_does_not_depend_on_the_sessions_time_zone(settings: Settings, sql: Sql, buyers: list[int]) -> None:
    """A database that stands elsewhere writes the same bytes."""
    sql.execute(f"ALTER DATABASE {sql.info.dbname} SET timezone = 'America/St_Johns'".encode())
    database = Database(settings)
    database.open()
    try:
        event_id = EventStore(database).create(NewEvent("A", "B", datetime.now(UTC), 3)).id
        with BookingStore(database, 1).unit_of_work() as work:
            _confirm(work, event_id, buyers[0])
    finally:
        database.close()

    assert len(_ledger(sql, event_id)) == 2
    assert all(entry_hash(entry) == entry.hash for entry in _ledger(sql, event_id))
    check_audit(settings)


def test_a_confirmation_that_makes_no_booking_is_refused(
    bookings: BookingStore, make_event: MakeEvent, buyers: list[int], sql: Sql
) -> None:
    """Sold tickets without a booking would be nobody's: nothing of the transaction stays."""
    event_id = make_event()

    with pytest.raises(DataError), bookings.unit_of_work() as work:  # noqa: PT012 - leaving the block is what raises
        row = _locked(work, event_id)
        read = work.read([], 1)
        entry = _entry_of(row, read.booking_ids[0], buyers[0], 1, 1, read.now)
        entry.slot = None
        work.record([encode(_sold(row, entry), read.now)])

    assert sql.execute("SELECT sold FROM event_inventory WHERE event_id = %s", (event_id,)).fetchone() == (0,)
    assert len(_ledger(sql, event_id)) == 1


def test_changes_of_many_events_are_written_together(
    bookings: BookingStore, make_event: MakeEvent, buyers: list[int], sql: Sql, settings: Settings
) -> None:
    """One statement records all of a transaction's events, each with its own chain."""
    events = [make_event() for _ in range(3)]

    with bookings.unit_of_work() as work:
        rows = work.lock_free(events)
        read = work.read([], 3)
        at, ids = read.now, read.booking_ids
        changes = []
        for event_id, booking_id, user_id in zip(events, ids, buyers, strict=False):
            row = rows[event_id].inventory
            changes.append(_sold(row, _entry_of(row, booking_id, user_id, 2, 1, at)))
        work.record([encode(change, at) for change in changes])

    assert [len(_ledger(sql, event_id)) for event_id in events] == [2, 2, 2]
    check_audit(settings)


# Who waits for whom.


def test_a_sale_does_not_hold_up_what_only_refers_to_its_event(
    bookings: BookingStore, make_event: MakeEvent, buyers: list[int], database: Database
) -> None:
    """While the row of a sale is locked, page views are counted and the event's text can be edited."""
    event_id = make_event()

    with bookings.unit_of_work() as work:
        _locked(work, event_id)
        with database.transaction() as connection:
            connection.execute("INSERT INTO event_impressions VALUES (%s, 5)", (event_id,))
            connection.execute("UPDATE events SET name = 'Other', version = 2 WHERE id = %s", (event_id,))
        _confirm(work, event_id, buyers[0])

    stored = EventStore(database).get(event_id)
    assert stored is not None
    assert (stored.name, stored.impressions, stored.booked) == ("Other", 5, 1)


# Plans.

_PARAMETERS = {
    "read": {"count": "int", "job_ids": "uuid[]", "event_ids": "bigint[]", "user_ids": "bigint[]"},
    "lock_free_inventories": {"event_ids": "bigint[]", "owner": "bigint"},
}
_INDEXED = {"Index Scan", "Index Only Scan"}


def _scans(plan: dict[str, Any]) -> list[tuple[str, str]]:
    # How each table is looked at.
    scans = [(plan["Relation Name"], plan["Node Type"])] if "Relation Name" in plan else []
    return scans + [scan for part in plan.get("Plans", ()) for scan in _scans(part)]


def _plan(sql: Sql, name: str, mode: str) -> list[tuple[str, str]]:
    types = _PARAMETERS[name]
    query = queries.load("bookings")[name].decode()
    for number, parameter in enumerate(types, start=1):
        query = query.replace(f"%({parameter})s", f"${number}")
    ids = ",".join(map(str, range(1, 101)))
    uuids = ",".join(str(random_job_id(number)) for number in range(1, 101))
    values = {"int": "100", "bigint": "1", "bigint[]": f"'{{{ids}}}'", "uuid[]": f"'{{{uuids}}}'"}
    arguments = [values[kind] for kind in types.values()]
    sql.execute(f"SET plan_cache_mode = {mode}")  # type: ignore[arg-type]
    sql.execute(f"PREPARE tried ({', '.join(types.values())}) AS {query}")  # type: ignore[arg-type]
    [(found,)] = sql.execute(f"EXPLAIN (FORMAT JSON) EXECUTE tried ({', '.join(arguments)})").fetchall()  # type: ignore[arg-type]
    sql.execute("DEALLOCATE tried")
    return _scans(found[0]["Plan"])


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("bookings", [0, 5_000])
def test_what_a_decision_needs_is_looked_up_by_index(sql: Sql, bookings: int, mode: str) -> None:
    """In tables that were never analysed, and by a plan that was made when they were empty and is kept."""
    sql.execute("INSERT INTO users (name, email) VALUES ('Buyer', 'b@example.org')")
    sql.execute(
        "INSERT INTO events (name, venue, time) SELECT 'E', 'V', now() FROM generate_series(1, %s)", (bookings,)
    )
    sql.execute("INSERT INTO event_inventory (event_id, capacity) SELECT id, 10 FROM events")
    sql.execute(
        "INSERT INTO bookings (job_id, event_id, user_id, quantity, slot, created_at)"
        " SELECT gen_random_uuid(), id, 1, 1, 1, now() FROM events"
    )
    sql.execute(
        "INSERT INTO booking_ledger SELECT event_id, 1, 'confirmed', job_id, id, 1, 1, NULL, 1, now(), 1, 10, now(),"
        " sha256(''), sha256('') FROM bookings"
    )

    scans = [*_plan(sql, "read", mode), *_plan(sql, "lock_free_inventories", mode)]

    assert {table for table, _ in scans} >= {"bookings", "booking_ledger", "event_inventory"}
    assert {how for table, how in scans if table != "installation"} <= _INDEXED, scans
