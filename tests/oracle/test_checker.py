"""The checker against real rows: each promise broken by hand is found under its name, and an honest sale is clean."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from harness.databases import Databases
from ledger_story import LedgerStory, busy_story, write
from oracle.checker import Violation, check_final, check_snapshot, undecided
from oracle.history import Attempt, Cancelled, Delivered, History, Told

Sql = psycopg.Connection[Any]

_EVENTS = (7, 8, 12)
_POISONED = (9,)
_DELIVERED = ("confirmed", "rejected", "failed", "cancelled")
_STRANGER = UUID(int=4711)


@pytest.fixture
def stories() -> list[LedgerStory]:
    """Three events in which everything happens that may happen."""
    return [busy_story(event_id) for event_id in _EVENTS]


@pytest.fixture
def sql(database_url: str, stories: list[LedgerStory]) -> Iterator[Sql]:
    """A connection that may write what the schema's triggers and keys would refuse."""
    with psycopg.connect(database_url) as connection:
        write(connection, *stories)
        connection.autocommit = True
        connection.execute("SET session_replication_role = replica")
        yield connection


@pytest.fixture(scope="module")
def honest_url(databases: Databases) -> Iterator[str]:
    """The same stories in a database that no test writes to."""
    with databases.migrated() as url:
        with psycopg.connect(url) as connection:
            write(connection, *(busy_story(event_id) for event_id in _EVENTS))
        yield url


@pytest.fixture
def history(stories: list[LedgerStory]) -> History:
    """What the clients of these stories saw: each asked after the one before had its receipt."""
    history = History()
    for story in stories:
        for row in story.entries:
            _remember(history, row)
    return history


def _remember(history: History, row: dict[str, Any]) -> None:
    if row["kind"] in _DELIVERED:
        job_id = None if row["job_id"] is None else UUID(row["job_id"])
        history.add(Delivered(event_id=row["event_id"], entry_number=row["entry_number"], job_id=job_id))
    if row["job_id"] is not None:
        history.add(_attempt_of(row))
        history.add(
            Told(
                job_id=UUID(row["job_id"]),
                told_at=0.0,
                status="completed" if row["kind"] == "confirmed" else "failed",
                reason=row["reason"],
                booking_id=row["booking_id"],
            )
        )
    elif row["kind"] == "cancelled":
        history.add(Cancelled(booking_id=row["booking_id"], told_at=0.0))


def _attempt_of(row: dict[str, Any]) -> Attempt:
    return Attempt(
        event_id=row["event_id"],
        user_id=row["user_id"],
        quantity=row["quantity"],
        key=f"key-{row['entry_number']}",
        asked_at=row["entry_number"],
        answered_at=row["entry_number"] + 0.5,
        accepted=True,
        job_id=UUID(row["job_id"]),
        queue_number=row["queue_number"],
    )


def _check(database_url: str, history: History, **changes: Any) -> list[Violation]:
    return check_final(
        database_url, history, **{"restarts_allowed": True, "poisoned_users": _POISONED, **changes}
    )  # fmt: skip


def _found(violations: list[Violation], invariant: str) -> str:
    """Return all that was said under one name."""
    return "\n".join(violation.sentence for violation in violations if violation.invariant == invariant)


def test_an_honest_sale_is_clean(honest_url: str, history: History) -> None:
    """Sold out, withdrawn, cancelled, enlarged, begun anew, poisoned, decided around the queue: all as promised."""
    told = {answer.job_id: answer for answer in history.told}

    assert _check(honest_url, history, status_of=told.get) == []
    assert check_snapshot(honest_url) == []
    assert undecided(honest_url, {*history.accepted_jobs(), _STRANGER}) == 1


def test_a_history_survives_its_file(honest_url: str, history: History, tmp_path: Path) -> None:
    history.save(tmp_path / "history.jsonl")

    read = History.load(tmp_path / "history.jsonl")

    assert (read.attempts, read.told, read.cancelled) == (history.attempts, history.told, history.cancelled)
    assert _check(honest_url, read) == []


