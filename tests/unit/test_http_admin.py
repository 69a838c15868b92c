"""Users and their roles, the audit log, and what of an administrator's deeds is noted there."""

from __future__ import annotations

from typing import Any

import pytest
from falcon.testing import Result

from aurora_atlan.persistence.audit_log import NotedDeed
from aurora_atlan.persistence.users import NewUser
from http_fakes import NOW, Service, make_service

EVENT = {"name": "Concert", "venue": "Hall", "time": "2027-06-01T20:00:00+02:00", "capacity": 2}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The API, with user 1 an administrator and user 2 none."""
    service = make_service(monkeypatch)
    for name, role in (("ada", "ADMIN"), ("eve", "USER")):
        service.supervisor.users.create(NewUser(name.title(), f"{name}@example.com", "a hash", role))
    return service


def get(service: Service, path: str, role: str = "ADMIN") -> Result:
    return service.client.simulate_get(path, headers=service.bearer(1, role))


def put_role(service: Service, user_id: object, role: object, **headers: str) -> Result:
    return service.client.simulate_put(
        f"/api/admin/users/{user_id}/role", json={"role": role}, headers={**service.bearer(1, "ADMIN"), **headers}
    )


# Users and roles.


def test_an_administrator_sees_a_user(service: Service):
    result = get(service, "/api/admin/users/2")

    assert result.status_code == 200
    assert result.headers["cache-control"] == "private, no-store"
    assert result.json == {
        "id": 2,
        "name": "Eve",
        "email": "eve@example.com",
        "role": "USER",
        "createdAt": "2026-11-22T19:30:15.250000Z",
    }


@pytest.mark.parametrize(("user_id", "status"), [("3", 404), ("0", 400), ("01", 400), ("x", 400), (str(2**53), 400)])
def test_a_user_that_is_not_there_is_no_user(service: Service, user_id: str, status: int):
    slug = {404: "unknown-user", 400: "malformed-id"}[status]
    for result in (get(service, f"/api/admin/users/{user_id}"), put_role(service, user_id, "OPS")):
        assert result.status_code == status
        assert result.json["type"].endswith(f":{slug}")


@pytest.mark.parametrize("role", ["ADMIN", "OPS"])
def test_a_role_is_given_and_voids_the_tokens_of_before(service: Service, role: str):
    before = service.bearer(2)
    assert service.client.simulate_get("/api/bookings/history", headers=before).status_code == 200
    result = put_role(service, 2, role)

    assert result.status_code == 200
    assert (result.json["id"], result.json["role"]) == (2, role)
    assert get(service, "/api/admin/users/2").json == result.json
    assert service.client.simulate_get("/api/bookings/history", headers=before).status_code == 401


def test_the_role_that_one_has_changes_nothing(service: Service):
    result = put_role(service, 2, "USER")

    assert result.status_code == 200
    assert result.json["role"] == "USER"
    assert service.client.simulate_get("/api/bookings/history", headers=service.bearer(2)).status_code == 200
    assert service.supervisor.users.deeds == []


def test_the_last_administrator_stays_one(service: Service):
    result = put_role(service, 1, "USER")

    assert result.status_code == 409
    assert result.json["type"] == "urn:problem-type:aurora-atlan:last-admin"
    assert service.supervisor.users.by_id(1).role == "ADMIN"


def test_an_administrator_who_is_not_the_last_may_step_down(service: Service):
    put_role(service, 2, "ADMIN")

    assert put_role(service, 1, "USER").status_code == 200
    assert put_role(service, 2, "USER").status_code == 401


@pytest.mark.parametrize("role", ["ROOT", "admin", "", None, 1, ["ADMIN"]])
def test_there_are_three_roles(service: Service, role: Any):
    result = put_role(service, 2, role)

    assert result.status_code == 400
    assert result.json["errors"] == [{"pointer": "/role", "detail": "must be USER, ADMIN or OPS"}]


# The audit log.


def entry(number: int, **changes: Any) -> NotedDeed:
    values: dict[str, Any] = {
        "id": number,
        "at": NOW,
        "actor_id": 1,
        "action": "user.role",
        "subject": "user 2",
        "ip": "192.0.2.1",
        "request_id": "the-request",
        "before": {"role": "USER"},
        "after": {"role": "OPS"},
    }
    return NotedDeed(**{**values, **changes})


def test_an_administrator_reads_the_audit_log(service: Service):
    service.supervisor.audit_log.entries = [
        entry(1, actor_id=None, ip=None, request_id=None, before=None, after=None),
        entry(2),
    ]
    result = get(service, "/api/admin/audit")

    assert result.status_code == 200
    assert result.headers["cache-control"] == "private, no-store"
    assert result.json == [
        {
            "id": 2,
            "at": "2026-11-22T19:30:15.250000Z",
            "actorId": 1,
            "action": "user.role",
            "subject": "user 2",
            "ip": "192.0.2.1",
            "requestId": "the-request",
            "before": {"role": "USER"},
            "after": {"role": "OPS"},
        },
        {
            "id": 1,
            "at": "2026-11-22T19:30:15.250000Z",
            "actorId": None,
            "action": "user.role",
            "subject": "user 2",
            "ip": None,
            "requestId": None,
            "before": None,
            "after": None,
        },
    ]
    assert "link" not in result.headers


def test_the_audit_log_is_paged_to_its_end(service: Service):
    service.supervisor.audit_log.entries = [entry(number) for number in range(1, 8)]
    seen, address = [], "/api/admin/audit?limit=3"
    while address:
        result = get(service, address)
        seen.append([noted["id"] for noted in result.json])
        address = result.headers.get("link", "").partition("<")[2].partition(">")[0]

    assert seen == [[7, 6, 5], [4, 3, 2], [1]]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=x"])
def test_a_page_that_cannot_be_is_400(service: Service, query: str):
    result = get(service, f"/api/admin/audit?{query}")

    assert result.status_code == 400
    assert result.json["type"].endswith(":invalid-query")


# What is noted.


def test_a_change_of_role_is_noted_with_before_and_after(service: Service):
    put_role(service, 2, "OPS", **{"X-Request-Id": "the-request"})
    [deed] = service.supervisor.users.deeds

    assert (deed.actor_id, deed.action, deed.subject) == (1, "user.role", "user 2")
    assert (deed.before, deed.after) == ({"role": "USER"}, {"role": "OPS"})
    assert (deed.ip, deed.request_id) == ("127.0.0.1", "the-request")


def test_the_creation_of_an_event_is_noted_with_what_was_created(service: Service):
    created = service.client.simulate_post("/api/events/create", json=EVENT, headers=service.bearer(1, "ADMIN"))
    [deed] = service.supervisor.events.deeds

    assert (deed.actor_id, deed.action, deed.subject) == (1, "event.create", "event 1")
    assert (deed.before, deed.after) == (None, created.json)


@pytest.mark.parametrize("action", ["pause", "resume"])
@pytest.mark.parametrize(("query", "subject"), [("", "all events"), ("eventId=7", "event 7")])
def test_pausing_and_resuming_are_noted(service: Service, action: str, query: str, subject: str):
    headers = service.bearer(5, "OPS")
    service.client.simulate_post(f"/api/admin/queue/{action}", query_string=query, headers=headers)
    [deed] = service.supervisor.deeds

    assert deed is not None
    assert (deed.actor_id, deed.action, deed.subject) == (5, f"queue.{action}", subject)


@pytest.mark.parametrize(
    ("told", "noted"),
    [
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
    ],
)
def test_an_address_is_noted_if_it_is_one(service: Service, told: str, noted: str | None):
    """A proxy may tell anything in X-Forwarded-For; the column takes addresses alone."""
    service.client.simulate_post(
        "/api/admin/queue/pause", headers=service.bearer(5, "OPS"), extras={"REMOTE_ADDR": told}
    )
    [deed] = service.supervisor.deeds

    assert deed is not None
    assert deed.ip == noted
