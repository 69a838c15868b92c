"""Jobs that failed for ever, as operators list them and try them again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from falcon.testing import Result

from aurora_atlan.actors.errors import NotFailedError, QueueFullError, UnavailableError, UnknownJobError
from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.persistence.dead_letters import DeadLetter
from aurora_atlan.persistence.errors import StoreUnavailableError
from aurora_atlan.persistence.records import Reason
from http_fakes import NOW, Service, make_service

FAILED = "/api/admin/queue/failed"


def letter(number: int, event_id: int = 1, *, seconds: int | None = None) -> DeadLetter:
    failed_at = NOW + timedelta(seconds=number if seconds is None else seconds)
    return DeadLetter(UUID(int=number), event_id, 40 + number, 2, Reason.POISON, number, NOW, failed_at, number + 1)


def retry_path(number: int) -> str:
    return f"/api/admin/queue/retry/{UUID(int=number)}"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = make_service(monkeypatch)
    service.event()
    return service


def retry(service: Service, number: int = 3) -> Result:
    headers = {**service.bearer(9, "OPS"), "X-Request-Id": "the-request"}
    return service.client.simulate_post(retry_path(number), headers=headers)


def test_they_are_listed_newest_first(service: Service):
    service.supervisor.dead_letters.letters = [letter(1), letter(2)]
    result = service.client.simulate_get(FAILED, headers=service.bearer(role="OPS"))

    assert result.status_code == 200
    assert [entry["jobId"] for entry in result.json] == [str(UUID(int=2)), str(UUID(int=1))]
    assert result.json[1] == {
        "jobId": str(UUID(int=1)),
        "eventId": 1,
        "userId": 41,
        "quantity": 2,
        "reason": "poison",
        "queueNumber": 1,
        "acceptedAt": "2026-11-22T19:30:15.250000Z",
        "failedAt": "2026-11-22T19:30:16.250000Z",
    }
    assert "link" not in result.headers


def test_they_are_paged_to_their_end(service: Service):
    """Also those that failed in the same transaction, at the same microsecond."""
    service.supervisor.dead_letters.letters = [letter(number, number % 2, seconds=number // 4) for number in range(8)]
    seen, address = [], f"{FAILED}?limit=3"
    while address:
        path, _, query = address.partition("?")
        result = service.client.simulate_get(path, query_string=query, headers=service.bearer(role="ADMIN"))
        seen.append([UUID(entry["jobId"]).int for entry in result.json])
        address = result.headers.get("link", "").partition("<")[2].partition(">")[0]

    assert seen == [[7, 5, 6], [4, 3, 1], [2, 0]]


@pytest.mark.parametrize("query", ["limit=0", "cursor=x", "cursor=aWQ6MQ", "cursor=am9iOjE6Mg"])
def test_what_is_not_a_page_is_400(service: Service, query: str):
    result = service.client.simulate_get(FAILED, query_string=query, headers=service.bearer(role="OPS"))

    assert result.status_code == 400


def test_one_that_is_tried_again_is_a_new_job_of_the_same_user(service: Service):
    service.supervisor.dead_letters.letters = [letter(3)]
    result = retry(service)

    assert result.status_code == 202
    assert result.json["retryOf"] == str(UUID(int=3))
    assert result.json["jobId"] != str(UUID(int=3))
    assert result.headers["location"] == result.json["statusEndpoint"]
    assert result.json["receipt"]["jobId"] == result.json["jobId"]
    assert service.supervisor.attempts == [BookTickets(1, 43, 2, None, "the-request")]


def test_trying_again_is_noted_before_it_is_done(service: Service):
    service.supervisor.dead_letters.letters = [letter(3)]
    service.supervisor.failure = QueueFullError("full")

    assert retry(service).status_code == 503
    [deed] = service.supervisor.audit_log.deeds
    assert (deed.actor_id, deed.action, deed.subject) == (9, "queue.retry", f"job {UUID(int=3)}")
    assert deed.after == {"eventId": 1, "userId": 43, "quantity": 2}


def test_what_cannot_be_noted_is_not_done(service: Service):
    service.supervisor.dead_letters.letters = [letter(3)]
    service.supervisor.audit_log.failure = StoreUnavailableError("away")

    assert retry(service).status_code == 503
    assert service.supervisor.attempts == []


@pytest.mark.parametrize(
    ("failure", "status", "slug"),
    [
        (UnknownJobError("there is no such job"), 404, "unknown-job"),
        (NotFailedError("the job is decided: sold_out"), 409, "not-failed"),
        (UnavailableError("the ledger is out of reach"), 503, "unavailable"),
    ],
)
def test_what_is_no_dead_letter_is_neither_tried_nor_noted(
    service: Service, failure: Exception, status: int, slug: str
):
    service.supervisor.dead_letters.failure = failure
    result = retry(service)

    assert result.status_code == status
    assert result.json["type"].endswith(f":{slug}")
    assert service.supervisor.attempts == []
    assert service.supervisor.audit_log.deeds == []


def test_a_body_is_refused(service: Service):
    service.supervisor.dead_letters.letters = [letter(3)]
    result = service.client.simulate_post(retry_path(3), json={"quantity": 1}, headers=service.bearer(9, "OPS"))

    assert result.status_code == 400
    assert result.json["type"].endswith(":unexpected-body")
    assert service.supervisor.attempts == []
