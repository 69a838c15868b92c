"""A service as a process, thousands of buyers, nothing wrong with anything."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import redis

from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedRedis
from harness.databases import Databases
from harness.service import ServiceProcess
from harness_http import Buyer, Client, HttpRush, Wish, make_buyers
from harness_sales import check_audit, check_rows, create_event, sold, wait_decided

JWT_SECRET = "a secret of tests, known to everybody and long enough"


@dataclass(frozen=True)
class Running:
    """A running service and its stores."""

    service: ServiceProcess
    settings: Settings
    database_url: str
    folder: Path

    def event(self, capacity: int) -> int:
        """Create an event."""
        return create_event(self.settings, capacity)

    def buyers(self, count: int) -> list[Buyer]:
        """Make buyers."""
        return make_buyers(self.service.environ, count, self.folder / "buyers")


@pytest.fixture(scope="module")
def sale(
    databases: Databases, redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One service for all tests of this module: they look at events of their own."""
    folder = tmp_path_factory.mktemp("sale")
    with databases.migrated() as url:
        redis_url = redis_server.url(7)
        environ = {
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "JWT_SECRET": JWT_SECRET,
            "AURORA_DATABASE_ROLE": "aurora_app",
            "AURORA_MIGRATOR_DATABASE_URL": url,
        }
        service = ServiceProcess(environ, folder / "service.log")
        service.start()
        try:
            yield Running(service, Settings(database_url=url, redis_url=redis_url), url, folder)
        finally:
            service.stop()


def outcomes(url: str, events: list[int]) -> Counter[tuple[int, str, str | None]]:
    """Return how many jobs of each event ended how."""
    with psycopg.connect(url) as connection:
        return Counter(
            connection.execute(
                "SELECT event_id, kind, reason FROM booking_ledger WHERE event_id = ANY(%s) AND job_id IS NOT NULL",
                (events,),
            ).fetchall()
        )


def check_statuses(client: Client, database_url: str, jobs: list[UUID]) -> None:
    """What each status says is what the ledger says."""
    with psycopg.connect(database_url) as connection:
        said = {
            job_id: ("completed" if kind == "confirmed" else "failed", reason)
            for job_id, kind, reason in connection.execute(
                "SELECT job_id, kind, reason FROM booking_ledger WHERE job_id = ANY(%s)", (jobs,)
            )
        }
    for job_id in jobs:
        answer = client.status(str(job_id))
        assert answer.status == 200, answer
        assert (answer.body["status"], answer.body["reason"]) == said[job_id]
        assert answer.body["queuePosition"] == 0


def test_five_thousand_bookings_on_five_hundred_seats(sale: Running) -> None:
    """Over 32 connections: all accepted, exactly 500 confirmed, in the order of acceptance, and each told so."""
    event = sale.event(500)
    buyers = sale.buyers(5000)
    rush = HttpRush(sale.service.url, [Wish(buyer, event) for buyer in buyers]).run()
    assert len(rush.accepted) == 5000
    assert not rush.aborted
    wait_decided(sale.database_url, rush.jobs, timeout_s=15.0)
    assert outcomes(sale.database_url, [event]) == {
        (event, "confirmed", None): 500,
        (event, "rejected", "sold_out"): 4500,
    }
    check_rows(sale.database_url, accepted=rush.jobs, others_allowed=True)
    check_audit(sale.settings)
    with Client(sale.service.url) as client:
        check_statuses(client, sale.database_url, rush.jobs[::20])


def test_sixty_four_events_at_once(sale: Running) -> None:
    """Each of them sells out and none oversells, though all share one committer."""
    events = [sale.event(15) for _ in range(64)]
    buyers = sale.buyers(1280)
    wishes = [Wish(buyer, events[number % 64]) for number, buyer in enumerate(buyers)]
    rush = HttpRush(sale.service.url, wishes).run()
    assert len(rush.accepted) == 1280
    wait_decided(sale.database_url, rush.jobs, timeout_s=15.0)
    found = outcomes(sale.database_url, events)
    assert [found[event, "confirmed", None] for event in events] == [15] * 64
    assert [found[event, "rejected", "sold_out"] for event in events] == [5] * 64
    check_rows(sale.database_url, accepted=rush.jobs, others_allowed=True)
    check_audit(sale.settings)


def test_the_same_user_twice_at_the_same_moment(sale: Running) -> None:
    """Each of fifty users sends two bookings at once: one is completed, the other is told already_booked."""
    event = sale.event(1000)
    buyers = sale.buyers(50)
    rush = HttpRush(
        sale.service.url, [Wish(buyer, event, key) for buyer in buyers for key in ("one", "two")], connections=16
    ).run()
    assert len(set(rush.jobs)) == 100
    wait_decided(sale.database_url, rush.jobs)
    with psycopg.connect(sale.database_url) as connection:
        found = connection.execute(
            "SELECT user_id, array_agg(kind || coalesce(' ' || reason, '') ORDER BY kind) FROM booking_ledger"
            " WHERE event_id = %s AND job_id IS NOT NULL GROUP BY user_id",
            (event,),
        ).fetchall()
    assert [outcome for _, outcome in found] == [["confirmed", "rejected already_booked"]] * 50
    assert sold(sale.database_url, event) == 50


def test_one_key_from_many_connections_is_one_booking(sale: Running) -> None:
    """Sixteen connections send the same key at once: one job, one booking; another quantity under it is refused."""
    event = sale.event(10)
    [buyer] = sale.buyers(1)
    barrier = threading.Barrier(16)
    answers = []

    def send() -> None:
        with Client(sale.service.url, buyer.token) as client:
            barrier.wait(5)
            answers.append(client.book(event, "the-same"))

    senders = [threading.Thread(target=send) for _ in range(16)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(10.0)
    assert [answer.status for answer in answers] == [202] * 16
    assert len({answer.body["jobId"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    wait_decided(sale.database_url, [UUID(answers[0].body["jobId"])])
    assert sold(sale.database_url, event) == 1
    with Client(sale.service.url, buyer.token) as client:
        again = client.book(event, "the-same")
        assert again.status == 202
        assert again.body["queuePosition"] == 0
        assert client.book(event, "the-same", quantity=2).status == 422


def test_an_unknown_event_queues_nothing(sale: Running) -> None:
    """404, and neither a queue nor a job is left in Redis."""
    [buyer] = sale.buyers(1)
    with Client(sale.service.url, buyer.token) as client:
        assert client.book(2**50).status == 404
    assert sale.settings.redis_url is not None
    with redis.Redis.from_url(sale.settings.redis_url) as queue:
        assert not list(queue.scan_iter(f"*:event:{2**50}:*"))
