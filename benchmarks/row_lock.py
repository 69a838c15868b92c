"""Baseline: one transaction per request, with a row lock; what one writes who does not gather.

``python -m benchmarks.row_lock`` serves on PORT over the database of DATABASE_URL.
"""

from __future__ import annotations

import os
from typing import Any

import falcon
import orjson
import psycopg
from psycopg_pool import ConnectionPool

from benchmarks.bare import serve, user_of

# And as many connections; of 8, 16 and 32 the best on one core, for one event and for many.
_THREADS = 16

Connection = psycopg.Connection[tuple[Any, ...]]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id       bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    capacity integer NOT NULL,
    sold     integer NOT NULL DEFAULT 0 CHECK (sold BETWEEN 0 AND capacity)
) WITH (fillfactor = 20);
CREATE TABLE IF NOT EXISTS bookings (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   bigint      NOT NULL,
    user_id    bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (event_id, user_id)
)"""


def make_tables(database_url: str) -> None:
    """Make the tables where they are not there yet."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_SCHEMA)


def make_events(database_url: str, count: int, capacity: int) -> list[int]:
    """Create events and return their ids."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            "INSERT INTO events (capacity) SELECT %s FROM generate_series(1, %s) RETURNING id", (capacity, count)
        ).fetchall()
    return [row[0] for row in rows]


def count_bookings(database_url: str, events: list[int]) -> int:
    """Return how many bookings of these events there are."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM bookings WHERE event_id = ANY(%s)", (events,)).fetchone()
    assert row is not None
    return int(row[0])


def book(connection: Connection, event_id: int, user_id: int) -> int | None:
    """Book a seat in one transaction and return the booking's id; None when all are sold."""
    with connection.transaction():
        row = connection.execute("SELECT capacity, sold FROM events WHERE id = %s FOR UPDATE", (event_id,)).fetchone()
        if row is None or row[1] >= row[0]:
            return None
        made = connection.execute(
            "INSERT INTO bookings (event_id, user_id) VALUES (%s, %s) RETURNING id", (event_id, user_id)
        ).fetchone()
        connection.execute("UPDATE events SET sold = sold + 1 WHERE id = %s", (event_id,))
    assert made is not None
    return int(made[0])


class Book:
    """POST /api/bookings/{event_id}/book."""

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool

    def on_post(self, req: falcon.Request, resp: falcon.Response, event_id: int) -> None:
        """Look who asks, and book."""
        user_id = user_of(req)
        with self._pool.connection() as connection:
            booking_id = book(connection, event_id, user_id)
        if booking_id is None:
            raise falcon.HTTPConflict(title="All seats are sold.")
        resp.status = falcon.HTTP_201
        resp.data = orjson.dumps({"bookingId": booking_id})


def main() -> None:
    """Serve until the process is ended."""
    with ConnectionPool[Connection](
        os.environ["DATABASE_URL"],
        min_size=_THREADS,
        max_size=_THREADS,
        # A transaction is begun and ended by itself, without one of the pool's around it.
        kwargs={"autocommit": True},
        open=True,
    ) as pool:
        serve(Book(pool), _THREADS)


if __name__ == "__main__":
    main()
