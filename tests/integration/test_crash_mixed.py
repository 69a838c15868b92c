"""Everything at once: crashes, cut connections, restarts, cancellations, edits, pauses, and actors coming and going."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors import crew
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.committer import CommitterActor
from aurora_atlan.actors.errors import BookingError
from aurora_atlan.actors.journal import JournalActor
from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedRedis
from aurora_atlan.supervisor import Supervisor
from harness.short_paths import short_folder
from harness_sales import (
    Rush,
    attempts,
    check_answers,
    check_audit,
    check_rows,
    check_sale,
    make_buyers,
    make_event,
    running,
    sold,
    wait_decided,
    wait_until,
    watched_answers,
)

SEED = 20261122


@pytest.fixture
def settings(settings: Settings) -> Iterator[Settings]:
    """The settings over a Redis of this test's own."""
    with short_folder() as folder:
        server = EmbeddedRedis(folder / "redis", folder / "redis.log")
        server.start()
        try:
            yield replace(settings, redis_url=server.url())
        finally:
            server.stop()


@contextmanager
def meanwhile(*works: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Do all of these again and again in threads while the block runs; yields what went wrong."""
    over = threading.Event()
    wrong: list[BaseException] = []

    def repeat(work: Callable[[], None]) -> None:
        try:
            while not over.wait(0.01):
                work()
        except BaseException as error:  # noqa: BLE001 - the test fails with it
            wrong.append(error)

    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        over.set()
        for thread in threads:
            thread.join(20.0)
    assert not wrong, wrong


def check_snapshot(url: str) -> None:
    """At this instant no event is oversold, and sold is the sum of what is confirmed."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        wrong = connection.execute(
            "SELECT event_id, sold, capacity, seats FROM event_inventory JOIN ("
            "  SELECT event_id, coalesce(sum(quantity) FILTER (WHERE status = 'confirmed'), 0) AS seats"
            "    FROM event_inventory AS i LEFT JOIN bookings USING (event_id) GROUP BY event_id) AS booked"
            " USING (event_id) WHERE sold <> seats OR sold > capacity"
        ).fetchall()
    assert not wrong, wrong


class Tormentor:
    """Crashes actors of all kinds at random places."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._chance = random.Random(SEED)
        self.crashes = 0
        for name, share, actor in (
            ("BookingActor", 0.02, BookingActor),
            ("JournalActor", 0.005, JournalActor),
            ("CommitterActor", 0.01, CommitterActor),
        ):
            monkeypatch.setattr(crew, name, self._crashing(actor, share))

    def _crashing(self, actor: type[Any], share: float) -> type[Any]:
        tormentor = self

        class Crashing(actor):  # type: ignore[misc]
            def handle(self, message: Any) -> None:
                before = tormentor._chance.random() < share / 2
                after = tormentor._chance.random() < share / 2
                if not before:
                    super().handle(message)
                if before or after:
                    tormentor.crashes += 1
                    raise tormentor._chance.choice([ValueError, SystemExit, KeyError])("as the test wants")

        return Crashing


def test_promises_hold_under_crashes_edits_and_cut_connections(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every snapshot nothing is oversold; afterwards each job is answered once, in order, as the ledger says."""
    url = settings.database_url
    assert url is not None
    tormentor = Tormentor(monkeypatch)
    chance = random.Random(SEED)
    done: dict[str, int] = {"cancelled": 0, "withdrawn": 0, "edited": 0, "paused": 0, "cut": 0}

    def attempt(what: str, work: Callable[[], Any]) -> None:
        # Busy rows, jobs decided meanwhile, capacities below what is sold: all of these are answers.
        with contextlib.suppress(BookingError):
            work()
            done[what] += 1

    with (
        running(settings) as supervisor,
        psycopg.connect(url, autocommit=True) as operator,
        psycopg.connect(url, autocommit=True) as reader,
    ):
        events = [make_event(supervisor, 60) for _ in range(5)]
        rush = Rush(supervisor, attempts(events, make_buyers(url, 1800)), threads=12)

        def cancel() -> None:
            row = reader.execute(
                "SELECT id FROM bookings WHERE status = 'confirmed' ORDER BY random() LIMIT 1"
            ).fetchone()
            if row is not None:
                attempt("cancelled", lambda: supervisor.cancel(row[0]))

        def withdraw() -> None:
            for job_id in list(rush.accepted)[-3:]:
                attempt("withdrawn", lambda job_id=job_id: supervisor.withdraw(job_id))

        def edit() -> None:
            attempt("edited", lambda: supervisor.set_capacity(chance.choice(events), chance.randint(40, 80)))

        def pause() -> None:
            event = chance.choice(events)
            attempt("paused", lambda: supervisor.pause(event))
            threading.Event().wait(0.05)
            supervisor_resume(supervisor, event)

        def cut() -> None:
            threading.Event().wait(0.3)
            operator.execute(
                "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = 'postgres' AND pid <> pg_backend_pid()"
                "   AND pid <> %s AND backend_type = 'client backend' ORDER BY random() LIMIT 2) AS victims",
                (reader.info.backend_pid,),
            )
            done["cut"] += 1

        with watched_answers(rush):
            with meanwhile(cancel, withdraw, edit, pause, cut, lambda: tolerant_snapshot(url)):
                rush.run(60.0)
            for event in events:
                supervisor_resume(supervisor, event)
            assert len(rush.accepted) == 1800
            wait_decided(url, rush.jobs, timeout_s=10.0)
        check_rows(url, accepted=rush.jobs, perhaps=rush.perhaps)
        check_answers(supervisor, url, rush.jobs)
        check_audit(settings)
        wait_until(lambda: not supervisor._fast_jobs.events_with_work(10), 5.0, "nothing is left in Redis")
    assert tormentor.crashes > 10
    assert all(done.values()), done


