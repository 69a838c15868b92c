"""Changing and deleting events, over a supervisor in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aurora_atlan.actors.errors import (
    BookingError,
    CapacityBelowSoldError,
    EmptyWindowError,
    EventInUseError,
    OutdatedVersionError,
    SaleHasBegunError,
    UnavailableError,
)
from aurora_atlan.persistence.errors import StoreUnavailableError
from aurora_atlan.persistence.events import EventEdit
from http_fakes import NOW, Service, make_service

UPDATE = "/api/events/1/update"
DELETE = "/api/events/1/delete"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = make_service(monkeypatch)
    service.event()
    return service


def put(service: Service, body: Any, path: str = UPDATE, **headers: str) -> Any:
    sent = {**service.bearer(role="ADMIN"), **{name.replace("_", "-"): value for name, value in headers.items()}}
    return service.client.simulate_put(path, json=body, headers=sent)


def delete(service: Service, query: str = "", path: str = DELETE) -> Any:
    return service.client.simulate_delete(path, query_string=query, headers=service.bearer(role="ADMIN"))


def asked(service: Service) -> Any:
    [call] = service.supervisor.asked
    return call


# Changing.


def test_an_admin_changes_what_is_given_and_nothing_else(service: Service):
    before = service.client.simulate_get("/api/events/1/view")

    result = put(service, {"name": " Gala ", "capacity": 200})

    assert result.status_code == 200
    assert result.json == {**before.json, "name": "Gala", "capacity": 200, "available": 200}
    assert asked(service) == ("edit", 1, EventEdit(name="Gala", capacity=200), None)
    shown = service.client.simulate_get("/api/events/1/view")
    assert result.headers["etag"] == shown.headers["etag"]
    assert result.headers["etag"].startswith('"2.')
    assert result.headers["cache-control"] == "private, no-store"


def test_every_member_can_be_changed_and_a_window_be_removed(service: Service):
    time = datetime(2028, 1, 1, 18, tzinfo=UTC)
    body = {
        "name": "Gala",
        "venue": "Barn",
        "time": "2028-01-01T20:00:00+02:00",
        "capacity": 1,
        "capPerUser": 100,
        "opensAt": "2027-01-01T00:00:00Z",
        "closesAt": None,
    }

    result = put(service, body)

    edit = EventEdit(
        name="Gala",
        venue="Barn",
        time=time,
        capacity=1,
        cap_per_user=100,
        opens_at=datetime(2027, 1, 1, tzinfo=UTC),
        closes_at=None,
    )
    assert asked(service) == ("edit", 1, edit, None)
    assert {name: result.json[name] for name in body} == {**body, "time": "2028-01-01T18:00:00Z"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ([], ""),
        ({"name": " "}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"name": None}, "/name"),
        ({"time": None}, "/time"),
        ({"time": "2027-06-01"}, "/time"),
        ({"capacity": 0}, "/capacity"),
        ({"capacity": 10_000_001}, "/capacity"),
        ({"capacity": True}, "/capacity"),
        ({"capPerUser": 101}, "/capPerUser"),
        ({"opensAt": "soon"}, "/opensAt"),
        ({"opensAt": 5}, "/opensAt"),
        ({"closesAt": "2027-02-30T00:00:00Z"}, "/closesAt"),
        ({"id": 2}, "/id"),
        ({"version": 1, "name": "Gala"}, "/version"),
    ],
)
def test_what_create_would_not_accept_is_400(service: Service, body: Any, pointer: str):
    result = put(service, body)

    assert result.status_code == 400
    assert result.json["type"].endswith(":validation-failed")
    assert [error["pointer"] for error in result.json["errors"]] == [pointer]
    assert not service.supervisor.asked


@pytest.mark.parametrize("raw", [b"", b"{", b'{"capacity": 1.0}', b'{"name": "a", "name": "b"}', b'{"capacity": NaN}'])
def test_a_body_that_is_not_strict_is_400(service: Service, raw: bytes):
    headers = {**service.bearer(role="ADMIN"), "Content-Type": "application/json"}

    assert service.client.simulate_put(UPDATE, body=raw, headers=headers).status_code == 400
    assert not service.supervisor.asked


def test_the_version_that_if_match_names_is_asked_for(service: Service):
    tag = service.client.simulate_get("/api/events/1/view").headers["etag"]

    assert put(service, {"name": "Gala"}, If_Match=f'"7.x", W/"3.y", {tag}').status_code == 200

    assert asked(service)[3] == {1, 7}


def test_any_version_will_do_for_a_star(service: Service):
    assert put(service, {"name": "Gala"}, If_Match="*").status_code == 200
    assert asked(service)[3] is None


def test_a_weak_tag_names_no_version(service: Service):
    put(service, {"name": "Gala"}, If_Match='W/"1.x"')

    assert asked(service)[3] == frozenset()


@pytest.mark.parametrize("header", ["", "1", '"1.x', "1.x", '"1.x" "2.y"', "*, *", "w/*", '"a b"'])
def test_an_if_match_that_is_none_is_400(service: Service, header: str):
    result = put(service, {"name": "Gala"}, If_Match=header)

    assert result.status_code == 400
    assert result.json["type"].endswith(":malformed-if-match")
    assert not service.supervisor.asked


@pytest.mark.parametrize(
    ("error", "status", "slug", "members"),
    [
        (OutdatedVersionError("it has version 2"), 412, "precondition-failed", {}),
        (EmptyWindowError("no"), 400, "validation-failed", {}),
        (CapacityBelowSoldError("7 tickets are sold", 7), 409, "capacity-below-sold", {"sold": 7}),
        (SaleHasBegunError("too late"), 409, "sale-has-begun", {}),
        (UnavailableError("busy"), 503, "unavailable", {}),
    ],
)
def test_what_cannot_be_changed_is_a_problem(
    service: Service, error: BookingError, status: int, slug: str, members: dict[str, Any]
):
    service.supervisor.failure = error

    result = put(service, {"name": "Gala"})

    assert result.status_code == status
    assert result.json["type"].endswith(f":{slug}")
    assert {name: result.json[name] for name in members} == members
    assert "etag" not in result.headers
    assert ("retry-after" in result.headers) == (status == 503)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_event_that_is_not_there_is_404(service: Service, method: str):
    if method == "PUT":
        result = put(service, {"name": "Gala"}, "/api/events/2/update")
    else:
        result = delete(service, path="/api/events/2/delete")

    assert result.status_code == 404
    assert result.json["type"].endswith(":unknown-event")


def test_a_change_is_noted_with_what_it_was_and_what_it_is(service: Service):
    opens_at = NOW + timedelta(days=1)

    put(
        service,
        {"name": "Concert", "capacity": 200, "opensAt": opens_at.isoformat(), "closesAt": None},
        X_Request_Id="mine",
    )

    [deed] = service.supervisor.deeds
    assert (deed.actor_id, deed.action, deed.subject, deed.request_id) == (7, "event.update", "event 1", "mine")
    assert deed.ip == "127.0.0.1"
    assert deed.before == {"capacity": 100, "opensAt": None}
    assert deed.after == {"capacity": 200, "opensAt": "2026-11-23T19:30:15.250000Z"}


def test_a_change_that_changes_nothing_returns_the_same_event(service: Service):
    before = service.client.simulate_get("/api/events/1/view").headers["etag"]

    result = put(service, {"name": "Concert", "capacity": 100, "opensAt": None})

    assert (result.status_code, result.headers["etag"]) == (200, before)
    assert not service.supervisor.deeds


# Deleting.


@pytest.mark.parametrize(
    ("query", "force"), [("", False), ("force=false", False), ("force=true", True), ("force=", False)]
)
def test_an_admin_deletes_an_event(service: Service, query: str, force: bool):
    assert service.client.simulate_get("/api/events/1/view").status_code == 200

    result = delete(service, query)

    assert (result.status_code, result.json) == (200, {"message": "Event 1 is deleted."})
    assert asked(service) == ("delete", 1, force)
    assert service.client.simulate_get("/api/events/1/view").status_code == 404
    assert service.client.simulate_get("/api/events/view").json == []
    [deed] = service.supervisor.deeds
    assert (deed.actor_id, deed.action, deed.subject) == (7, "event.delete", "event 1")


@pytest.mark.parametrize("query", ["force=1", "force=True", "force=yes", "force=true&force=true", "force=%00"])
def test_a_force_that_is_neither_true_nor_false_is_400(service: Service, query: str):
    result = delete(service, query)

    assert result.status_code == 400
    assert result.json["type"].endswith(":invalid-query")
    assert not service.supervisor.asked


def test_an_event_in_use_is_409_with_the_counts(service: Service):
    service.supervisor.failure = EventInUseError("in use", 12, 3)

    result = delete(service)

    assert result.status_code == 409
    assert result.json["type"].endswith(":event-in-use")
    assert (result.json["confirmed"], result.json["queued"]) == (12, 3)


# Both.


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("USER", 403), ("OPS", 403)])
def test_only_an_admin_may(service: Service, role: str | None, status: int):
    headers = {} if role is None else service.bearer(role=role)

    assert service.client.simulate_put(UPDATE, json={"name": "Gala"}, headers=headers).status_code == status
    assert service.client.simulate_delete(DELETE, headers=headers).status_code == status
    assert not service.supervisor.asked


@pytest.mark.parametrize("event_id", ["0", "01", "-1", "1.0", "x", "9007199254740992", "٣"])
def test_an_id_that_is_none_is_400(service: Service, event_id: str):
    assert put(service, {"name": "Gala"}, f"/api/events/{event_id}/update").status_code == 400
    assert delete(service, path=f"/api/events/{event_id}/delete").status_code == 400
    assert not service.supervisor.asked


@pytest.mark.parametrize("error", [UnavailableError("busy"), StoreUnavailableError("connection lost")])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_may_have_happened_all_the_same_is_shown_at_once(service: Service, method: str, error: Exception):
    """The cache does not hide a change whose answer was lost."""
    supervisor = service.supervisor
    assert service.client.simulate_get("/api/events/1/view").json["name"] == "Concert"
    assert service.client.simulate_get("/api/events/1/availability").json["capacity"] == 100
    supervisor.events.edit(1, EventEdit(name="Gala", capacity=5))
    supervisor.failure = error

    result = put(service, {"name": "Gala"}) if method == "PUT" else delete(service)

    assert result.status_code == 503
    assert service.client.simulate_get("/api/events/1/view").json["name"] == "Gala"
    assert service.client.simulate_get("/api/events/view").json[0]["name"] == "Gala"
    assert service.client.simulate_get("/api/events/1/availability").json["capacity"] == 5
