"""/metrics, as Prometheus reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from falcon.testing import Result, TestClient, create_environ
from prometheus_client.parser import text_string_to_metric_families

from aurora_atlan.http.app import create_app, create_ops_app
from aurora_atlan.http.metrics import RequestMetrics
from aurora_atlan.persistence.jobs import Backlog
from http_fakes import Service, make_service

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class _Stage:
    """The API and the operators' endpoints over one fake supervisor."""

    def __init__(self, service: Service) -> None:
        self.supervisor = service.supervisor
        requests = RequestMetrics()
        self.api = TestClient(create_app(service.supervisor, requests=requests))  # type: ignore[arg-type]
        self.ops = TestClient(create_ops_app(service.supervisor, requests=requests))  # type: ignore[arg-type]

    def scrape(self) -> Samples:
        """Read /metrics with Prometheus's own parser."""
        answer: Result = self.ops.simulate_get(
            "/metrics", headers={"Accept": "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}
        )
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        families = list(text_string_to_metric_families(answer.text))
        assert len({family.name for family in families}) == len(families)
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def requests(self, method: str, route: str, status: str) -> float:
        """Return how many of these requests were counted."""
        labels = frozenset({"method": method, "route": route, "status": status}.items())
        return self.scrape().get(("aurora_http_requests_total", labels), 0.0)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> _Stage:
    """What is scraped."""
    service = make_service(monkeypatch)
    service.event()
    return _Stage(service)


def test_requests_are_counted_by_route_and_status(stage: _Stage) -> None:
    """By the route's template, not by address; what is refused counts with its status."""
    for path in ("/api/events/1/view", "/api/events/1/view", "/api/events/99/view", "/api/events/x/view"):
        stage.api.simulate_get(path)
    stage.api.simulate_post("/api/bookings/1/book")

    assert stage.requests("GET", "/api/events/{event_id}/view", "200") == 2
    assert stage.requests("GET", "/api/events/{event_id}/view", "404") == 1
    assert stage.requests("GET", "/api/events/{event_id}/view", "400") == 1
    assert stage.requests("POST", "/api/bookings/{event_id}/book", "401") == 1
    took = frozenset({("route", "/api/events/{event_id}/view")})
    assert stage.scrape()["aurora_http_request_seconds_count", took] == 4


def test_made_up_addresses_and_methods_make_no_series(stage: _Stage) -> None:
    """Whoever scans the service must not fill its memory."""
    stage.api.simulate_get("/nothing")
    before = len(stage.scrape())
    for number in range(50):
        stage.api.simulate_get(f"/nothing/{number}")
        # Past the test client, which knows no such methods.
        environ = create_environ("/nothing", method="GET") | {"REQUEST_METHOD": f"M{number}"}
        list(stage.api.app(environ, lambda *_: None))

    # All of the made-up methods together: how often, and since when.
    assert len(stage.scrape()) == before + 2
    assert stage.requests("GET", "none", "404") == 51


def test_how_things_stand_is_asked_when_one_asks(stage: _Stage) -> None:
    """Readiness, parts, actors, losses, and the queue."""
    stage.supervisor.waiting = Backlog(1_234, 5, datetime.now(UTC) - timedelta(seconds=90))
    seen = stage.scrape()

    assert seen["aurora_ready", frozenset()] == 1
    assert seen["aurora_component_ok", frozenset({("component", "redis")})] == 1
    assert seen["aurora_events", frozenset({("state", "quarantined")})] == 1
    assert seen["aurora_actor_restarts_total", frozenset()] == 4
    assert seen["aurora_jobs_lost_total", frozenset()] == 5
    assert seen["aurora_queue_jobs", frozenset()] == 1_234
    assert seen["aurora_queue_events", frozenset()] == 5
    assert 90 <= seen["aurora_queue_oldest_seconds", frozenset()] < 120


def test_with_redis_away_the_queue_is_left_out_and_the_rest_is_told(stage: _Stage) -> None:
    """A gauge that is not there is an alert; one that says 0 would be a lie."""
    stage.supervisor.waiting = None
    stage.supervisor.ready = False
    seen = stage.scrape()

    assert ("aurora_queue_jobs", frozenset()) not in seen
    assert seen["aurora_ready", frozenset()] == 0


def test_the_api_itself_has_no_metrics(stage: _Stage) -> None:
    """They are the operators'."""
    assert stage.api.simulate_get("/metrics").status_code == 404
