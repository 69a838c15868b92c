"""Editing events: one version at a time, under the sale's own lock."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors.editing import CapacityChanged, Editing
from aurora_atlan.actors.errors import (
    BookingError,
    CapacityBelowSoldError,
    EmptyWindowError,
    OutdatedVersionError,
    SaleHasBegunError,
    UnavailableError,
    UnknownEventError,
)
from aurora_atlan.actors.gate import Gate
from aurora_atlan.config import Settings
from aurora_atlan.persistence.audit_log import AuditLog, Deed
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.errors import DataError, StoreUnavailableError
from aurora_atlan.persistence.event_work import EventWork
from aurora_atlan.persistence.events import Event, EventEdit, EventStore
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.records import Booking, Job, Kind, Outcome, Reason
from harness_crowd import at_a_barrier
from harness_sales import wait_until

Sql = psycopg.Connection[Any]
Enqueue = Callable[..., Job]
Decide = Callable[..., list[Outcome]]

_TIME = datetime(2028, 1, 1, 18, tzinfo=UTC)


@pytest.fixture
def editing(bookings: BookingStore, audit_clean: None) -> Editing:
    """The editor; whatever it changes, the audit finds nothing afterwards."""
    return Editing(bookings)


@pytest.fixture
def events(database: Database) -> EventStore:
    """The events as they are shown."""
    return EventStore(database)


def _describe(before: Event, after: Event) -> Deed:
    return Deed(actor_id=7, action="event.update", subject=f"event {after.id}", before=before.name, after=after.name)


def _kinds(sql: Sql, event_id: int) -> list[str]:
    rows = sql.execute("SELECT kind FROM booking_ledger WHERE event_id = %s ORDER BY entry_number", (event_id,))
    return [kind for (kind,) in rows.fetchall()]


def _sold(sql: Sql, event_id: int) -> tuple[int, int]:
    row = sql.execute("SELECT sold, capacity FROM event_inventory WHERE event_id = %s", (event_id,)).fetchone()
    assert row is not None
    return row[0], row[1]


# What is shown, and the terms.


def test_an_edited_event_is_its_next_version(
    editing: Editing, events: EventStore, make_event: Callable[..., int], sql: Sql
) -> None:
    """What is named is changed, everything else is as it was, and it is read back so."""
    event_id = make_event(closes_at=_TIME)
    before = events.get(event_id)
    assert before is not None

    edited = editing.edit(
        event_id,
        EventEdit(name="Gala", time=_TIME, capacity=20, cap_per_user=3, opens_at=_TIME, closes_at=None),
    )

    expected = replace(
        before, name="Gala", time=_TIME, capacity=20, cap_per_user=3, opens_at=_TIME, closes_at=None, version=2
    )
    assert replace(edited, updated_at=before.updated_at) == expected
    assert edited.updated_at > before.updated_at
    assert events.get(event_id) == edited
    assert _kinds(sql, event_id) == ["opened", "capacity_changed"]


def test_what_is_so_already_is_no_change(
    editing: Editing, events: EventStore, make_event: Callable[..., int], database: Database, sql: Sql
) -> None:
    """No version, no entry, no deed."""
    event_id = make_event(capacity=5)
    before = events.get(event_id)
    assert before is not None

    same = editing.edit(event_id, EventEdit(name=before.name, capacity=5, opens_at=None), describe=_describe)

    assert same == before == events.get(event_id)
    assert _kinds(sql, event_id) == ["opened"]
    assert AuditLog(database).page(10) == []


def test_an_edit_leaves_the_sale_as_it_is(
    editing: Editing, book: Callable[..., Booking], make_event: Callable[..., int], buyers: list[int], sql: Sql
) -> None:
    """Neither the counters nor the ledger nor who decides for the event change with its name."""
    event_id = make_event()
    book(event_id, buyers[0], quantity=2)
    counters = (
        "SELECT sold, bookings, last_queue_number, last_entry, ledger_head, owner, epoch, lease_until, paused"
        " FROM event_inventory"
    )
    before = sql.execute(counters.encode()).fetchone()

    edited = editing.edit(event_id, EventEdit(name="Gala", closes_at=_TIME))

    assert edited.booked == 2
    assert sql.execute(counters.encode()).fetchone() == before


def test_the_window_is_judged_as_it_would_be(
    editing: Editing, events: EventStore, make_event: Callable[..., int]
) -> None:
    """Also against the bound that stays."""
    event_id = make_event(opens_at=_TIME, closes_at=_TIME + timedelta(hours=1))
    before = events.get(event_id)

    for edit in (
        EventEdit(closes_at=_TIME),
        EventEdit(opens_at=_TIME + timedelta(hours=1)),
        EventEdit(opens_at=_TIME + timedelta(hours=3), closes_at=_TIME + timedelta(hours=2)),
        EventEdit(name="Gala", closes_at=_TIME - timedelta(days=1)),
    ):
        with pytest.raises(EmptyWindowError):
            editing.edit(event_id, edit)
    assert events.get(event_id) == before

    later = timedelta(days=2)
    moved = editing.edit(event_id, EventEdit(opens_at=_TIME + later, closes_at=_TIME + 2 * later))
    assert (moved.opens_at, moved.closes_at) == (_TIME + later, _TIME + 2 * later)
    assert editing.edit(event_id, EventEdit(opens_at=None, closes_at=_TIME)).closes_at == _TIME


def test_a_closed_window_is_there_for_the_next_decision(
    editing: Editing, enqueue: Enqueue, decide: Decide, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """A job that was accepted before is decided by the terms at its turn."""
    event_id = make_event()
    job = enqueue(event_id, buyers[0])

    editing.edit(event_id, EventEdit(closes_at=datetime(2020, 1, 1, tzinfo=UTC)))

    assert [outcome.reason for outcome in decide(job)] == [Reason.EVENT_CLOSED]


def test_the_cap_can_change_until_the_first_decision(
    editing: Editing, enqueue: Enqueue, decide: Decide, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """Whatever was decided, even a refusal; what only waits does not count, and the same cap is no change."""
    event_id = make_event(capacity=2)
    jobs = [enqueue(event_id, buyers[0]) for _ in range(3)]
    assert editing.edit(event_id, EventEdit(capacity=1, cap_per_user=2)).cap_per_user == 2

    outcomes = decide(*jobs)
    with pytest.raises(SaleHasBegunError):
        editing.edit(event_id, EventEdit(name="Gala", cap_per_user=3))

    assert [outcome.kind for outcome in outcomes] == [Kind.CONFIRMED, Kind.REJECTED, Kind.REJECTED]
    unchanged = editing.edit(event_id, EventEdit(venue="Barn", cap_per_user=2))
    assert (unchanged.name, unchanged.venue) == ("Aurora Night", "Barn")


def test_a_withdrawn_job_is_a_decision_about_the_cap(
    editing: Editing,
    bookings: BookingStore,
    jobs: JobStore,
    enqueue: Enqueue,
    make_event: Callable[..., int],
    buyers: list[int],
) -> None:
    """Any answer to a job in the ledger holds the cap."""
    event_id, other = make_event(), make_event()
    Gate(bookings, jobs).withdraw(enqueue(event_id, buyers[0]).job_id, None)

    with pytest.raises(SaleHasBegunError):
        editing.edit(event_id, EventEdit(cap_per_user=2))
    assert editing.edit(other, EventEdit(cap_per_user=2)).cap_per_user == 2


@pytest.mark.parametrize("gone", [False, True])
def test_an_event_that_is_not_there_cannot_be_edited(
    editing: Editing, make_event: Callable[..., int], sql: Sql, *, gone: bool
) -> None:
    """Unknown and deleted events are the same to an editor, whatever version is asked for."""
    event_id = make_event()
    sql.execute("UPDATE event_inventory SET gone = %s WHERE event_id = %s", (gone, event_id))

    for versions in (None, {1}, {9}):
        with pytest.raises(UnknownEventError):
            editing.edit(event_id if gone else event_id + 1, EventEdit(name="Gala"), versions=versions)


def test_what_no_row_can_hold_changes_nothing(
    editing: Editing, events: EventStore, make_event: Callable[..., int], sql: Sql
) -> None:
    """The schema refuses the whole edit, capacity and ledger included."""
    event_id = make_event()
    before = events.get(event_id)

    for edit in (
        EventEdit(name="x" * 201, capacity=20),
        EventEdit(cap_per_user=101),
        EventEdit(venue="\0", capacity=1),
    ):
        with pytest.raises(DataError):
            editing.edit(event_id, edit)

    assert events.get(event_id) == before
    assert _kinds(sql, event_id) == ["opened"]


# Versions.


def test_only_the_version_that_was_seen_is_changed(
    editing: Editing, events: EventStore, make_event: Callable[..., int]
) -> None:
    """One of several will do; an outdated one is refused even if there is nothing to change."""
    event_id = make_event()

    assert editing.edit(event_id, EventEdit(name="Gala"), versions={1}).version == 2
    for edit in (EventEdit(name="Ball"), EventEdit(name="Gala")):
        with pytest.raises(OutdatedVersionError):
            editing.edit(event_id, edit, versions={1, 3})
    with pytest.raises(OutdatedVersionError):
        editing.edit(event_id, EventEdit(name="Ball"), versions=())
    assert editing.edit(event_id, EventEdit(name="Ball"), versions={1, 2}).version == 3
    shown = events.get(event_id)
    assert shown is not None
    assert (shown.name, shown.version) == ("Ball", 3)


def test_of_eight_who_saw_the_same_version_one_changes_it(
    editing: Editing, events: EventStore, make_event: Callable[..., int], database: Database
) -> None:
    """Round after round: one winner per version, and each deed notes what it was and what it became."""
    event_id = make_event()
    winners: dict[int, list[int]] = {}

    def compete(number: int, turn: int) -> None:
        try:
            event = editing.edit(event_id, EventEdit(name=f"{turn}-{number}"), versions={turn + 1}, describe=_describe)
        except OutdatedVersionError:
            return
        winners.setdefault(event.version, []).append(number)

    at_a_barrier(8, 12, compete)

    assert sorted(winners) == list(range(2, 14))
    assert all(len(each) == 1 for each in winners.values())
    last = events.get(event_id)
    assert last is not None
    assert (last.version, last.name) == (13, f"11-{winners[13][0]}")
    deeds = [(deed.before, deed.after) for deed in reversed(AuditLog(database).page(50))]
    names = ["Aurora Night", *(f"{turn}-{winners[turn + 2][0]}" for turn in range(12))]
    assert deeds == list(itertools.pairwise(names))


def test_an_edit_whose_commit_was_not_heard_of_is_not_taken_for_somebody_elses(
    editing: Editing,
    bookings: BookingStore,
    make_event: Callable[..., int],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is done once, noted once, and its author is told of success."""
    event_id = make_event()
    unit_of_work, lost = bookings.unit_of_work, [True, True]

    @contextmanager
    def losing() -> Iterator[EventWork]:
        with unit_of_work() as work:
            yield work
        if lost:
            lost.pop()
            raise StoreUnavailableError("the connection was lost during COMMIT")

    monkeypatch.setattr(bookings, "unit_of_work", losing)
    edited = editing.edit(event_id, EventEdit(name="Gala", capacity=11), versions={1}, describe=_describe)

    assert (edited.version, edited.name, edited.capacity) == (2, "Gala", 11)
    assert len(AuditLog(database).page(10)) == 1
    with pytest.raises(OutdatedVersionError):
        editing.edit(event_id, EventEdit(name="Gala"), versions={1})


