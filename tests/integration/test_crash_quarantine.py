"""An event whose actor crashes for ever is set aside; everybody else goes on, and it comes back."""

from __future__ import annotations

import contextlib
import itertools
import time
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors import crew
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.errors import BookingError, EventQuarantinedError
from aurora_atlan.actors.messages import BookTickets, Flush, JobState
from aurora_atlan.config import Settings
from aurora_atlan.http.server import Server
from aurora_atlan.supervisor import Supervisor
from harness_http import Client
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


class Curse:
    """Makes the actors of some events crash on every batch, while it lasts."""

    def __init__(self) -> None:
        self.events: set[int] = set()
        self.crashes: list[float] = []

    def strike(self, actor: BookingActor, message: Any) -> None:
        """Crash the actor if its event is cursed."""
        if isinstance(message, Flush) and actor._cell.event_id in self.events:
            self.crashes.append(time.monotonic())
            raise ValueError("as the test wants")


@pytest.fixture
def curse(monkeypatch: pytest.MonkeyPatch) -> Curse:
    """A curse that holds no event yet."""
    curse = Curse()

    class Cursed(BookingActor):
        def handle(self, message: Any) -> None:
            curse.strike(self, message)
            super().handle(message)

    monkeypatch.setattr(crew, "BookingActor", Cursed)
    return curse


def quarantined(supervisor: Supervisor) -> int:
    """Return how many events health says are set aside."""
    return int(supervisor.health().components["actors"].values["quarantined"] or 0)


def test_a_quarantined_event_harms_nobody_and_recovers_by_a_probe(settings: Settings, curse: Curse) -> None:
    """Its bookings are refused with a time to come back, its queue is kept, others go on; one probe heals it."""
    url = settings.database_url
    assert url is not None
    # So short a memory of crashes that a probe finds none: it must know by itself that it is one.
    settings = replace(settings, restarts_max=1, restart_window_s=0.8, quarantine_s=0.9)
    with running(settings) as supervisor:
        sick, well = make_event(supervisor, 30), make_event(supervisor, 30)
        buyers = iter(make_buyers(url, 200))
        supervisor.pause(sick)
        queued = [supervisor.submit(BookTickets(sick, next(buyers))) for _ in range(20)]
        curse.events.add(sick)
        supervisor.resume(sick)
        wait_until(lambda: quarantined(supervisor) == 1, 5.0, "the event is quarantined")
        assert len(curse.crashes) == settings.restarts_max + 1

        with pytest.raises(EventQuarantinedError) as refused:
            supervisor.submit(BookTickets(sick, next(buyers)))
        assert refused.value.retry_after_s >= 1
        health = supervisor.health()
        assert health.ready
        assert health.degraded
        for receipt in queued:
            status = supervisor.status(receipt.job_id)
            assert status is not None
            assert status.status in (JobState.QUEUED, JobState.PROCESSING)

        others = Rush(supervisor, attempts([well], [next(buyers) for _ in range(60)])).run()
        wait_decided(url, others.jobs, timeout_s=2.0)
        assert sold(url, well) == 30
        assert undecided(url, [receipt.job_id for receipt in queued]) == 20

        # Each probe is one crash, not a new budget.
        count = len(curse.crashes)
        wait_until(lambda: len(curse.crashes) >= count + 2, 5.0, "two more probes")
        probes = curse.crashes[count:]
        assert all(later - earlier >= settings.quarantine_s for earlier, later in itertools.pairwise(probes))

        curse.events.clear()
        wait_decided(url, [receipt.job_id for receipt in queued], timeout_s=3.0)
        assert quarantined(supervisor) == 0
        late = Rush(supervisor, attempts([sick], [next(buyers) for _ in range(20)]), threads=4).run()
        for receipt in queued:
            late.accepted[receipt.job_id] = receipt
        late.accepted |= others.accepted
        check_sale(settings, late)
        assert sold(url, sick) == 30


