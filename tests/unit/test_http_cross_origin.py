"""Browsers on other origins: nothing unless it is configured, and then only for those that are."""

from __future__ import annotations

import pytest
from falcon.testing import Result

from http_fakes import Service, make_service

SHOP, LOCAL = "https://tickets.example.com", "http://localhost:5173"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = make_service(monkeypatch, cors_origins=(SHOP, LOCAL))
    service.event()
    return service


def preflight(service: Service, path: str, origin: str = SHOP, method: str = "POST") -> Result:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, x-made-up",
    }
    return service.client.simulate_options(path, headers=headers)


def granted(result: Result) -> dict[str, str]:
    return {name: value for name, value in result.headers.items() if name.startswith("access-control-")}


def words(header: str) -> set[str]:
    return {word.strip() for word in header.split(",")}


@pytest.mark.parametrize("origin", [SHOP, LOCAL])
def test_a_page_of_an_allowed_origin_may_read_answers_and_their_headers(service: Service, origin: str):
    headers = {**service.bearer(), "Origin": origin}
    for result in (
        service.client.simulate_get("/api/events/view", headers=headers),
        service.client.simulate_post("/api/bookings/1/book", headers=headers),
    ):
        assert result.headers["access-control-allow-origin"] == origin
        assert words(result.headers["vary"]) == {"Origin"}
        assert words(result.headers["access-control-expose-headers"]) >= {
            "Location",
            "Retry-After",
            "Link",
            "ETag",
            "X-Request-Id",
            "Idempotent-Replayed",
            "Preference-Applied",
            "RateLimit",
            "RateLimit-Policy",
        }
        assert "access-control-allow-credentials" not in result.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/api/bookings/history", 401), ("DELETE", "/api/events/view", 405)],
)
def test_a_page_may_read_what_went_wrong(service: Service, method: str, path: str, status: int):
    result = service.client.simulate_request(method, path, headers={"Origin": SHOP})
    assert result.status_code == status
    assert result.headers["access-control-allow-origin"] == SHOP


@pytest.mark.parametrize(
    "origin",
    [
        "https://elsewhere.example",
        "http://tickets.example.com",
        "https://tickets.example.com:8443",
        "https://tickets.example.com/",
        "https://tickets.example.com.evil.example",
        "https://eviltickets.example.com",
        "HTTPS://TICKETS.EXAMPLE.COM",
        f"{SHOP}, {LOCAL}",
        "null",
        "*",
        "",
    ],
)
def test_other_origins_get_nothing(service: Service, origin: str):
    simple = service.client.simulate_get("/api/events/view", headers={"Origin": origin})
    assert (simple.status_code, granted(simple)) == (200, {})
    assert granted(preflight(service, "/api/bookings/1/book", origin)) == {}
    # A cache would else give this answer to the pages that are allowed.
    assert simple.headers["vary"] == "Origin"


def test_without_an_origin_only_caches_are_told(service: Service):
    result = service.client.simulate_get("/api/events/view")
    assert (granted(result), result.headers["vary"]) == ({}, "Origin")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/bookings/1/book", {"POST"}),
        ("/api/events/view", {"GET", "HEAD"}),
        ("/api/events/1/update", {"PUT"}),
        ("/api/bookings/11/cancel", {"DELETE"}),
    ],
)
def test_a_preflight_is_told_what_this_route_takes(service: Service, path: str, methods: set[str]):
    result = preflight(service, path)
    assert (result.status_code, result.content) == (200, b"")
    assert result.headers["access-control-allow-origin"] == SHOP
    assert words(result.headers["access-control-allow-methods"]) == methods
    # What we take, whatever was asked for.
    assert words(result.headers["access-control-allow-headers"]) == {
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "If-Match",
        "If-None-Match",
        "Prefer",
        "X-Request-Id",
        "traceparent",
    }
    assert int(result.headers["access-control-max-age"]) > 0
    assert words(result.headers["vary"]) == {"Origin"}
    assert not service.supervisor.attempts


def test_a_preflight_of_an_unknown_address_allows_nothing(service: Service):
    result = preflight(service, "/nowhere")
    assert result.status_code == 404
    assert set(granted(result)) <= {"access-control-allow-origin"}


def test_plain_options_is_no_preflight(service: Service):
    result = service.client.simulate_options("/api/bookings/1/book", headers={"Origin": SHOP})
    assert result.headers["allow"] == "POST"
    assert "access-control-allow-methods" not in result.headers


def test_unless_origins_are_configured_there_is_nothing_of_it(monkeypatch: pytest.MonkeyPatch):
    service = make_service(monkeypatch)
    service.event()
    result = service.client.simulate_get("/api/events/view", headers={"Origin": SHOP})
    assert granted(result) == {}
    assert "vary" not in result.headers
    assert granted(preflight(service, "/api/bookings/1/book")) == {}