_BROKEN_ROWS = [
    # The first booking of event 8 is 8001, of user 1, in entry 2; entry 9 cancels booking 8002.
    ("UPDATE event_inventory SET sold = 4 WHERE event_id = 8", "I1", "event 8: 5 seats are booked, sold is 4"),
    (
        (
            "ALTER TABLE event_inventory DROP CONSTRAINT event_inventory_never_oversold;"
            "UPDATE event_inventory SET capacity = 4 WHERE event_id = 8"
        ),
        "I1",
        "event 8: 5 seats are booked, sold is 5, the capacity 4",
    ),
    ("UPDATE bookings SET quantity = 3 WHERE id = 8001", "I1", "event 8: 7 seats are booked, sold is 5"),
    ("UPDATE event_inventory SET capacity = 6 WHERE event_id = 8", "I1", "sold 5 of 6, but entry 17 says 5 of 5"),
    (
        (
            "INSERT INTO bookings SELECT 1, gen_random_uuid(), event_id, user_id, 1, 2, 'confirmed', 99, now()"
            "  FROM bookings WHERE id = 8001"
        ),
        "I1",
        "event 8: user 1 holds 2 bookings, the cap is 1",
    ),
    (
        "UPDATE booking_ledger SET sold_after = 0 WHERE event_id = 8 AND entry_number = 2",
        "I1",
        "event 8, entry 2 (confirmed of 1): from 0 of 3 to 0 of 3",
    ),
    (
        "UPDATE booking_ledger SET capacity_after = 9 WHERE event_id = 8 AND entry_number = 3",
        "I1",
        "event 8, entry 3 (confirmed of 1): from 1 of 3 to 2 of 9",
    ),
    (
        (
            "DROP INDEX booking_ledger_one_outcome;"
            "UPDATE booking_ledger SET job_id = (SELECT job_id FROM booking_ledger"
            "                                     WHERE event_id = 8 AND entry_number = 2)"
            " WHERE event_id = 8 AND entry_number = 4"
        ),
        "I2",
        "has 2 outcomes: ['confirmed', 'rejected']",
    ),
    (
        (
            "ALTER TABLE bookings DROP CONSTRAINT bookings_job_id_key;"
            "INSERT INTO bookings SELECT 1, job_id, event_id, user_id, 1, 2, 'confirmed', 99, now()"
            "  FROM bookings WHERE id = 8001"
        ),
        "I3",
        "has several bookings: [1, 8001]",
    ),
    ("DELETE FROM bookings WHERE id = 8001", "I3", "is confirmed, but there is no such booking 8001"),
    ("UPDATE bookings SET user_id = 99 WHERE id = 8001", "I3", "is confirmed, but there is no such booking 8001"),
    (
        "UPDATE booking_ledger SET kind = 'rejected', reason = 'sold_out' WHERE event_id = 8 AND entry_number = 2",
        "I3",
        "booking 8001 of job",
    ),
    (
        "UPDATE bookings SET status = 'cancelled', cancelled_at = now() WHERE id = 8001",
        "I3",
        "booking 8001 is cancelled, and was cancelled 0 times",
    ),
    (
        "UPDATE bookings SET status = 'confirmed', cancelled_at = NULL, slot = 7 WHERE id = 8002",
        "I3",
        "booking 8002 is confirmed, and was cancelled 1 times",
    ),
    (
        "DELETE FROM booking_ledger WHERE event_id = 8 AND entry_number = 4",
        "I5",
        "event 8: 16 entries with 16 numbers from 1 to 17, last is 17",
    ),
    (
        "DELETE FROM booking_ledger WHERE event_id = 8 AND entry_number = 17",
        "I5",
        "event 8: 16 entries with 16 numbers from 1 to 16, last is 17",
    ),
    (
        "UPDATE booking_ledger SET prev_hash = hash WHERE event_id = 8 AND entry_number = 4",
        "I5",
        "event 8: entry 4 does not continue the one before it",
    ),
    (
        "UPDATE booking_ledger SET queue_number = 5 WHERE event_id = 8 AND entry_number = 10",
        "I5",
        "has number 5 and was decided after number 7",
    ),
    (
        "UPDATE event_inventory SET last_queue_number = 8 WHERE event_id = 8",
        "I5",
        "event 8: number 11 is decided, but the last decided number is said to be 8",
    ),
    # Without the cancellation between them, the seat after the refusal came from nowhere.
    (
        "UPDATE booking_ledger SET kind = 'queue_restarted', booking_id = NULL WHERE event_id = 8 AND entry_number = 9",
        "I5",
        "event 8, entry 10: job 00000000-0000-4008-8000-00000000000a got 1 tickets after 1 were refused",
    ),
    (
        "UPDATE booking_ledger SET quantity = 1 WHERE event_id = 8 AND entry_number = 5",
        "I5",
        "event 8, entry 6: job 00000000-0000-4008-8000-000000000006 got 1 tickets after 1 were refused",
    ),
    (
        "UPDATE booking_ledger SET user_id = 10 WHERE event_id = 8 AND kind = 'failed'",
        "I7",
        "of user 10 failed as poison",
    ),
    ("INSERT INTO outbox VALUES (8, 1)", "I8", "the outbox holds entry 1 of event 8, which is no outcome"),
    (
        "UPDATE booking_ledger SET reason = 'sold_out' WHERE event_id = 8 AND entry_number = 4",
        "I11",
        "was refused 1 tickets as sold out while 1 were free",
    ),
]


