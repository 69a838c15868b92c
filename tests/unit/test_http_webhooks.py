"""/api/admin/webhooks: what administrators see and do, and what is noted of it."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from falcon.testing import Result

from aurora_atlan.persistence.webhooks import OUTCOME_TYPES, WEBHOOKS_MAX, GivenUp, Standing
from http_fakes import NOW, Service, make_service

PATH = "/api/admin/webhooks"
URL = "https://example.com/hook?key=hunter2"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The API."""
    return make_service(monkeypatch)


def ask(service: Service, method: str, path: str = "", body: Any = None) -> Result:
    return service.client.simulate_request(method, f"{PATH}{path}", json=body, headers=service.bearer(10, "ADMIN"))


def create(service: Service, url: str = URL, **members: Any) -> Result:
    return ask(service, "POST", body={"url": url, **members})


def test_a_webhook_is_made_and_its_secret_told_once(service: Service):
    result = create(service, types=["booking.cancelled"])

    assert result.status_code == 201
    assert result.headers["location"] == f"{PATH}/1"
    assert result.headers["cache-control"] == "private, no-store"
    secret = result.json["secret"]
    assert base64.b64decode(secret.removeprefix("whsec_")) == service.supervisor.webhooks.secrets[1]
    shown = {
        "id": 1,
        "url": URL,
        "types": ["booking.cancelled"],
        "enabled": True,
        "createdAt": "2026-11-22T19:30:15.250000Z",
        "lastSuccessAt": None,
        "lastError": None,
        "lastErrorAt": None,
    }
    assert {name: value for name, value in result.json.items() if name != "secret"} == shown
    assert ask(service, "GET").json == [shown]
    assert ask(service, "GET", "/1").json == {**shown, "waiting": 0, "failed": 0, "givenUp": []}


def test_without_types_it_is_told_of_everything(service: Service):
    assert create(service).json["types"] == [*OUTCOME_TYPES]


@pytest.mark.parametrize("url", ["http://example.com/", "https://10.0.0.1/", "https://localhost:8443/"])
def test_a_url_that_nothing_may_be_sent_to_is_refused(service: Service, url: str):
    result = create(service, url)

    assert result.status_code == 400
    assert result.json["errors"][0]["pointer"] == "/url"
    assert service.supervisor.webhooks.rows == {}


def test_where_private_addresses_are_allowed_they_are_taken(monkeypatch: pytest.MonkeyPatch):
    service = make_service(monkeypatch, webhook_private_addresses=True)

    for url in ("https://10.0.0.1/", "https://localhost:8443/", "http://localhost:8080/"):
        assert create(service, url).status_code == 201
    assert create(service, "http://example.com/").status_code == 400


def test_there_may_be_so_many_and_no_more(service: Service):
    for _ in range(WEBHOOKS_MAX):
        assert create(service).status_code == 201

    result = create(service)

    assert result.status_code == 409
    assert result.json["type"].endswith(":too-many-webhooks")


def test_what_became_of_its_deliveries_is_shown(service: Service):
    create(service)
    webhooks = service.supervisor.webhooks
    webhook = replace(
        webhooks.rows[1],
        last_success_at=NOW,
        last_error="it answered 500",
        last_error_at=NOW + timedelta(seconds=1),
    )
    webhooks.standings[1] = Standing(webhook, 5, 1, [GivenUp(7, 3, 131, NOW, "it answered 400")])

    shown = ask(service, "GET", "/1").json

    assert (shown["waiting"], shown["failed"]) == (5, 1)
    assert (shown["lastSuccessAt"], shown["lastError"]) == ("2026-11-22T19:30:15.250000Z", "it answered 500")
    assert shown["lastErrorAt"] == "2026-11-22T19:30:16.250000Z"
    assert shown["givenUp"] == [
        {
            "eventId": 7,
            "entryNumber": 3,
            "attempts": 131,
            "failedAt": "2026-11-22T19:30:15.250000Z",
            "error": "it answered 400",
        }
    ]


def test_it_is_switched_off_and_on(service: Service):
    create(service)

    for enabled in (False, True):
        result = ask(service, "PATCH", "/1", {"enabled": enabled})
        assert (result.status_code, result.json["enabled"]) == (200, enabled)


def test_another_secret_is_told_once(service: Service):
    first = create(service).json["secret"]

    result = ask(service, "POST", "/1/rotate-secret")

    assert result.status_code == 200
    assert result.json["secret"] != first
    assert result.json["oldSecretUntil"] == "2026-11-22T19:30:15.250000Z"
    assert "secret" not in ask(service, "GET", "/1").json


def test_a_test_is_queued(service: Service):
    create(service)

    assert ask(service, "POST", "/1/test").status_code == 202

    assert service.supervisor.webhooks.tested == [1]


def test_it_is_deleted_for_good(service: Service):
    create(service)

    assert ask(service, "DELETE", "/1").status_code == 200
    for method, path, body in (
        ("GET", "/1", None),
        ("DELETE", "/1", None),
        ("PATCH", "/1", {"enabled": True}),
        ("POST", "/1/test", None),
        ("POST", "/1/rotate-secret", None),
    ):
        result = ask(service, method, path, body)
        assert result.status_code == 404, (method, path)
        assert result.json["type"].endswith(":unknown-webhook")


def test_every_change_is_noted_without_the_secret_and_without_the_urls_query(service: Service):
    create(service, types=["booking.failed"])
    ask(service, "PATCH", "/1", {"enabled": False})
    ask(service, "PATCH", "/1", {"enabled": True})
    ask(service, "POST", "/1/test")
    ask(service, "POST", "/1/rotate-secret")
    ask(service, "DELETE", "/1")

    deeds = service.supervisor.webhooks.deeds
    assert [deed.action for deed in deeds] == [
        "webhook.create",
        "webhook.disable",
        "webhook.enable",
        "webhook.test",
        "webhook.rotate-secret",
        "webhook.delete",
    ]
    assert {(deed.actor_id, deed.subject) for deed in deeds} == {(10, "webhook 1")}
    assert deeds[0].after == {"url": "https://example.com/hook", "types": ["booking.failed"]}
    assert (deeds[1].before, deeds[1].after) == ({"enabled": True}, {"enabled": False})
    assert "hunter2" not in repr(deeds)
    assert "whsec" not in repr(deeds)