def supervisor_resume(supervisor: Supervisor, event: int) -> None:
    """Resume, again if the stores were busy."""

    def resumed() -> bool:
        with contextlib.suppress(BookingError):
            supervisor.resume(event)
            return True
        return False

    wait_until(resumed, 10.0, "the event is resumed")


def tolerant_snapshot(url: str) -> None:
    """Check a snapshot, unless the connection for it was cut."""
    with contextlib.suppress(psycopg.OperationalError):
        check_snapshot(url)


def test_actors_that_come_and_go_lose_no_job(settings: Settings) -> None:
    """Two dozen events share six actors that leave as soon as they are idle: every booking is decided, in order."""
    url = settings.database_url
    assert url is not None
    with running(replace(settings, actors_max=6, actor_idle_s=0.01, sweep_s=0.05)) as supervisor:
        events = [make_event(supervisor, 20) for _ in range(24)]
        buyers = make_buyers(url, 500)
        order = random.Random(SEED)
        wishes = [BookTickets(order.choice(events), buyer) for buyer in buyers]
        rush = Rush(supervisor, wishes, threads=8)
        seen = []

        with meanwhile(lambda: seen.append(len(supervisor._cells.alive()))):
            rush.run()
            wait_decided(url, rush.jobs, timeout_s=15.0)
        assert not rush.refusals
        assert max(seen) <= 6
        check_sale(settings, rush)
        for event in events:
            wanted = sum(wish.event_id == event for wish in wishes)
            assert sold(url, event) == min(20, wanted)


def test_passivation_never_loses_the_job_that_arrives_amid_it(settings: Settings) -> None:
    """Ten events whose actors are idle for a hundredth of a second at most: no booking waits for long."""
    url = settings.database_url
    assert url is not None
    with running(replace(settings, actor_idle_s=0.01, sweep_s=0.01)) as supervisor:
        events = [make_event(supervisor, 1000) for _ in range(10)]
        wishes = attempts(events, make_buyers(url, 600), keyed=False)
        rush = Rush(supervisor, wishes, threads=2).run()
        wait_decided(url, rush.jobs, timeout_s=3.0)
        check_sale(settings, rush)
