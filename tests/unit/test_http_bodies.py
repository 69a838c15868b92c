"""Bad bodies, each refused with a problem that says what to do instead; nothing reaches the supervisor."""

from __future__ import annotations

import json
from typing import Any

import pytest
from falcon.testing import create_environ

from http_fakes import Service, make_service

VALID_EVENT = {"name": "Concert", "venue": "Hall", "time": "2027-06-01T20:00:00+02:00", "capacity": 100}
VALID_USER = {"name": "Ada", "email": "ada@example.com", "password": "correct horse"}
BOOK = "/api/bookings/1/book"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = make_service(monkeypatch)
    service.event()
    return service


def post(
    service: Service, path: str, body: bytes, content_type: str | None = "application/json", **headers: str
) -> Any:
    sent = {**service.bearer(role="ADMIN"), **{name.replace("_", "-"): value for name, value in headers.items()}}
    if content_type is not None:
        sent["Content-Type"] = content_type
    return service.client.simulate_post(path, body=body, headers=sent)


@pytest.mark.parametrize("path", ["/api/auth/register", "/api/auth/login", "/api/events/create"])
def test_a_body_without_a_media_type_is_415(service: Service, path: str):
    assert post(service, path, b"{}", None).status_code == 415


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json, application/json",
        "",
        "json",
    ],
)
@pytest.mark.parametrize("path", ["/api/events/create", BOOK])
def test_anything_but_json_is_415(service: Service, path: str, content_type: str):
    result = post(service, path, b'{"quantity": 1}', content_type)
    assert result.status_code == 415
    assert result.headers["content-type"] == "application/problem+json"
    assert "application/json" in result.json["detail"]
    assert not service.supervisor.attempts


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json;"],
)
def test_json_in_utf_8_is_accepted(service: Service, content_type: str):
    assert post(service, BOOK, b'{"quantity": 2}', content_type).status_code == 202


def test_a_compressed_body_is_415(service: Service):
    assert post(service, BOOK, b'{"quantity": 2}', Content_Encoding="gzip").status_code == 415


@pytest.mark.parametrize("path", ["/api/auth/register", "/api/auth/login", "/api/events/create"])
def test_a_missing_body_is_400(service: Service, path: str):
    result = post(service, path, b"")
    assert result.status_code == 400
    assert result.json["type"].endswith(":malformed-body")


class Unreadable:
    def read(self, *_size: int) -> bytes:
        pytest.fail("the body was read")


def book_raw(service: Service, **environ: Any) -> tuple[str, dict[str, Any]]:
    # The test client checks some of what a server checks, too.
    headers = {**service.bearer(), "Content-Type": "application/json"}
    started: list[Any] = []
    sent = {**create_environ(BOOK, method="POST", headers=headers), **environ}
    body = b"".join(service.client.app(sent, lambda *call: started.append(call)))
    return started[0][0], json.loads(body)


def test_a_body_of_64_kib_is_accepted_and_one_byte_more_is_413(service: Service):
    largest = b'{"quantity": 1' + b" " * (64 * 1024 - 15) + b"}"
    assert len(largest) == 64 * 1024
    assert post(service, BOOK, largest).status_code == 202
    assert post(service, BOOK, largest + b" ").status_code == 413


def test_a_body_that_is_too_large_is_not_read(service: Service):
    status, problem = book_raw(service, **{"CONTENT_LENGTH": str(2**40), "wsgi.input": Unreadable()})
    assert status == "413 Content Too Large"
    assert problem["type"].endswith(":body-too-large")


