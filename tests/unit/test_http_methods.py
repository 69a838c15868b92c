"""Methods and media types, on every route that there is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import falcon.inspect
import pytest
from falcon.testing import Result

from aurora_atlan.http import app as app_module
from aurora_atlan.http.app import create_app
from http_fakes import FakeAnalytics, FakeAuditor, Service, make_service

JOB_ID = UUID("2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# That take no part of a request's body.
WITHOUT_BODY = {"/api/auth/logout"}
# That are given to browsers, whatever these accept.
FOR_BROWSERS = {"/openapi.json", "/docs", "/docs/docs.js"}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    auditor = FakeAuditor()
    auditor.known = 1
    monkeypatch.setattr(app_module, "Auditor", lambda _database: auditor)
    monkeypatch.setattr(app_module, "Analytics", lambda _database: FakeAnalytics())
    service = make_service(monkeypatch)
    service.event()
    return service


@pytest.fixture
def routes(service: Service) -> dict[str, set[str]]:
    """The methods of each route, by an address of it."""
    supervisor: Any = service.supervisor
    found = {
        route.path.format(event_id=1, job_id=JOB_ID, user_id=1, webhook_id=1, file="docs.js"): {
            method.method for method in route.methods if not method.internal
        }
        for route in falcon.inspect.inspect_routes(create_app(supervisor))
    }
    assert len(found) > 25
    return found


def ask(service: Service, method: str, path: str, **headers: str) -> Result:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.client.simulate_request(method, path, headers={**service.bearer(7, "ADMIN"), **sent})


def methods_in(header: str) -> set[str]:
    return {method.strip() for method in header.split(",")}


def problem_of(result: Result) -> Any:
    assert result.headers["content-type"] == "application/problem+json"
    assert result.json["status"] == result.status_code
    assert result.json["error"].endswith(".")
    return result.json["type"].rpartition(":")[2]


def test_options_tells_the_methods_of_every_route(service: Service, routes: dict[str, set[str]]):
    for path, methods in routes.items():
        result = ask(service, "OPTIONS", path)
        assert (result.status_code, result.content) == (200, b""), path
        assert methods_in(result.headers["allow"]) == methods, path


def test_every_get_answers_head_alike(service: Service, routes: dict[str, set[str]]):
    for path, methods in routes.items():
        assert ("GET" in methods) == ("HEAD" in methods), path
        if "GET" in methods:
            head, get = ask(service, "HEAD", path), ask(service, "GET", path)
            assert head.content == b"", path
            for name in ("content-type", "content-length", "cache-control", "etag"):
                assert head.headers.get(name) == get.headers.get(name), (path, name)
            assert head.status_code == get.status_code, path


def test_other_methods_are_405_with_allow(service: Service, routes: dict[str, set[str]]):
    for path, methods in routes.items():
        for method in METHODS:
            if method not in methods:
                result = ask(service, method, path)
                assert result.status_code == 405, (method, path)
                assert methods_in(result.headers["allow"]) == methods | {"OPTIONS"}, (method, path)
                if method != "HEAD":
                    assert problem_of(result) == "blank", (method, path)


def test_a_client_that_takes_no_json_gets_406_everywhere(service: Service, routes: dict[str, set[str]]):
    assert routes.keys() >= FOR_BROWSERS
    for path, methods in routes.items():
        for method in methods - {"HEAD"} if path not in FOR_BROWSERS else ():
            result = ask(service, method, path, Accept="text/html")
            assert result.status_code == 406, (method, path)
            assert problem_of(result) == "not-acceptable", (method, path)
    assert not service.supervisor.asked
    assert not service.supervisor.attempts


def test_a_body_of_another_kind_is_415_wherever_bodies_are_read(service: Service, routes: dict[str, set[str]]):
    for path, methods in routes.items():
        for method in methods & {"POST", "PUT", "PATCH"}:
            if path not in WITHOUT_BODY:
                headers = {**service.bearer(7, "ADMIN"), "Content-Type": "text/plain"}
                result = service.client.simulate_request(method, path, headers=headers, body="{}")
                assert result.status_code == 415, (method, path)
                assert problem_of(result) == "unsupported-media-type", (method, path)
    assert not service.supervisor.asked
    assert not service.supervisor.attempts
