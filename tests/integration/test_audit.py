"""The audit against real rows: each promise broken by hand, and found."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import psycopg
import pytest
from click.testing import CliRunner

from aurora_atlan.commands.audit import command
from aurora_atlan.config import Settings
from aurora_atlan.persistence.audit import Auditor
from aurora_atlan.persistence.audit_report import AuditProgress, AuditReport, Violation
from aurora_atlan.persistence.database import Database
from ledger_story import LedgerStory, busy_story, write

_EVENTS = (7, 8, 12)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection to a database with three busy events."""
    with psycopg.connect(database_url) as connection:
        write(connection, *(busy_story(event_id) for event_id in _EVENTS))
        connection.execute("SET session_replication_role = replica")
        connection.commit()
        yield connection


def audit(database_url: str, event_id: int | None = None) -> AuditReport:
    settings = Settings(database_url=database_url, database_role="aurora_reader")
    return Auditor(Database(settings)).run(event_id)


def violations(report: AuditReport) -> list[Violation]:
    return [violation for event in report.events for violation in event.violations]


def test_an_honest_database_is_clean_and_summed_up(connection: psycopg.Connection, database_url: str) -> None:
    report = audit(database_url)

    assert violations(report) == []
    assert report.ok
    assert [event.event_id for event in report.events] == list(_EVENTS)
    event = report.events[1]
    assert (event.sold, event.capacity, event.seats_booked) == (5, 5, 5)
    assert (event.bookings_confirmed, event.bookings_cancelled, event.entries) == (4, 1, 17)
    assert event.queue_restarts == 1
    assert report.entries == 51


def test_one_event_may_be_audited_alone(connection: psycopg.Connection, database_url: str) -> None:
    connection.execute("UPDATE booking_ledger SET user_id = 99 WHERE event_id = 8 AND entry_number = 3")
    connection.commit()

    assert audit(database_url, 7).ok
    assert not audit(database_url, 8).ok
    assert audit(database_url, 9).events == ()


@pytest.mark.parametrize(
    ("tampering", "rule", "expected"),
    [
        (
            "UPDATE booking_ledger SET quantity = 2 WHERE event_id = 8 AND entry_number = 2",
            "chain",
            "event 8, entry 2: its hash is not that of its content: the row was changed",
        ),
        (
            "DELETE FROM booking_ledger WHERE event_id = 8 AND entry_number = 2",
            "missing_entry",
            "event 8, entry 3: entry 2 is missing before it, after entry 1",
        ),
        (
            "DELETE FROM booking_ledger WHERE event_id = 8 AND entry_number = 2",
            "booking",
            "event 8: booking 8001 of job",
        ),
        (
            "DELETE FROM booking_ledger WHERE event_id = 8",
            "no_ledger",
            "event 8: its ledger is empty; the counter last_entry says 17",
        ),
        (
            "DELETE FROM booking_ledger WHERE event_id = 8",
            "no_ledger",
            "event 8: it has 5 bookings but no ledger",
        ),
        (
            "DELETE FROM event_inventory WHERE event_id = 8",
            "no_inventory",
            "event 8, entry 17: the event has a ledger but no row in event_inventory",
        ),
        (
            "INSERT INTO events (name, venue, time) OVERRIDING SYSTEM VALUE VALUES ('Nowhere', 'Hall', now())",
            "no_inventory",
            "event 1: the event has no row in event_inventory",
        ),
        (
            "UPDATE event_inventory SET sold = 4 WHERE event_id = 8",
            "counter",
            "event 8: the counter sold says 4, but the confirmed bookings hold 5 seats",
        ),
        (
            "UPDATE event_inventory SET bookings = 5 WHERE event_id = 8",
            "counter",
            "event 8: the counter bookings says 5, but 4 bookings are confirmed",
        ),
        (
            (
                "ALTER TABLE event_inventory DROP CONSTRAINT event_inventory_never_oversold;"
                "UPDATE event_inventory SET capacity = 4 WHERE event_id = 8"
            ),
            "oversold",
            "event 8: oversold: the confirmed bookings hold 5 seats and the counter sold says 5, of 4",
        ),
        (
            "DELETE FROM bookings WHERE id = 8001",
            "booking",
            "event 8, entry 2: it confirmed booking 8001, but there is no booking of job",
        ),
        (
            "UPDATE bookings SET user_id = 11, queue_number = NULL WHERE id = 8001",
            "booking",
            (
                "event 8, entry 2: booking 8001 differs from the entry that confirmed it: user 11 instead of 1, "
                "queue number none instead of 1"
            ),
        ),
        (
            (
                "INSERT INTO bookings (job_id, event_id, user_id, quantity, slot, created_at) "
                "VALUES ('00000000-0000-4000-8000-00000000abcd', 8, 10, 1, 1, now())"
            ),
            "booking",
            "event 8: booking 1 of job 00000000-0000-4000-8000-00000000abcd has no `confirmed` entry in the ledger",
        ),
        (
            "UPDATE bookings SET status = 'cancelled', cancelled_at = now() WHERE id = 8001",
            "cancellation",
            "event 8: booking 8001 is cancelled, but the ledger has no `cancelled` entry for it",
        ),
        (
            "UPDATE bookings SET status = 'confirmed', cancelled_at = NULL, slot = 2 WHERE id = 8002",
            "cancellation",
            "event 8, entry 9: it cancelled booking 8002, but no such booking is cancelled",
        ),
        (
            "UPDATE booking_ledger SET user_id = 3 WHERE event_id = 8 AND entry_number = 9",
            "cancellation",
            "event 8, entry 9: it cancelled booking 8002 for another user or quantity than the booking has",
        ),
        (
            "UPDATE booking_ledger SET booking_id = 8002, job_id = NULL WHERE event_id = 8 AND entry_number = 8",
            "cancellation",
            "event 8, entry 8: booking 8002 was cancelled 2 times, first here",
        ),
        (
            (
                "DROP INDEX booking_ledger_one_outcome;"
                "UPDATE booking_ledger SET job_id = (SELECT job_id FROM booking_ledger WHERE event_id = 7 "
                "AND entry_number = 3) WHERE event_id = 8 AND entry_number = 5"
            ),
            "outcome",
            (
                "event 8, entry 5: job 00000000-0000-4007-8000-000000000003 has 2 outcomes; "
                "the first is entry 3 of event 7"
            ),
        ),
        (
            "UPDATE booking_ledger SET user_id = 1 WHERE event_id = 8 AND entry_number = 6",
            "cap",
            "event 8, entry 6: it gave user 1 booking number 2, but one may hold 1",
        ),
        (
            "UPDATE booking_ledger SET reason = 'already_booked' WHERE event_id = 8 AND entry_number = 5",
            "cap",
            "event 8, entry 5: it refused user 4 as `already_booked`, who held 0 bookings of the 1 allowed",
        ),
        (
            "UPDATE booking_ledger SET user_id = 3 WHERE event_id = 8 AND entry_number = 9",
            "cap",
            "event 8, entry 9: it cancelled a booking of user 3 who held none",
        ),
        (
            "UPDATE bookings SET slot = 4 WHERE id = 8001",
            "cap",
            "event 8: booking 8001 of user 1 has slot 4, but one may hold 1",
        ),
        (
            "DROP INDEX bookings_one_per_slot; UPDATE bookings SET user_id = 1 WHERE id = 8003",
            "cap",
            "event 8: bookings 8001 and 8003 of user 1 share slot 1",
        ),
        (
            (
                "ALTER TABLE booking_ledger DROP CONSTRAINT booking_ledger_pkey;"
                "INSERT INTO booking_ledger SELECT event_id, entry_number, kind, NULL, NULL, user_id, quantity, "
                "reason, queue_number, accepted_at, sold_after, capacity_after, at, prev_hash, hash "
                "FROM booking_ledger WHERE event_id = 8 AND entry_number = 14"
            ),
            "duplicate_entry",
            "event 8, entry 14: its number comes again after entry 14",
        ),
    ],
)
def test_a_broken_promise_is_named(
    connection: psycopg.Connection, database_url: str, tampering: str, rule: str, expected: str
) -> None:
    connection.execute("SELECT setval('events_id_seq', 1, false), setval('bookings_id_seq', 1, false)")
    connection.execute(tampering.encode())
    connection.commit()

    found = violations(audit(database_url))

    assert any(violation.rule == rule and violation.sentence.startswith(expected) for violation in found), found
    assert {violation.event_id for violation in found} <= {8, 1}


