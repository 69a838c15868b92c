"""Migrations on real PostgreSQL."""

from __future__ import annotations

import threading

import psycopg
import pytest

from aurora_atlan.config import Settings
from aurora_atlan.persistence.errors import StoreUnavailableError
from aurora_atlan.persistence.migrate import migrate
from harness.databases import Databases
from harness_sales import check_audit, wait_until
from ledger_story import LedgerStory, busy_story, write


def test_an_empty_database_gets_the_schema_once(databases: Databases):
    with databases.empty() as url:
        assert migrate(url) > 0
        assert migrate(url) == 0

        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM installation").fetchone() == (1,)


def test_two_processes_at_once_apply_each_migration_once(databases: Databases):
    with databases.empty() as url:
        barrier = threading.Barrier(4)
        applied: list[int] = []
        failed: list[Exception] = []

        def run() -> None:
            barrier.wait()
            try:
                applied.append(migrate(url))
            except Exception as error:  # noqa: BLE001 - told by the assertion below
                failed.append(error)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failed == []
        assert sorted(applied)[:3] == [0, 0, 0]
        assert max(applied) > 0


def test_no_connection_stays_open(databases: Databases):
    with databases.empty() as url:
        migrate(url)

        def others() -> int:
            with psycopg.connect(url) as connection:
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND backend_type = 'client backend'"
                ).fetchone()
            assert row is not None
            return int(row[0])

        # The server ends a session a moment after its connection is closed.
        wait_until(lambda: others() == 0, 5.0, "no connection is left")


def test_a_failed_run_leaves_no_lock_behind(databases: Databases):
    with databases.empty() as url:
        with psycopg.connect(url) as connection:
            # In the way of the second migration; the first is applied.
            connection.execute("CREATE TABLE users (id integer)")
        with pytest.raises(Exception, match="users"):
            migrate(url)
        with psycopg.connect(url) as connection:
            connection.execute("DROP TABLE users")

        assert migrate(url) > 0


def test_counters_are_filled_from_the_bookings_that_there_are(databases: Databases):
    with databases.empty() as url:
        migrate(url)
        empty = LedgerStory(9)
        empty.cancelled(empty.confirmed(1)["booking_id"])
        with psycopg.connect(url) as connection:
            write(connection, busy_story(7), busy_story(8), empty)
            # As it was before the counters.
            connection.execute("ALTER TABLE event_inventory DROP COLUMN bookings")
            connection.execute("DELETE FROM _yoyo_migration WHERE migration_id = '0007.counters'")

        assert migrate(url) == 1

        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT event_id, bookings FROM event_inventory ORDER BY event_id").fetchall()
        assert rows == [(7, 4), (8, 4), (9, 0)]
        check_audit(Settings(database_url=url))


def test_a_database_that_is_away_is_unavailable():
    with pytest.raises(StoreUnavailableError):
        migrate("postgresql://nobody@127.0.0.1:1/nowhere")


def test_every_form_of_url_that_libpq_takes_works(databases: Databases):
    with databases.empty() as url:
        base, _, folder = url.partition("?host=")

        assert migrate(f"{base}?host={folder.replace('/', '%2F')}&application_name=a%20b") > 0
        assert migrate(f"{base.replace('postgresql:', 'postgres:')}?host=/nowhere,{folder}") == 0