@pytest.mark.parametrize(("tampering", "invariant", "sentence"), _BROKEN_ROWS, ids=[row[2] for row in _BROKEN_ROWS])
def test_rows_that_break_a_promise_are_found(
    tampering: str, invariant: str, sentence: str, sql: Sql, database_url: str, history: History
) -> None:
    sql.execute(tampering.encode())

    assert sentence in _found(_check(database_url, history), invariant)


@pytest.mark.parametrize(("tampering", "sentence"), [(row[0], row[2]) for row in _BROKEN_ROWS[:5]])
def test_the_sum_is_checked_at_any_moment(tampering: str, sentence: str, sql: Sql, database_url: str) -> None:
    sql.execute(tampering.encode())

    assert sentence in _found(check_snapshot(database_url), "I1")


def test_a_queue_that_began_anew_is_found_unless_that_is_allowed(honest_url: str, history: History) -> None:
    found = _check(honest_url, history, restarts_allowed=False)

    assert {violation.invariant for violation in found} == {"I5"}
    assert "event 8: its order began anew 1 times, first at entry 14" in _found(found, "I5")


def test_seats_left_over_are_found(database_url: str) -> None:
    """Three wanted one of two seats each, and one of them was told a lie that the ledger tells, too."""
    story = LedgerStory(7, capacity=2)
    story.confirmed(1)
    story.rejected(2)
    story.entries[-1]["sold_after"] = 2
    story.rejected(3)
    with psycopg.connect(database_url) as connection:
        write(connection, story)

    found = _check(database_url, History(), others_allowed=True)

    assert "event 7: 3 wanted one of 2 seats, 1 are booked" in _found(found, "I11")
    assert "event 7, entry 3 (rejected of 1): from 1 of 2 to 2 of 2" in _found(found, "I1")


def _of_event_8(history: History, entry_number: int) -> Attempt:
    return next(
        attempt for attempt in history.attempts if attempt.event_id == 8 and attempt.key == f"key-{entry_number}"
    )


def _change_attempt(history: History, entry_number: int, **changes: Any) -> None:
    old = _of_event_8(history, entry_number)
    history.attempts[history.attempts.index(old)] = replace(old, **changes)


def _change_told(history: History, entry_number: int, **changes: Any) -> None:
    job_id = _of_event_8(history, entry_number).job_id
    old = next(told for told in history.told if told.job_id == job_id)
    history.told[history.told.index(old)] = replace(old, **changes)


def _forget_attempt(history: History) -> None:
    history.attempts.remove(_of_event_8(history, 2))


def _add_attempt(history: History, **changes: Any) -> None:
    history.add(replace(_of_event_8(history, 2), key="new", job_id=_STRANGER, **changes))


