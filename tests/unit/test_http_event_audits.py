"""Auditing an event over HTTP, with an auditor in memory."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from aurora_atlan.http import app as app_module
from aurora_atlan.persistence.audit_report import Violation
from aurora_atlan.persistence.errors import StoreUnavailableError
from http_fakes import FakeAuditor, Service, make_service

PATH = "/api/events/7/audit"


@pytest.fixture
def auditor() -> FakeAuditor:
    return FakeAuditor()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, auditor: FakeAuditor) -> Service:
    monkeypatch.setattr(app_module, "Auditor", lambda _database: auditor)
    return make_service(monkeypatch)


def audit(service: Service, path: str = PATH) -> Any:
    return service.client.simulate_get(path, headers=service.bearer(role="OPS"))


def test_a_clean_event_is_said_to_be_clean(service: Service, auditor: FakeAuditor):
    result = audit(service)

    assert result.status_code == 200
    assert result.json == {
        "clean": True,
        "at": "2026-11-22T19:30:15.250000Z",
        "durationS": 0.123,
        "eventId": 7,
        "name": "Concert",
        "capacity": 100,
        "sold": 3,
        "seatsBooked": 3,
        "bookingsConfirmed": 2,
        "bookingsCancelled": 1,
        "entries": 5,
        "kinds": {"opened": 1, "confirmed": 3, "cancelled": 1},
        "queueRestarts": 0,
        "violationsFound": 0,
        "violations": [],
    }
    assert auditor.asked == [7]


def test_violations_are_listed_and_no_error(service: Service, auditor: FakeAuditor):
    auditor.violations = (Violation("counter", 7, None, "event 7: the counter sold says 4", booking_id=1),)

    result = audit(service)

    assert result.status_code == 200
    assert (result.json["clean"], result.json["violationsFound"]) == (False, 1)
    assert result.json["violations"] == [
        {
            "rule": "counter",
            "sentence": "event 7: the counter sold says 4",
            "eventId": 7,
            "entryNumber": None,
            "bookingId": 1,
            "jobId": None,
        }
    ]


def test_one_audit_is_made_at_a_time(service: Service, auditor: FakeAuditor):
    auditor.may_end.clear()
    first: list[Any] = []
    thread = threading.Thread(target=lambda: first.append(audit(service)))
    thread.start()
    assert auditor.begun.wait(10)

    second = audit(service)
    auditor.may_end.set()
    thread.join(10)

    assert second.status_code == 503
    assert second.json["type"].endswith(":busy")
    assert int(second.headers["retry-after"]) >= 1
    assert first[0].status_code == 200
    assert audit(service).status_code == 200
    assert auditor.asked == [7, 7]


def test_an_audit_that_failed_is_over(service: Service, auditor: FakeAuditor):
    auditor.failure = StoreUnavailableError("away")
    assert audit(service).status_code == 503
    auditor.failure = None
    assert audit(service).status_code == 200


@pytest.mark.parametrize(("path", "status"), [("/api/events/8/audit", 404), ("/api/events/x/audit", 400)])
def test_what_is_not_there_cannot_be_audited(service: Service, path: str, status: int):
    assert audit(service, path).status_code == status


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("USER", 403), ("OPS", 200), ("ADMIN", 200)])
def test_admins_and_operators_may(service: Service, role: str | None, status: int):
    headers = {} if role is None else service.bearer(role=role)

    assert service.client.simulate_get(PATH, headers=headers).status_code == status
    assert service.client.simulate_head(PATH, headers=headers).status_code == status
