"""Showing and creating events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from http_fakes import Service, make_service

CREATE = "/api/events/create"
NEW = {"name": " Concert ", "venue": "Hall", "time": "2027-06-01T20:00:00+02:00", "capacity": 100}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return make_service(monkeypatch)


def ids(result: Any) -> list[int]:
    return [event["id"] for event in result.json]


def test_an_admin_creates_an_event(service: Service):
    result = service.client.simulate_post(CREATE, json=NEW, headers=service.bearer(role="ADMIN"))

    assert result.status_code == 201
    assert result.headers["location"] == "/api/events/1/view"
    assert result.json == {
        "id": 1,
        "name": "Concert",
        "venue": "Hall",
        "time": "2027-06-01T18:00:00Z",
        "capacity": 100,
        "booked": 0,
        "available": 100,
        "impressions": 0,
        "capPerUser": 1,
        "opensAt": None,
        "closesAt": None,
        "createdAt": "2026-11-22T19:30:15.250000Z",
        "updatedAt": "2026-11-22T19:30:15.250000Z",
    }
    shown = service.client.simulate_get(result.headers["location"])
    assert shown.json == {**result.json, "impressions": 1}


def test_the_sales_window_and_the_cap_are_optional(service: Service):
    body = {**NEW, "opensAt": "2027-01-01T00:00:00Z", "closesAt": "2027-05-31T23:59:59.5Z", "capPerUser": 4}
    result = service.client.simulate_post(CREATE, json=body, headers=service.bearer(role="ADMIN"))

    assert result.status_code == 201
    created = service.supervisor.events.rows[1]
    assert created.opens_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert created.closes_at == datetime(2027, 5, 31, 23, 59, 59, 500_000, tzinfo=UTC)
    assert created.cap_per_user == 4


def test_an_event_may_lie_in_the_past(service: Service):
    body = {**NEW, "time": "1999-12-31T23:00:00Z"}

    assert service.client.simulate_post(CREATE, json=body, headers=service.bearer(role="ADMIN")).status_code == 201


def test_every_view_of_an_event_counts_once(service: Service):
    service.event()

    # The first one sees itself; the others may be told the same answer.
    assert service.client.simulate_get("/api/events/1/view").json["impressions"] == 1
    for _ in range(2):
        service.client.simulate_get("/api/events/1/view")
    assert service.supervisor.impressions.views == {1: 3}
    assert service.client.simulate_get("/api/events/view").json[0]["impressions"] == 3


def test_nothing_else_counts(service: Service):
    service.event()
    service.client.simulate_head("/api/events/1/view")
    service.client.simulate_options("/api/events/1/view")
    service.client.simulate_get("/api/events/2/view")
    service.client.simulate_get("/api/events/view")

    assert not +service.supervisor.impressions.views


def test_no_events_are_an_empty_array(service: Service):
    result = service.client.simulate_get("/api/events/view")

    assert (result.status_code, result.json) == (200, [])
    assert "link" not in result.headers


def test_events_are_listed_by_a_hundred(service: Service):
    for _ in range(101):
        service.event()
    first = service.client.simulate_get("/api/events/view")
    assert ids(first) == list(range(1, 101))
    address = first.headers["link"].partition("<")[2].partition(">")[0]
    second = service.client.simulate_get(address.partition("?")[0], query_string=address.partition("?")[2])
    assert ids(second) == [101]
    assert "link" not in second.headers


def test_a_full_last_page_has_no_next(service: Service):
    for _ in range(3):
        service.event()
    result = service.client.simulate_get("/api/events/view", query_string="limit=3")

    assert ids(result) == [1, 2, 3]
    assert "link" not in result.headers


def test_blank_parameters_are_as_good_as_none(service: Service):
    service.event()

    assert service.client.simulate_get("/api/events/view", query_string="limit=&cursor=").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=1.0",
        "limit=abc",
        "limit=%D9%A1",
        "limit=99999999999999999999",
        "limit=1&limit=2",
        "limit=%00",
        "cursor=x",
        "cursor=aWQ6MQ&cursor=aWQ6MQ",
        "cursor=aWQ6MQ==",
        "cursor=aWQ6MR",
        "cursor=aWQ6LTE",
        "cursor=aWQ6MDE",
        "cursor=aWQ6",
        "cursor=aWQ6OTk5OTk5OTk5OTk5OTk5OTk5OTk",
        "cursor=%00",
        "cursor=%FF",
        "cursor=%ED%A0%80",
    ],
)
def test_a_wrong_page_is_400(service: Service, query: str):
    result = service.client.simulate_get("/api/events/view", query_string=query)

    assert result.status_code == 400
    assert result.json["type"].endswith(":invalid-query")
    assert query.partition("=")[0] in result.json["error"]
