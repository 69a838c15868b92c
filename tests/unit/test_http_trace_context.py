"""traceparent: a valid one ties the request, its log lines and its job to the caller's trace; others are ignored."""

from __future__ import annotations

import pytest

from http_fakes import Service, make_service

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = make_service(monkeypatch)
    service.event()
    return service


def test_the_trace_id_is_the_request_id_of_the_answer_and_of_the_job(service: Service):
    headers = {**service.bearer(), "traceparent": TRACEPARENT}
    result = service.client.simulate_post("/api/bookings/1/book", headers=headers)
    assert result.headers["traceparent"] == TRACEPARENT
    assert result.headers["x-request-id"] == TRACE_ID
    [attempt] = service.supervisor.attempts
    assert attempt.request_id == TRACE_ID


def test_a_request_id_of_the_clients_own_comes_first(service: Service):
    headers = {"traceparent": TRACEPARENT, "X-Request-Id": "order-17"}
    result = service.client.simulate_get("/nowhere", headers=headers)
    assert result.headers["x-request-id"] == result.json["requestId"] == "order-17"
    assert result.headers["traceparent"] == TRACEPARENT


def test_an_improper_request_id_gives_way_to_the_trace(service: Service):
    result = service.client.simulate_get("/nowhere", headers={"traceparent": TRACEPARENT, "X-Request-Id": "a b"})
    assert result.json["requestId"] == TRACE_ID


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "nonsense",
        TRACEPARENT.upper(),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"01-{TRACE_ID}-00f067aa0ba902b7-01",
        f"ff-{TRACE_ID}-00f067aa0ba902b7-01",
        f"00-{TRACE_ID[1:]}-00f067aa0ba902b7-01",
        f"{TRACEPARENT}-more",
        f"{TRACEPARENT}, {TRACEPARENT}",
        f"00-{TRACE_ID[:-1]}\u0663-00f067aa0ba902b7-01",
        f"00-{TRACE_ID}-00f067aa0ba902b7-0g",
    ],
)
def test_an_invalid_one_is_as_good_as_none(service: Service, sent: str):
    result = service.client.simulate_get("/nowhere", headers={"traceparent": sent})
    assert result.status_code == 404
    assert "traceparent" not in result.headers
    assert result.json["requestId"] != TRACE_ID


def test_without_one_none_comes_back(service: Service):
    assert "traceparent" not in service.client.simulate_get("/livez").headers
