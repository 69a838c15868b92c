"""How an event's sale stands, over stores in memory."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from aurora_atlan.http import app as app_module
from aurora_atlan.http.event_reads import EventReads
from http_fakes import Service, make_service

PATH = "/api/events/1/availability"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Service:
    monkeypatch.setattr(app_module, "EventReads", functools.partial(EventReads, clock=clock))
    service = make_service(monkeypatch)
    service.event()
    return service


def sell(service: Service, booked: int) -> None:
    """Sell behind the service's back."""
    rows = service.supervisor.events.rows
    rows[1] = replace(rows[1], booked=booked)


def test_anyone_is_told_how_the_sale_stands(service: Service):
    sell(service, 30)
    service.supervisor.waiting_for[1] = 4

    result = service.client.simulate_get(PATH)

    assert result.json == {"eventId": 1, "capacity": 100, "sold": 30, "available": 70, "queued": 4}
    assert result.headers["cache-control"] == "no-cache"
    assert "etag" not in result.headers
    head = service.client.simulate_head(PATH)
    assert (head.status_code, head.content) == (200, b"")
    assert not +service.supervisor.impressions.views


def test_while_redis_is_away_nobody_knows_who_waits(service: Service):
    service.supervisor.waiting_for[1] = None

    result = service.client.simulate_get(PATH)

    assert result.status_code == 200
    assert result.json["queued"] is None


def test_what_is_told_is_never_older_than_a_second(service: Service, clock: Clock):
    assert service.client.simulate_get(PATH).json["sold"] == 0
    sell(service, 7)
    service.supervisor.waiting_for[1] = 2
    clock.now += 0.999
    assert service.client.simulate_get(PATH).json["sold"] == 0
    clock.now += 0.001
    told = service.client.simulate_get(PATH).json
    assert (told["sold"], told["available"], told["queued"]) == (7, 93, 2)


@pytest.mark.parametrize(("event_id", "status"), [("2", 404), ("01", 400), ("x", 400)])
def test_an_event_that_is_not_there_has_none(service: Service, event_id: str, status: int):
    assert service.client.simulate_get(f"/api/events/{event_id}/availability").status_code == status


def test_it_is_a_look_at_events_as_far_as_limits_go(monkeypatch: pytest.MonkeyPatch):
    service = make_service(monkeypatch, rate_limits="on", rate_limit_read_ip="2/minute")
    service.event()
    assert [service.client.simulate_get(PATH).status_code for _ in range(3)] == [200, 200, 429]
