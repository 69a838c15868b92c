"""Every route with every role: who is admitted, and who is told that there is nothing.

A new route is a new line of the table; a route without one fails the test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import falcon.inspect
import pytest
from falcon.testing import Result, TestClient

from aurora_atlan.actors.messages import JobState, JobStatus
from aurora_atlan.http import app as app_module
from aurora_atlan.http.app import create_app, create_ops_app
from aurora_atlan.http.metrics import RequestMetrics
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.users import NewUser
from http_fakes import NOW, FakeAnalytics, FakeAuditor, Service, make_service

# In the test's world user 7 owns booking 11 and this job, user 8 owns nothing; event 1 is everybody's.
OWNER, OTHER, OPERATOR, ADMINISTRATOR = 7, 8, 9, 10
JOB_ID = UUID("2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1")

EVENT = {"name": "Concert", "venue": "Hall", "time": "2027-06-01T20:00:00+02:00", "capacity": 2}
ACCOUNT = {"name": "Eve", "email": "eve@example.com", "password": "correct horse"}
RECEIPT = {
    "jobId": str(JOB_ID),
    "eventId": 1,
    "quantity": 2,
    "queueNumber": 5,
    "acceptedAt": "2026-11-22T19:30:15Z",
    "signature": "nobody's",
}
WEBHOOK = {"url": "https://example.com/hook", "types": ["booking.confirmed"]}
WRONG_LOGIN = {"email": "nobody@example.com", "password": "correct horse"}
PASSWORDS = {"currentPassword": "wrong horse", "newPassword": "battery staple"}


@dataclass(frozen=True)
class Answers:
    """The status that each caller gets: one without a token, the owner, another user, OPS and ADMIN."""

    nobody: int
    owner: int
    other: int
    ops: int
    admin: int


def anyone(status: int) -> Answers:
    """Everybody gets the same."""
    return Answers(status, status, status, status, status)


def users_own(status: int) -> Answers:
    """The owner and administrators; to other users it is not there."""
    return Answers(nobody=401, owner=status, other=404, ops=403, admin=status)


def buyers(status: int) -> Answers:
    """Those who buy tickets, each for himself."""
    return Answers(nobody=401, owner=status, other=status, ops=403, admin=status)


def logged_in(status: int) -> Answers:
    """Everybody with a token."""
    return Answers(nobody=401, owner=status, other=status, ops=status, admin=status)


def operators(status: int) -> Answers:
    """OPS and ADMIN."""
    return Answers(nobody=401, owner=403, other=403, ops=status, admin=status)


def administrators(status: int) -> Answers:
    """ADMIN."""
    return Answers(nobody=401, owner=403, other=403, ops=403, admin=status)


@dataclass(frozen=True)
class Route:
    """A method of a route, who gets what, and a request to try it with."""

    method: str
    template: str
    answers: Answers
    body: Any = None

    @property
    def path(self) -> str:
        """An address of this route."""
        booking = "cancel" in self.template
        return self.template.format(
            event_id=11 if booking else 1, job_id=JOB_ID, user_id=1, webhook_id=1, file="docs.js"
        )


API = [
    Route("POST", "/api/auth/register", anyone(200), ACCOUNT),
    Route("POST", "/api/auth/login", anyone(400), WRONG_LOGIN),
    Route("POST", "/api/auth/refresh", anyone(401), {"refreshToken": "nobody's"}),
    Route("POST", "/api/auth/logout", logged_in(200)),
    Route("POST", "/api/auth/password", logged_in(400), PASSWORDS),
    Route("GET", "/api/events/view", anyone(200)),
    Route("GET", "/api/events/{event_id}/view", anyone(200)),
    Route("POST", "/api/events/create", administrators(201), EVENT),
    Route("PUT", "/api/events/{event_id}/update", administrators(200), {"capacity": 3}),
    Route("DELETE", "/api/events/{event_id}/delete", administrators(200)),
    Route("GET", "/api/events/{event_id}/availability", anyone(200)),
    Route("GET", "/api/events/{event_id}/audit", operators(200)),
    Route("POST", "/api/bookings/{event_id}/book", buyers(202)),
    Route("GET", "/api/bookings/status/{job_id}", anyone(200)),
    Route("DELETE", "/api/bookings/jobs/{job_id}", users_own(200)),
    Route("DELETE", "/api/bookings/{event_id}/cancel", users_own(200)),
    Route("GET", "/api/bookings/history", buyers(200)),
    Route("POST", "/api/bookings/receipts/verify", anyone(200), RECEIPT),
    Route("GET", "/api/admin/analytics", administrators(200)),
    Route("GET", "/api/admin/queue/stats", operators(200)),
    Route("GET", "/api/admin/queue/details", operators(200)),
    Route("POST", "/api/admin/queue/clean", operators(200)),
    Route("GET", "/api/admin/queue/failed", operators(200)),
    Route("POST", "/api/admin/queue/retry/{job_id}", operators(404)),
    Route("POST", "/api/admin/queue/pause", operators(200)),
    Route("POST", "/api/admin/queue/resume", operators(200)),
    Route("GET", "/api/admin/users/{user_id}", administrators(200)),
    Route("PUT", "/api/admin/users/{user_id}/role", administrators(200), {"role": "OPS"}),
    Route("GET", "/api/admin/audit", administrators(200)),
    Route("POST", "/api/admin/webhooks", administrators(201), WEBHOOK),
    Route("GET", "/api/admin/webhooks", administrators(200)),
    Route("GET", "/api/admin/webhooks/{webhook_id}", administrators(200)),
    Route("PATCH", "/api/admin/webhooks/{webhook_id}", administrators(200), {"enabled": False}),
    Route("DELETE", "/api/admin/webhooks/{webhook_id}", administrators(200)),
    Route("POST", "/api/admin/webhooks/{webhook_id}/test", administrators(202)),
    Route("POST", "/api/admin/webhooks/{webhook_id}/rotate-secret", administrators(200)),
    Route("GET", "/livez", anyone(200)),
    Route("GET", "/readyz", anyone(200)),
    Route("GET", "/openapi.json", anyone(200)),
    Route("GET", "/docs", anyone(200)),
    Route("GET", "/docs/{file}", anyone(200)),
]
OPERATORS_LISTENER = [
    Route("GET", "/livez", anyone(200)),
    Route("GET", "/readyz", anyone(200)),
    Route("GET", "/startupz", anyone(200)),
    Route("GET", "/metrics", anyone(200)),
]

CALLERS = {
    "nobody": None,
    "owner": (OWNER, "USER"),
    "other": (OTHER, "USER"),
    "ops": (OPERATOR, "OPS"),
    "admin": (ADMINISTRATOR, "ADMIN"),
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The API in the test's world."""
    auditor = FakeAuditor()
    auditor.known = 1
    monkeypatch.setattr(app_module, "Auditor", lambda _database: auditor)
    monkeypatch.setattr(app_module, "Analytics", lambda _database: FakeAnalytics())
    service = make_service(monkeypatch)
    supervisor = service.supervisor
    service.event()
    supervisor.users.create(NewUser("Ada", "ada@example.com", "a hash"))
    supervisor.webhooks.create(
        "https://example.com/",
        ["booking.failed"],
        b"",
        lambda _: Deed(actor_id=None, action="webhook.create", subject="webhook 1"),
    )
    supervisor.owners = {11: OWNER, JOB_ID: OWNER}
    supervisor.statuses[JOB_ID] = JobStatus(
        job_id=JOB_ID,
        status=JobState.COMPLETED,
        queue_position=0,
        reason=None,
        event_id=1,
        user_id=OWNER,
        quantity=2,
        queue_number=5,
        attempts=1,
        accepted_at=NOW,
        finished_at=NOW,
        booking=None,
        estimated_wait_s=0.0,
    )
    return service