def test_resume_releases_an_event_from_quarantine(settings: Settings, curse: Curse) -> None:
    """An operator who has removed the cause need not wait for the next probe."""
    url = settings.database_url
    assert url is not None
    with running(replace(settings, quarantine_s=600.0)) as supervisor:
        event = make_event(supervisor, 5)
        curse.events.add(event)
        rush = Rush(supervisor, attempts([event], make_buyers(url, 10)), threads=2, persistent=False).run()
        wait_until(lambda: quarantined(supervisor) == 1, 5.0, "the event is quarantined")
        curse.events.clear()
        supervisor.resume(event)
        wait_decided(url, rush.jobs, timeout_s=1.5)
        check_sale(settings, rush)


def test_a_booking_of_a_quarantined_event_is_answered_503_with_retry_after(settings: Settings, curse: Curse) -> None:
    """Over HTTP the refusal says when to come back, and readiness stays 200."""
    url = settings.database_url
    assert url is not None
    with running(replace(settings, quarantine_s=600.0)) as supervisor:
        event = make_event(supervisor, 5)
        server = Server(supervisor, supervisor.settings)
        server.start()
        try:
            with Client(f"http://127.0.0.1:{server.port}") as client:
                client.register()
                curse.events.add(event)
                assert client.book(event).status == 202
                wait_until(lambda: quarantined(supervisor) == 1, 5.0, "the event is quarantined")
                refused = client.book(event)
                assert refused.status == 503
                assert refused.headers["Content-Type"] == "application/problem+json"
                assert refused.body["type"].endswith("event-quarantined")
                assert 1 <= int(refused.headers["Retry-After"]) <= 60
            with Client(f"http://127.0.0.1:{server.ops_port}") as operator:
                ready = operator.get("/readyz")
                assert ready.status == 200
                assert ready.body["components"]["actors"]["quarantined"] == 1
        finally:
            server.stop(3.0)


def test_a_poisoned_job_is_set_aside_and_its_neighbours_are_decided_in_order(settings: Settings) -> None:
    """A job whose data the database refuses fails alone; those before and behind it are decided normally."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor:
        event = make_event(supervisor, 30)
        buyers = make_buyers(url, 60)
        # Nobody has this id: the booking's foreign key refuses it.
        nobody = 2**40
        supervisor.pause(event)
        for position in (0, 17, 59):
            buyers[position] = nobody + position
        rush = Rush(supervisor, attempts([event], buyers), threads=1).run()
        supervisor.resume(event)
        wait_decided(url, rush.jobs, timeout_s=5.0)
        with psycopg.connect(url) as connection:
            failed = connection.execute(
                "SELECT user_id, reason FROM booking_ledger WHERE kind = 'failed' ORDER BY entry_number"
            ).fetchall()
        # The last one came when everything was sold.
        assert failed == [(nobody, "poison"), (nobody + 17, "poison")]
        assert sold(url, event) == 30


@pytest.mark.parametrize(
    ("user_id", "quantity"), [(None, 3_000_000_000), (None, 10**20), (None, 0), (None, -1), (10**20, 1)]
)
def test_an_impossible_booking_harms_no_other(settings: Settings, user_id: int | None, quantity: int) -> None:
    """What no column can hold is refused to its caller or fails alone; its event and the others go on."""
    url = settings.database_url
    assert url is not None
    with running(settings) as supervisor:
        event, other = make_event(supervisor, 10), make_event(supervisor, 10)
        buyers = make_buyers(url, 5)
        impossible = []
        with contextlib.suppress(ValueError, BookingError):
            impossible.append(supervisor.submit(BookTickets(event, user_id or buyers.pop(), quantity)).job_id)
        for buyer in buyers[:2]:
            wait_decided(url, [supervisor.submit(BookTickets(other, buyer)).job_id], timeout_s=3.0)
        wait_decided(url, [supervisor.submit(BookTickets(event, buyers[2])).job_id, *impossible], timeout_s=3.0)
        assert [sold(url, event), sold(url, other)] == [1, 2]