def test_an_audit_sees_one_instant_while_the_service_sells(database_url: str) -> None:
    story = LedgerStory(capacity=20_000)
    for number in range(1, 6_000):
        story.confirmed(number)
    later = LedgerStory(event_id=20, capacity=1)
    settings = Settings(database_url=database_url)
    with psycopg.connect(database_url) as connection:
        write(connection, story)

        def sell(progress: AuditProgress) -> None:
            if progress.entries_read < progress.entries_expected:
                later.confirmed(1)
                write(connection, later)

        report = Auditor(Database(settings)).run(progress=sell)

    assert later.bookings
    assert report.ok
    assert [event.event_id for event in report.events] == [7]


def test_an_audit_may_ask_for_longer_than_a_booking_waits(database_url: str) -> None:
    limits = {"lock_timeout_s": 0.1, "statement_timeout_s": 0.2, "watchdog_s": 0.3}
    auditor = Auditor(Database(Settings(database_url=database_url, **limits)))
    auditor._queries = {**auditor._queries, "snapshot_at": b"SELECT now() FROM pg_sleep(0.6)"}

    assert auditor.run().ok


def test_the_command_exits_with_1_and_names_the_entry(connection: psycopg.Connection, database_url: str) -> None:
    connection.execute("UPDATE booking_ledger SET user_id = 99 WHERE event_id = 8 AND entry_number = 3")
    connection.commit()
    environment = {"DATABASE_URL": database_url}

    told = CliRunner(env=environment).invoke(command)
    as_json = CliRunner(env=environment).invoke(command, ["--json"])
    honest = CliRunner(env=environment).invoke(command, ["--event", "7"])
    unknown = CliRunner(env=environment).invoke(command, ["--event", "99"])

    assert told.exit_code == 1
    assert "event 8, entry 3: its hash is not that of its content" in told.stdout
    assert as_json.exit_code == 1
    document = orjson.loads(as_json.stdout)
    assert document["violationsFound"] == len(document["events"][1]["violations"])
    assert document["events"][1]["violations"][0]["entryNumber"] == 3
    assert (honest.exit_code, honest.stderr) == (0, "")
    assert "OK: no seat oversold" in honest.stdout
    assert (unknown.exit_code, unknown.stderr) == (2, "error: there is no event 99\n")


def test_the_command_says_what_is_missing() -> None:
    nowhere = {"DATABASE_URL": "postgresql://localhost:1/none", "AURORA_CONNECT_TIMEOUT_S": "1"}

    result = CliRunner(env=nowhere).invoke(command)

    assert result.exit_code == 2
    assert result.stderr.startswith("error: PostgreSQL cannot be used:")
