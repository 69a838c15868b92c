"""Having Redis forget finished jobs, by request."""

from __future__ import annotations

from typing import Any

import pytest
from falcon.testing import Result

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.persistence.errors import StoreUnavailableError
from http_fakes import Service, make_service

CLEAN = "/api/admin/queue/clean"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return make_service(monkeypatch)


def clean(service: Service, query: str = "", **request: Any) -> Result:
    headers = service.bearer(9, "OPS")
    return service.client.simulate_post(CLEAN, query_string=query, headers=headers, **request)


def test_by_default_a_thousand_of_all_finished_jobs_go(service: Service):
    service.supervisor.queue.removed = 12
    result = clean(service)

    assert result.status_code == 200
    assert result.json == {"message": "Finished jobs removed: 12.", "removed": 12}
    assert service.supervisor.queue.asked == [(["completed", "failed"], 0, 1000)]


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_what_goes_can_be_narrowed_down(service: Service, state: str):
    clean(service, f"state={state}&olderThan=3600&limit=10000")

    assert service.supervisor.queue.asked == [([state], 3600, 10_000)]


@pytest.mark.parametrize(
    "query",
    [
        "state=waiting",
        "state=Failed",
        "state=failed&state=completed",
        "olderThan=-1",
        "olderThan=1.5",
        "olderThan=1h",
        "olderThan=31536001",
        "limit=0",
        "limit=10001",
        "limit=all",
        "limit=1&limit=2",
    ],
)
def test_any_other_wish_is_400_and_nothing_goes(service: Service, query: str):
    result = clean(service, query)

    assert result.status_code == 400
    assert result.json["type"].endswith(":invalid-query")
    assert service.supervisor.queue.asked == []
    assert service.supervisor.audit_log.deeds == []


@pytest.mark.parametrize("request_body", [{}, {"json": {}}, {"body": b"", "content_type": "text/plain"}])
def test_an_empty_body_is_none(service: Service, request_body: dict[str, Any]):
    assert clean(service, **request_body).status_code == 200


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        ({"json": {"state": "failed"}}, 400),
        ({"json": []}, 400),
        ({"json": None, "body": b"null", "content_type": "application/json"}, 400),
        ({"body": b"state=failed", "content_type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_body_is_refused(service: Service, request_body: dict[str, Any], status: int):
    """Whoever sends parameters there would clean more than was meant."""
    result = clean(service, **request_body)

    assert result.status_code == status
    assert service.supervisor.queue.asked == []


def test_it_is_noted_before_it_is_done(service: Service):
    service.supervisor.queue.failure = UnavailableError("the queue is out of reach")
    result = service.client.simulate_post(
        CLEAN,
        query_string="state=failed&limit=5",
        headers={**service.bearer(9, "ADMIN"), "X-Request-Id": "the-request"},
    )

    assert result.status_code == 503
    [deed] = service.supervisor.audit_log.deeds
    assert (deed.actor_id, deed.action, deed.request_id) == (9, "queue.clean", "the-request")
    assert deed.after == {"state": ["failed"], "olderThan": 0, "limit": 5}


def test_what_cannot_be_noted_is_not_done(service: Service):
    service.supervisor.audit_log.failure = StoreUnavailableError("away")

    assert clean(service).status_code == 503
    assert service.supervisor.queue.asked == []