def headers_of(service: Service, caller: str) -> dict[str, str]:
    who = CALLERS[caller]
    return {} if who is None else service.bearer(*who)


def ask(service: Service, client: TestClient, route: Route, caller: str) -> Result:
    headers = headers_of(service, caller)
    return client.simulate_request(route.method, route.path, json=route.body, headers=headers)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", API, ids=lambda route: f"{route.method} {route.template}")
def test_every_route_answers_every_role_as_the_table_says(service: Service, route: Route, caller: str):
    result = ask(service, service.client, route, caller)

    assert result.status_code == getattr(route.answers, caller), result.text


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", OPERATORS_LISTENER, ids=lambda route: route.template)
def test_the_operators_listener_answers_everybody(service: Service, route: Route, caller: str):
    supervisor: Any = service.supervisor
    client = TestClient(create_ops_app(supervisor, requests=RequestMetrics()))

    assert ask(service, client, route, caller).status_code == getattr(route.answers, caller)


@pytest.mark.parametrize("caller", CALLERS)
def test_what_a_job_led_to_is_told_to_its_owner_and_to_administrators(service: Service, caller: str):
    """The one answer with the same status for everybody that is not the same for everybody."""
    result = service.client.simulate_get(f"/api/bookings/status/{JOB_ID}", headers=headers_of(service, caller))

    assert ("userId" in result.json) == (caller in ("owner", "admin"))


@pytest.mark.parametrize("route", [route for route in API if route.answers.nobody == 401], ids=lambda r: r.template)
def test_a_voided_token_is_no_token(service: Service, route: Route):
    for caller in ("owner", "other", "ops", "admin"):
        who = CALLERS[caller]
        assert who is not None
        headers = service.bearer(*who)
        service.supervisor.token_versions.note(who[0], 2)
        result = service.client.simulate_request(route.method, route.path, json=route.body, headers=headers)
        assert result.status_code == 401


@pytest.mark.parametrize("listener", ["api", "operators"])
def test_no_route_is_missing_from_the_table(service: Service, listener: str):
    requests = RequestMetrics()
    supervisor: Any = service.supervisor
    if listener == "api":
        app, table = create_app(supervisor, requests=requests), API
    else:
        app, table = create_ops_app(supervisor, requests=requests), OPERATORS_LISTENER
    served = {
        (method.method, route.path)
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        # Of its own falcon answers OPTIONS and methods that are not there.
        if not method.internal and method.method != "HEAD"
    }

    assert served == {(route.method, route.template) for route in table}
    assert len(served) == len(table)
