"""Somebody else holds one event's row: all others go on, and the held one is decided afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg

from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.config import Settings
from harness_sales import (
    Rush,
    attempts,
    check_sale,
    make_buyers,
    make_event,
    running,
    sold,
    undecided,
    wait_decided,
    wait_until,
)


@contextmanager
def foreign_transaction(url: str, *event_ids: int) -> Iterator[None]:
    """Hold events' inventory rows for the duration of the block."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT FROM event_inventory WHERE event_id = ANY(%s) FOR UPDATE", (list(event_ids),))
        yield
        connection.rollback()


def seconds_to_decide(supervisor: object, url: str, attempt: BookTickets) -> float:
    """Return how long one booking takes from the wish to the decision."""
    asked_at = time.monotonic()
    receipt = supervisor.submit(attempt)  # type: ignore[attr-defined]
    wait_decided(url, [receipt.job_id], timeout_s=5.0)
    return time.monotonic() - asked_at


def test_a_row_held_for_five_seconds_delays_its_own_event_only(settings: Settings) -> None:
    """Others are decided at once all the while; the held one's jobs once it is free, in order, none failed."""
    url = settings.database_url
    assert url is not None
    # A user's lock timeout, so that the row stays held over several of them.
    with running(replace(settings, lock_timeout_s=Settings().lock_timeout_s)) as supervisor:
        held, other = make_event(supervisor, 40), make_event(supervisor, 300)
        buyers = make_buyers(url, 380)
        with foreign_transaction(url, held):
            until = time.monotonic() + 5.0
            waiting = Rush(supervisor, attempts([held], buyers[:80])).run()
            waits = []
            strangers = iter(attempts([other], buyers[80:]))
            nobody_rings = threading.Event()
            while time.monotonic() < until:
                waits.append(seconds_to_decide(supervisor, url, next(strangers)))
                nobody_rings.wait(0.02)
            assert undecided(url, waiting.jobs) == 80
            waits.sort()
            assert waits[len(waits) // 2] < 0.2
            # Nobody waited for the row.
            assert waits[-1] < Settings().lock_timeout_s
        wait_decided(url, waiting.jobs, timeout_s=2.0)
        everything = Rush(supervisor, [], threads=1)
        everything.accepted = dict(waiting.accepted)
        everything.perhaps = set(decided_jobs(url)) - set(waiting.accepted)
        check_sale(settings, everything)
        assert sold(url, held) == 40
        assert sold(url, other) == len(waits)


def test_many_held_rows_are_decided_when_they_are_free(settings: Settings) -> None:
    """Six held events, freed all at once: each is decided within two seconds, whoever waited for its row first."""
    url = settings.database_url
    assert url is not None
    with running(replace(settings, lock_timeout_s=0.2)) as supervisor:
        events = [make_event(supervisor, 10) for _ in range(8)]
        buyers = make_buyers(url, 160)
        with foreign_transaction(url, *events[:6]):
            rush = Rush(supervisor, attempts(events, buyers)).run()
            wait_until(lambda: undecided(url, rush.jobs) == 120, 3.0, "the free events are decided")
        wait_decided(url, rush.jobs, timeout_s=2.0)
        check_sale(settings, rush)
        assert [sold(url, event) for event in events] == [10] * 8


def test_a_gate_kept_waiting_by_a_foreign_lock_gives_up_and_harms_nobody(settings: Settings) -> None:
    """A capacity edit of a held event is refused after its tries; bookings of other events are decided meanwhile."""
    url = settings.database_url
    assert url is not None
    with running(replace(settings, lock_timeout_s=0.2)) as supervisor:
        held, other = make_event(supervisor, 40), make_event(supervisor, 10)
        buyers = make_buyers(url, 10)
        errors: list[BaseException] = []

        def edit() -> None:
            try:
                supervisor.set_capacity(held, 50)
            except BaseException as error:  # noqa: BLE001 - looked at below
                errors.append(error)

        with foreign_transaction(url, held):
            editor = threading.Thread(target=edit)
            editor.start()
            rush = Rush(supervisor, attempts([other], buyers), threads=2).run()
            wait_decided(url, rush.jobs, timeout_s=1.0)
            editor.join(5.0)
            assert not editor.is_alive()
        assert [type(error).__name__ for error in errors] == ["UnavailableError"]
        assert supervisor.set_capacity(held, 50).capacity == 50
        check_sale(settings, rush)


def decided_jobs(url: str) -> list:
    """Return every job that has an outcome."""
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT job_id FROM booking_ledger WHERE job_id IS NOT NULL")]