@pytest.mark.parametrize("length", ["-1", "abc", "1.5"])
def test_a_wrong_content_length_is_400(service: Service, length: str):
    status, problem = book_raw(service, CONTENT_LENGTH=length)
    assert status == "400 Bad Request"
    assert problem["status"] == 400


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"NaN",
        b'{"quantity": NaN}',
        b'{"quantity": 1e999}',
        b'{"quantity": 1, "quantity": 2}',
        b'{"quantity": 1}\x00',
        b'{"quantity": "\\u0000"}',
        b'{"quantity": "\\ud800"}',
        b'{"quan\\u0000tity": 1}',
        b"\xff\xfe{\x00}\x00",
        b'{"quantity": ' + b"1" * 5000 + b"}",
        b"[" * 30_000,
    ],
)
@pytest.mark.parametrize("path", ["/api/auth/register", "/api/auth/login", "/api/events/create", BOOK])
def test_malformed_json_is_400(service: Service, path: str, body: bytes):
    result = post(service, path, body)
    assert result.status_code == 400
    assert result.json["type"].endswith(":malformed-body")
    assert not service.supervisor.attempts


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ([], [""]),
        ("text", [""]),
        (None, [""]),
        (1, [""]),
        ({"quantity": 0}, ["/quantity"]),
        ({"quantity": -1}, ["/quantity"]),
        ({"quantity": 11}, ["/quantity"]),
        ({"quantity": 10**300}, ["/quantity"]),
        ({"quantity": 1.0}, ["/quantity"]),
        ({"quantity": 1.5}, ["/quantity"]),
        ({"quantity": "1"}, ["/quantity"]),
        ({"quantity": True}, ["/quantity"]),
        ({"quantity": None}, ["/quantity"]),
        ({"quantity": [1]}, ["/quantity"]),
        ({"quantity": {"quantity": 1}}, ["/quantity"]),
        ({"userId": 5}, ["/userId"]),
        ({"quantity": 1, "a/b~c": 1}, ["/a~1b~0c"]),
        ({"quantity": 0, "id": 1}, ["/id", "/quantity"]),
    ],
)
def test_a_wrong_booking_is_400_with_pointers(service: Service, body: Any, pointers: list[str]):
    headers = service.bearer()
    headers["Content-Type"] = "application/json"
    result = service.client.simulate_post(BOOK, body=json.dumps(body), headers=headers)
    assert result.status_code == 400
    assert result.json["type"].endswith(":validation-failed")
    assert sorted(error["pointer"] for error in result.json["errors"]) == pointers
    assert all(error["detail"] for error in result.json["errors"])
    assert not service.supervisor.attempts


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"name": None}, ["/name"]),
        ({"name": ""}, ["/name"]),
        ({"name": "  \u3000 "}, ["/name"]),
        ({"name": "x" * 201}, ["/name"]),
        ({"name": 5}, ["/name"]),
        ({"venue": ["Hall"]}, ["/venue"]),
        ({"time": "tomorrow"}, ["/time"]),
        ({"time": "2027-06-01"}, ["/time"]),
        ({"time": "2027-06-01T20:00:00"}, ["/time"]),
        ({"time": 1795375588}, ["/time"]),
        ({"time": "0001-01-01T00:00:00+14:00"}, ["/time"]),
        ({"capacity": 0}, ["/capacity"]),
        ({"capacity": 10_000_001}, ["/capacity"]),
        ({"capacity": 100.0}, ["/capacity"]),
        ({"capacity": "100"}, ["/capacity"]),
        ({"capPerUser": 0}, ["/capPerUser"]),
        ({"capPerUser": 101}, ["/capPerUser"]),
        ({"opensAt": "soon"}, ["/opensAt"]),
        ({"opensAt": "2027-01-02T00:00:00Z", "closesAt": "2027-01-02T01:00:00+01:00"}, ["/closesAt"]),
        ({"booked": 5, "version": 1}, ["/booked", "/version"]),
    ],
)
def test_a_wrong_event_is_400_with_pointers(service: Service, changes: dict[str, Any], pointers: list[str]):
    body = {name: value for name, value in {**VALID_EVENT, **changes}.items() if value is not None}
    result = service.client.simulate_post("/api/events/create", json=body, headers=service.bearer(role="ADMIN"))
    assert result.status_code == 400
    assert sorted(error["pointer"] for error in result.json["errors"]) == pointers
    assert len(service.supervisor.events.rows) == 1


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"role": "ADMIN"}, ["/role"]),
        ({"id": 1}, ["/id"]),
        ({"name": None}, ["/name"]),
        ({"name": " "}, ["/name"]),
        ({"email": "nobody"}, ["/email"]),
        ({"email": "a@b@c"}, ["/email"]),
        ({"email": 5}, ["/email"]),
        ({"email": "x" * 300}, ["/email"]),
        ({"password": "short"}, ["/password"]),
        ({"password": "x" * 129}, ["/password"]),
        ({"password": "e\u0301" * 7}, ["/password"]),
        ({"password": ["correct horse"]}, ["/password"]),
        ({"email": "nobody", "password": "e\u0301" * 7}, ["/email", "/password"]),
    ],
)
def test_a_wrong_registration_is_400_with_pointers(service: Service, changes: dict[str, Any], pointers: list[str]):
    body = {name: value for name, value in {**VALID_USER, **changes}.items() if value is not None}
    result = service.client.simulate_post("/api/auth/register", json=body)
    assert result.status_code == 400
    assert sorted(error["pointer"] for error in result.json["errors"]) == pointers
    assert not service.supervisor.users.rows


def test_no_error_repeats_what_was_sent(service: Service):
    body = {**VALID_USER, "password": "hunter2"}
    result = service.client.simulate_post("/api/auth/register", json=body)
    assert result.status_code == 400
    assert "hunter2" not in result.text


def test_the_number_of_errors_told_is_bounded(service: Service):
    body = {f"member{number}": 1 for number in range(1000)}
    result = service.client.simulate_post(BOOK, json=body, headers=service.bearer())
    assert result.status_code == 400
    assert len(result.json["errors"]) == 20
