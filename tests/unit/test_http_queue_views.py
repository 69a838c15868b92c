"""The queue in numbers, and job by job, as operators see it."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from falcon.testing import Result

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.queue_stats import Condition
from aurora_atlan.persistence.queue_pages import Place, QueuedJob, QueuePage
from aurora_atlan.persistence.records import Job
from http_fakes import NOW, Service, make_service

STATS = "/api/admin/queue/stats"
DETAILS = "/api/admin/queue/details"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return make_service(monkeypatch)


def get(service: Service, path: str, query: str = "") -> Result:
    return service.client.simulate_get(path, query_string=query, headers=service.bearer(role="OPS"))


def test_the_numbers_are_those_of_the_report(service: Service):
    result = get(service, STATS)

    assert result.status_code == 200
    assert result.headers["cache-control"] == "private, no-store"
    assert result.json == {
        "stats": {"waiting": 5, "active": 2, "completed": 30, "failed": 4, "total": 41},
        "health": {
            "status": "healthy",
            "healthy": True,
            "stalledJobs": 0,
            "quarantined": 0,
            "paused": False,
            "oldestWaitingSeconds": 1.235,
        },
    }


@pytest.mark.parametrize("condition", [Condition.DEGRADED, Condition.UNHEALTHY])
def test_what_is_wrong_is_told(service: Service, condition: Condition):
    service.supervisor.report = replace(
        service.supervisor.report, condition=condition, stalled_jobs=7, quarantined_events=1, paused=None
    )

    health = get(service, STATS).json["health"]

    assert (health["status"], health["healthy"]) == (condition.value, False)
    assert (health["stalledJobs"], health["quarantined"], health["paused"]) == (7, 1, None)


def test_without_the_queue_there_are_no_numbers(service: Service):
    service.supervisor.failure = UnavailableError("the queue is out of reach")
    service.supervisor.queue.failure = UnavailableError("the queue is out of reach")

    for path in (STATS, DETAILS):
        result = get(service, path)
        assert result.status_code == 503
        assert result.headers["retry-after"] == "1"


def _queued(number: int, event_id: int = 4, *, active: bool = False) -> QueuedJob:
    return QueuedJob(Job(UUID(int=number), event_id, 100 + number, 2, number, NOW, None), active)


def test_jobs_are_told_apart_by_whether_they_are_being_decided(service: Service):
    service.supervisor.queue.found = QueuePage([_queued(1, active=True), _queued(2), _queued(1, 5)], None)
    result = get(service, DETAILS)

    assert result.status_code == 200
    assert result.json["active"] == [
        {
            "jobId": str(UUID(int=1)),
            "eventId": 4,
            "userId": 101,
            "quantity": 2,
            "queueNumber": 1,
            "acceptedAt": "2026-11-22T19:30:15.250000Z",
        }
    ]
    assert [(job["eventId"], job["queueNumber"]) for job in result.json["waiting"]] == [(4, 2), (5, 1)]
    assert "link" not in result.headers
    assert service.supervisor.queue.asked == [(100, None, None)]


@pytest.mark.parametrize("filtered", ["", "&eventId=4"])
def test_the_next_page_begins_where_this_one_ended(service: Service, filtered: str):
    only = 4 if filtered else None
    service.supervisor.queue.found = QueuePage([_queued(17)], Place(4, 17))
    first = get(service, DETAILS, f"limit=1{filtered}")
    address = first.headers["link"].partition("<")[2].partition(">")[0]
    path, _, query = address.partition("?")
    assert first.headers["link"].endswith("; rel=next")

    assert get(service, path, query).status_code == 200
    assert service.supervisor.queue.asked == [(1, None, only), (1, Place(4, 17), only)]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "cursor=aWQ6MQ",  # that of another list: id:1
        "cursor=am9iOjE",  # job:1
        "cursor=am9iOjE6Mjoz",  # job:1:2:3
        "cursor=am9iOjE6LTI",  # job:1:-2
        "cursor=am9iOjAxOjI",  # job:01:2
        "cursor=am9iOjE6Mg&cursor=am9iOjE6Mg",
        "cursor=am9iOjE6Mh",  # job:1:2 in another spelling
        "cursor=am9iOjE6OTk5OTk5OTk5OTk5OTk5OQ",  # job:1:9999999999999999
        "eventId=0",
        "eventId=x",
    ],
)
def test_what_is_not_a_page_is_400(service: Service, query: str):
    assert get(service, DETAILS, query).status_code == 400
    assert service.supervisor.queue.asked == []


def test_a_cursor_that_was_given_out_is_accepted(service: Service):
    get(service, DETAILS, "cursor=am9iOjE6Mg")

    assert service.supervisor.queue.asked == [(100, Place(1, 2), None)]