def _tell(history: History, **changes: Any) -> None:
    _add_attempt(history)
    history.add(replace(history.told[0], job_id=_STRANGER, **changes))


def _deliver_late(history: History) -> None:
    delivered = [one for one in history.delivered if one.event_id == 8]
    history.delivered.remove(delivered[0])
    history.delivered.append(delivered[0])


def _deliver_another(history: History) -> None:
    place = next(number for number, one in enumerate(history.delivered) if (one.event_id, one.entry_number) == (8, 2))
    history.delivered[place] = replace(history.delivered[place], job_id=_STRANGER)


def _deliver_less(history: History) -> None:
    history.delivered[:] = [one for one in history.delivered if (one.event_id, one.entry_number) != (8, 9)]


_BROKEN_WORDS: list[tuple[Callable[[History], None], str, str]] = [
    (_forget_attempt, "I2", "of user 1, event 8, is confirmed, and nobody asked for it"),
    (_tell, "I2", f"job {_STRANGER} was answered completed (None), and the ledger has no outcome of it"),
    (lambda history: _change_attempt(history, 3, key="key-2", user_id=1), "I3", "key 'key-2' of user 1 for event 8"),
    (lambda history: _change_attempt(history, 10, key=None, job_id=_of_event_8(history, 2).job_id), "I3",
     "was given to several attempts"),
    (lambda history: _change_told(history, 2, status="failed", reason="sold_out", booking_id=None), "I4",
     "was told failed (reason sold_out, booking None), the ledger says confirmed (reason None, booking 8001)"),
    (lambda history: _change_told(history, 4, reason="sold_out"), "I4", "the ledger says rejected (reason already_b"),
    (lambda history: _change_told(history, 2, booking_id=8002), "I4", "was told completed (reason None, booking 8002)"),
    (_tell, "I4", "was told completed (reason None, booking 7001), the ledger says nothing"),
    (lambda history: _change_attempt(history, 2, quantity=2), "I4",
     "event, user and quantity were (8, 1, 2), decided were (8, 1, 1)"),
    (lambda history: _change_attempt(history, 2, queue_number=3), "I4", "the receipts say number 3, the ledger 1"),
    (lambda history: history.add(Cancelled(booking_id=8001, told_at=0.0)), "I4",
     "booking 8001 was told to be cancelled, and is confirmed"),
    (lambda history: history.add(Cancelled(booking_id=1, told_at=0.0)), "I4",
     "booking 1 was told to be cancelled, and is nowhere"),
    (_add_attempt, "I6", f"1 of 40 accepted jobs have no outcome, 0 may be lost: {_STRANGER}"),
    (_deliver_less, "I8", "event 8: the outcome in entry 9 was never delivered"),
    (_deliver_another, "I8", f"event 8, entry 2: delivered for job {_STRANGER}, not 00000000-0000-4008-"),
    (_deliver_late, "I8", "event 8: entry 2 was delivered after entry 17"),
    (lambda history: history.add(Delivered(event_id=8, entry_number=1, job_id=None)), "I8",
     "event 8: entry 1 was delivered, and is no outcome"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "invariant", "sentence"), _BROKEN_WORDS, ids=[row[2] for row in _BROKEN_WORDS])
def test_words_that_the_rows_do_not_bear_out_are_found(
    change: Callable[[History], None], invariant: str, sentence: str, honest_url: str, history: History
) -> None:
    change(history)

    assert sentence in _found(_check(honest_url, history), invariant)


def test_whoever_is_decided_before_one_with_an_older_receipt_is_found(database_url: str) -> None:
    """The ledger alone looks orderly; the clients know better."""
    story = LedgerStory(7, capacity=3)
    for number in (1, 2, 3):
        story.confirmed(number)
    history = History()
    for row in story.entries[1:]:
        _remember(history, row)
    history.attempts[2] = replace(history.attempts[2], asked_at=0.0, answered_at=1.0)
    with psycopg.connect(database_url) as connection:
        write(connection, story)

    found = _check(database_url, history)

    assert {violation.invariant for violation in found} == {"I5"}
    assert f"(entry 2) was asked for after job {history.attempts[2].job_id} (entry 4) had its receipt" in _found(
        found, "I5"
    )


