"""What has been sold, over figures in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aurora_atlan.http import app as app_module
from aurora_atlan.persistence.analytics import SalesFigures
from http_fakes import FakeAnalytics, Service, make_service

PATH = "/api/admin/analytics"


@pytest.fixture
def figures() -> FakeAnalytics:
    return FakeAnalytics()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, figures: FakeAnalytics) -> Service:
    monkeypatch.setattr(app_module, "Analytics", lambda _database: figures)
    return make_service(monkeypatch)


def test_an_admin_is_told_what_is_sold(service: Service, figures: FakeAnalytics):
    popular = [replace(service.event(), booked=2), replace(service.event(), booked=1)]
    figures.told = SalesFigures(2, 300, 100, popular)

    result = service.client.simulate_get(PATH, headers=service.bearer(role="ADMIN"))

    assert result.status_code == 200
    assert list(result.json) == ["totalBookings", "popularEvents", "utilization"]
    assert result.json["totalBookings"] == 2
    assert [(event["id"], event["booked"], event["available"]) for event in result.json["popularEvents"]] == [
        (1, 2, 98),
        (2, 1, 99),
    ]
    listed = service.client.simulate_get("/api/events/view").json
    assert [set(event) for event in result.json["popularEvents"]] == [set(event) for event in listed]
    assert result.json["utilization"] == {"capacity": 300, "booked": 100, "rate": 0.3333}
    assert result.headers["cache-control"] == "private, no-store"
    assert figures.asked == [10]
    assert not +service.supervisor.impressions.views


def test_nothing_is_sold_of_nothing(service: Service):
    result = service.client.simulate_get(PATH, headers=service.bearer(role="ADMIN"))

    assert result.json == {
        "totalBookings": 0,
        "popularEvents": [],
        "utilization": {"capacity": 0, "booked": 0, "rate": 0},
    }


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("USER", 403), ("OPS", 403), ("ADMIN", 200)])
def test_only_an_admin_is_told(service: Service, role: str | None, status: int):
    headers = {} if role is None else service.bearer(role=role)

    assert service.client.simulate_get(PATH, headers=headers).status_code == status
    assert service.client.simulate_head(PATH, headers=headers).status_code == status