def test_an_edit_that_was_rolled_back_is_tried_again(
    editing: Editing,
    bookings: BookingStore,
    make_event: Callable[..., int],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was lost before COMMIT is written by the next try, and noted once."""
    event_id = make_event()
    note, lost = EventWork.note, [True]

    def losing(work: EventWork, deed: Deed) -> None:
        note(work, deed)
        if lost:
            lost.pop()
            raise StoreUnavailableError("the connection is lost")

    monkeypatch.setattr(EventWork, "note", losing)
    edited = editing.edit(event_id, EventEdit(name="Gala"), versions={1}, describe=_describe)

    assert (edited.version, edited.name) == (2, "Gala")
    assert len(AuditLog(database).page(10)) == 1


# Locks.


def test_a_sale_that_is_busy_too_long_is_told(
    settings: Settings, make_event: Callable[..., int], hold_row: Callable[[int], Sql], events: EventStore
) -> None:
    """While a stranger holds the sale's row nothing is changed."""
    event_id = make_event()
    before = events.get(event_id)
    stranger = hold_row(event_id)
    database = Database(replace(settings, lock_timeout_s=0.05))
    database.open()
    busy = Editing(BookingStore(database, 101))
    try:
        for act in (lambda: busy.edit(event_id, EventEdit(name="Gala")), lambda: busy.set_capacity(event_id, 99)):
            with pytest.raises(UnavailableError):
                act()
        assert events.get(event_id) == before
        stranger.rollback()
        assert busy.edit(event_id, EventEdit(name="Gala")).version == 2
    finally:
        database.close()


def test_the_row_of_the_sale_is_locked_before_that_of_the_event(
    editing: Editing, make_event: Callable[..., int], hold_row: Callable[[int], Sql], sql: Sql
) -> None:
    """Who waits for a sale holds nothing that others of the event might want."""
    event_id = make_event()
    stranger = hold_row(event_id)
    thread = threading.Thread(target=editing.edit, args=(event_id, EventEdit(name="Gala")))
    thread.start()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    wait_until(lambda: sql.execute(waiting).fetchone() == (1,), 5, "the edit waits for the sale's row")

    sql.execute("SELECT FROM events WHERE id = %s FOR UPDATE NOWAIT", (event_id,))
    stranger.rollback()
    thread.join(10)

    assert sql.execute("SELECT name FROM events WHERE id = %s", (event_id,)).fetchone() == ("Gala",)


# The capacity.


def test_more_seats_are_sold_to_those_behind(
    editing: Editing,
    enqueue: Enqueue,
    decide: Decide,
    make_event: Callable[..., int],
    buyers: list[int],
    sql: Sql,
) -> None:
    """A raised capacity is there for the next decision."""
    event_id = make_event(capacity=1)
    decide(enqueue(event_id, buyers[0]))
    [refused] = decide(enqueue(event_id, buyers[1]))

    changed = editing.set_capacity(event_id, 2)
    [served] = decide(enqueue(event_id, buyers[2]))

    assert changed == CapacityChanged(event_id, 2, 1)
    assert (refused.reason, served.kind) == (Reason.SOLD_OUT, Kind.CONFIRMED)
    assert _kinds(sql, event_id) == ["opened", "confirmed", "rejected", "capacity_changed", "confirmed"]


def test_the_capacity_cannot_go_below_what_is_sold(
    editing: Editing, book: Callable[..., Booking], make_event: Callable[..., int], buyers: list[int], sql: Sql
) -> None:
    """It may go down to it, and no further; the error says how many that are."""
    event_id = make_event()
    book(event_id, buyers[0], quantity=4)

    with pytest.raises(CapacityBelowSoldError) as caught:
        editing.set_capacity(event_id, 3)
    assert caught.value.sold == 4
    assert editing.set_capacity(event_id, 4) == CapacityChanged(event_id, 4, 4)
    assert _sold(sql, event_id) == (4, 4)


def test_the_capacity_that_it_has_already_is_no_change(
    editing: Editing, make_event: Callable[..., int], sql: Sql
) -> None:
    """A repetition makes no entry."""
    event_id = make_event(capacity=5)

    editing.set_capacity(event_id, 5)

    assert _kinds(sql, event_id) == ["opened"]


@pytest.mark.parametrize("gone", [False, True])
def test_an_event_that_is_not_there_has_no_capacity(
    editing: Editing, make_event: Callable[..., int], sql: Sql, *, gone: bool
) -> None:
    """Unknown and deleted events are the same to an editor."""
    event_id = make_event()
    sql.execute("UPDATE event_inventory SET gone = %s WHERE event_id = %s", (gone, event_id))

    with pytest.raises(UnknownEventError):
        editing.set_capacity(event_id if gone else event_id + 1, 5)


@pytest.mark.parametrize("capacity", [10_000_001, 2**31, 2**70, -1])
def test_an_impossible_capacity_is_refused_in_our_own_words(
    editing: Editing, make_event: Callable[..., int], sql: Sql, capacity: int
) -> None:
    """A value that no row can hold is one of the caller's errors, not the store's."""
    event_id = make_event()

    with pytest.raises((BookingError, ValueError)):
        editing.set_capacity(event_id, capacity)

    assert _sold(sql, event_id) == (0, 10)