def test_losses_within_the_class_are_no_violation(honest_url: str, history: History) -> None:
    _add_attempt(history)

    assert _check(honest_url, history, losses_allowed=1) == []


def test_an_attempt_without_an_answer_may_have_either(honest_url: str, history: History) -> None:
    """One was decided all the same, and one never was."""
    _change_attempt(history, 2, accepted=False, queue_number=None)
    _add_attempt(history, accepted=False, queue_number=None)

    assert _check(honest_url, history) == []


def test_an_attempt_whose_answer_was_lost_may_be_a_job_of_an_unknown_id(honest_url: str, history: History) -> None:
    """One lost answer excuses one outcome of the same wish, and no other."""
    wish = _of_event_8(history, 2)
    history.attempts.remove(wish)
    lost = replace(wish, key=None, accepted=False, job_id=None, queue_number=None, unanswered=True)

    history.attempts.append(replace(lost, quantity=2))
    assert "of user 1, event 8, is confirmed" in _found(_check(honest_url, history), "I2")

    history.attempts[-1] = lost
    assert _check(honest_url, history) == []

    history.attempts[-1] = replace(lost, key="key-2")
    history.add(replace(_of_event_8(history, 3), user_id=1, key="key-2"))
    assert "of user 1, event 8, is confirmed" in _found(_check(honest_url, history), "I2")


def test_whoever_asks_once_more_is_told_the_same(honest_url: str, history: History) -> None:
    """A job that is unknown, one of another outcome, and one that is still open."""
    told = {answer.job_id: answer for answer in history.told}
    forgotten, changed = (_of_event_8(history, number).job_id for number in (2, 3))
    assert forgotten is not None
    assert changed is not None
    del told[forgotten]
    told[changed] = replace(told[changed], status="failed", reason="sold_out")
    told[_STRANGER] = Told(job_id=_STRANGER, told_at=0.0, status="queued", reason=None, booking_id=None)
    _add_attempt(history)

    found = _check(honest_url, history, status_of=told.get)

    assert f"job {forgotten} is said to be unknown, the ledger says confirmed" in _found(found, "I4")
    assert f"job {changed} is said to be failed (reason sold_out" in _found(found, "I4")
    assert f"job {_STRANGER} is said to be queued" in _found(found, "I2")


def test_a_thousand_violations_are_told_by_their_number(sql: Sql, database_url: str, history: History) -> None:
    sql.execute("UPDATE booking_ledger SET prev_hash = hash")

    told = _found(_check(database_url, history), "I5")

    assert "event 7: entry 1 does not continue" in told
    assert "and 46 more of the same kind" in told


def test_a_snapshot_sees_one_moment_however_much_is_written(sql: Sql, database_url: str) -> None:
    """Seats and their sum change together all the time; the checker never sees one without the other."""
    over = threading.Event()

    def sell() -> None:
        with psycopg.connect(database_url) as connection:
            while not over.is_set():
                for change in (1, -1):
                    for statement in (
                        "UPDATE bookings SET quantity = quantity + %s WHERE id = 8001",
                        "UPDATE event_inventory SET sold = sold + %s, capacity = 6 WHERE event_id = 8",
                        (
                            "UPDATE booking_ledger SET sold_after = sold_after + %s, capacity_after = 6"
                            " WHERE event_id = 8 AND entry_number = 17"
                        ),
                    ):
                        connection.execute(statement, (change,))
                    connection.commit()

    sql.execute("ALTER TABLE booking_ledger DISABLE TRIGGER ALL")
    selling = threading.Thread(target=sell)
    selling.start()
    try:
        found = [check_snapshot(database_url) for _ in range(50)]
    finally:
        over.set()
        selling.join(10)

    assert found == [[]] * 50


def test_databases_are_told_apart(databases: Databases, sql: Sql, database_url: str) -> None:
    """An empty database breaks no promise, and knows of no job."""
    with databases.migrated() as empty:
        assert check_final(empty, History()) == []
        assert undecided(empty, [_STRANGER]) == 1
