"""Booking, asking for the outcome, and one's own bookings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from aurora_atlan.actors.errors import (
    AlreadyDecidedError,
    DurabilityUnmetError,
    EventQuarantinedError,
    IdempotencyConflictError,
    QueueFullError,
    TooManyInFlightError,
    UnavailableError,
    UnknownBookingError,
    UnknownJobError,
)
from aurora_atlan.actors.messages import BookTickets, JobState, JobStatus
from aurora_atlan.persistence.bookings import HistoryEntry
from aurora_atlan.persistence.errors import SchemaError, StoreUnavailableError, TransientError
from aurora_atlan.persistence.records import Booking, Reason
from http_fakes import NOW, Service, make_service

BOOK = "/api/bookings/1/book"
JOB_ID = UUID("2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = make_service(monkeypatch)
    service.event()
    return service


def test_booking_is_accepted(service: Service):
    result = service.client.simulate_post(BOOK, headers=service.bearer())

    assert result.status_code == 202
    job_id = result.json["jobId"]
    endpoint = f"/api/bookings/status/{job_id}"
    assert result.json == {
        "message": result.json["message"],
        "jobId": str(UUID(job_id)),
        "queuePosition": 1,
        "estimatedWaitTime": 0.25,
        "estimatedWait": {"p50": 0.25, "p90": 0.65},
        "statusEndpoint": endpoint,
        "eventId": 1,
        "quantity": 1,
        "queueNumber": 1,
        "acceptedAt": "2026-11-22T19:30:15.250000Z",
        "durability": "always",
        "receipt": {
            "jobId": job_id,
            "eventId": 1,
            "quantity": 1,
            "queueNumber": 1,
            "acceptedAt": "2026-11-22T19:30:15.250000Z",
            "signature": "the-signature",
        },
    }
    assert result.headers["location"] == endpoint
    assert result.headers["retry-after"] == "1"
    assert result.headers["cache-control"] == "private, no-store"
    assert "idempotent-replayed" not in result.headers


def test_the_attempt_is_handed_down_as_it_was_asked_for(service: Service):
    headers = {**service.bearer(user_id=42), "Idempotency-Key": "a-key!", "X-Request-Id": "the-request"}
    service.client.simulate_post(BOOK, json={"quantity": 3}, headers=headers)

    assert service.supervisor.attempts == [BookTickets(1, 42, 3, "a-key!", "the-request")]


@pytest.mark.parametrize("role", ["USER", "ADMIN"])
@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
def test_no_body_means_one_ticket(service: Service, role: str, content_type: str | None):
    headers = service.bearer(role=role)
    if content_type is not None:
        headers["Content-Type"] = content_type

    assert service.client.simulate_post(BOOK, headers=headers).status_code == 202
    assert service.supervisor.attempts[0].quantity == 1


def test_an_empty_object_means_one_ticket(service: Service):
    assert service.client.simulate_post(BOOK, json={}, headers=service.bearer()).status_code == 202
    assert service.supervisor.attempts[0].quantity == 1


def test_a_replay_is_told_as_one(service: Service):
    service.supervisor.replayed = True
    result = service.client.simulate_post(BOOK, headers={**service.bearer(), "Idempotency-Key": "k"})

    assert result.status_code == 202
    assert result.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("key", ["!", "~" * 255, "8e03978e-40d5-43e8-bc93-6894a57f9324", '"quoted"'])
def test_a_visible_idempotency_key_is_accepted(service: Service, key: str):
    result = service.client.simulate_post(BOOK, headers={**service.bearer(), "Idempotency-Key": key})

    assert result.status_code == 202
    assert service.supervisor.attempts[0].idempotency_key == key


@pytest.mark.parametrize("key", ["", " ", "a b", "a, b", "\t", "\xfc", "x" * 256, "a\x7f"])
def test_any_other_idempotency_key_is_400(service: Service, key: str):
    result = service.client.simulate_post(BOOK, headers={**service.bearer(), "Idempotency-Key": key})

    assert result.status_code == 400
    assert result.json["type"].endswith(":malformed-idempotency-key")
    assert not service.supervisor.attempts


@pytest.mark.parametrize(
    "event_id",
    [
        "0",
        "-1",
        "+1",
        "01",
        "1.0",
        "1_0",
        "1e3",
        "0x1",
        "abc",
        str(2**53),
        "9" * 20,
        "9" * 5000,
        "%31",
        "1%00",
        "%00",
        "1%0A",
        "1%20",
        "%D9%A1",
        "%EF%BC%91",
        "%ED%A0%80",
        "%FF",
        "null",
        "NaN",
        "²",
    ],
)
@pytest.mark.parametrize(
    "method_and_path", ["POST /api/bookings/{}/book", "GET /api/events/{}/view", "DELETE /api/bookings/{}/cancel"]
)
def test_a_malformed_event_id_is_400(service: Service, method_and_path: str, event_id: str):
    method, path = method_and_path.split(" ")
    result = service.client.simulate_request(method, path.format(event_id), headers=service.bearer())

    assert result.status_code == 400
    assert result.json["type"].endswith(":malformed-id")
    assert "plain digits" in result.json["error"]
    assert not service.supervisor.attempts


@pytest.mark.parametrize("event_id", ["2", "17", str(2**53 - 1)])
def test_an_unknown_event_is_404(service: Service, event_id: str):
    result = service.client.simulate_post(f"/api/bookings/{event_id}/book", headers=service.bearer())

    assert result.status_code == 404
    assert result.json["type"].endswith(":unknown-event")


def test_percent_signs_in_the_query_are_nobodys_business(service: Service):
    result = service.client.simulate_post(BOOK, query_string="utm=%20", headers=service.bearer())

    assert result.status_code == 202


BAD_AUTHORIZATION = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer nonsense",
    "Basic dXNlcjpwYXNzd29yZA==",
    "bearer  ",
    "Token abc",
    "Bearer a.b.c d",
    "Bearer \xfc",
]


@pytest.mark.parametrize("authorization", [None, *BAD_AUTHORIZATION])
@pytest.mark.parametrize(
    "method_and_path",
    [
        f"POST {BOOK}",
        "GET /api/bookings/history",
        "POST /api/events/create",
        "DELETE /api/bookings/11/cancel",
        "DELETE /api/bookings/jobs/2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1",
        "POST /api/admin/queue/pause",
        "POST /api/admin/queue/resume",
        "GET /api/admin/queue/stats",
        "GET /api/admin/queue/details",
        "GET /api/admin/queue/failed",
        "POST /api/admin/queue/clean",
        "POST /api/admin/queue/retry/2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1",
    ],
)
def test_without_a_valid_token_it_is_401(service: Service, method_and_path: str, authorization: str | None):
    method, path = method_and_path.split(" ")
    headers = {} if authorization is None else {"Authorization": authorization}
    result = service.client.simulate_request(method, path, headers=headers)

    assert result.status_code == 401
    assert result.headers["www-authenticate"].startswith("Bearer")
    assert result.headers["content-type"] == "application/problem+json"
    assert not service.supervisor.attempts


def test_the_challenge_names_an_error_only_for_a_token_that_was_sent(service: Service):
    missing = service.client.simulate_post(BOOK).headers["www-authenticate"]
    assert missing == 'Bearer realm="aurora-atlan"'
    wrong = service.client.simulate_post(BOOK, headers={"Authorization": "Bearer x"}).headers["www-authenticate"]
    assert 'error="invalid_token"' in wrong


def test_an_expired_token_is_401_and_says_so(service: Service):
    token = service.issuer.issue(7, "USER", 1, lifetime_s=-1)
    result = service.client.simulate_post(BOOK, headers={"Authorization": f"Bearer {token}"})

    assert result.status_code == 401
    assert "expired" in result.json["detail"]


def test_the_scheme_is_case_insensitive(service: Service):
    headers = {"Authorization": service.bearer()["Authorization"].replace("Bearer", "bEARER")}

    assert service.client.simulate_post(BOOK, headers=headers).status_code == 202


ROLES = {
    f"POST {BOOK}": {"USER": 202, "ADMIN": 202, "OPS": 403},
    "GET /api/bookings/history": {"USER": 200, "ADMIN": 200, "OPS": 403},
    "DELETE /api/bookings/11/cancel": {"USER": 200, "ADMIN": 200, "OPS": 403},
    f"DELETE /api/bookings/jobs/{JOB_ID}": {"USER": 200, "ADMIN": 200, "OPS": 403},
    "POST /api/admin/queue/pause": {"USER": 403, "ADMIN": 200, "OPS": 200},
    "POST /api/admin/queue/resume": {"USER": 403, "ADMIN": 200, "OPS": 200},
    "GET /api/admin/queue/stats": {"USER": 403, "ADMIN": 200, "OPS": 200},
    "GET /api/admin/queue/details": {"USER": 403, "ADMIN": 200, "OPS": 200},
    "GET /api/admin/queue/failed": {"USER": 403, "ADMIN": 200, "OPS": 200},
    "POST /api/admin/queue/clean": {"USER": 403, "ADMIN": 200, "OPS": 200},
    "POST /api/admin/queue/retry/x": {"USER": 403, "ADMIN": 400, "OPS": 400},
    "POST /api/bookings/receipts/verify": {"USER": 415, "ADMIN": 415, "OPS": 415},
    "POST /api/events/create": {"USER": 403, "ADMIN": 415, "OPS": 403},
    "GET /api/events/view": {"USER": 200, "ADMIN": 200, "OPS": 200},
    "GET /api/events/1/view": {"USER": 200, "ADMIN": 200, "OPS": 200},
}


@pytest.mark.parametrize("method_and_path", ROLES)
@pytest.mark.parametrize("role", ["USER", "ADMIN", "OPS"])
def test_every_route_admits_the_roles_it_names(service: Service, method_and_path: str, role: str):
    method, path = method_and_path.split(" ")
    result = service.client.simulate_request(method, path, headers=service.bearer(role=role))

    assert result.status_code == ROLES[method_and_path][role]


@pytest.mark.parametrize(
    ("failure", "status", "slug"),
    [
        (IdempotencyConflictError("x"), 422, "idempotency-key-reused"),
        (TooManyInFlightError("x"), 429, "too-many-in-flight"),
        (QueueFullError("x"), 503, "queue-full"),
        (UnavailableError("Redis does not answer.", 2.5), 503, "unavailable"),
        (EventQuarantinedError("Held back.", 30), 503, "event-quarantined"),
        (DurabilityUnmetError("Held back.", 30), 503, "durability-unmet"),
        (TransientError("SELECT"), 503, "unavailable"),
        (StoreUnavailableError("SELECT"), 503, "unavailable"),
        (SchemaError("SELECT"), 503, "unavailable"),
    ],
)
def test_what_the_supervisor_refuses_is_a_problem(service: Service, failure: Exception, status: int, slug: str):
    service.supervisor.failure = failure
    result = service.client.simulate_post(BOOK, headers=service.bearer())

    assert result.status_code == status
    assert result.json["type"] == f"urn:problem-type:aurora-atlan:{slug}"
    assert ("retry-after" in result.headers) == (status in (429, 503))
    assert "jobId" not in result.json
    assert "SELECT" not in result.text


def test_the_reason_is_told_as_a_sentence(service: Service):
    service.supervisor.failure = UnavailableError("the booking queue is out of reach; try again")

    answer = service.client.simulate_post(BOOK, headers=service.bearer()).json
    assert answer["error"] == "The booking queue is out of reach; try again."


def test_how_long_to_wait_is_rounded_up(service: Service):
    service.supervisor.failure = UnavailableError("Redis does not answer.", 2.5)

    assert service.client.simulate_post(BOOK, headers=service.bearer()).headers["retry-after"] == "3"


def test_a_503_after_an_attempt_tells_the_job_that_may_exist(service: Service):
    service.supervisor.failure = UnavailableError("Redis did not answer in time.", 1, JOB_ID)
    result = service.client.simulate_post(BOOK, headers=service.bearer())

    assert result.status_code == 503
    assert result.json["jobId"] == str(JOB_ID)
    assert result.json["statusEndpoint"] == f"/api/bookings/status/{JOB_ID}"


def job(status: JobState, **changes: Any) -> JobStatus:
    values: dict[str, Any] = {
        "job_id": JOB_ID,
        "status": status,
        "queue_position": 0,
        "reason": None,
        "event_id": 1,
        "user_id": 7,
        "quantity": 2,
        "queue_number": 5,
        "attempts": 1,
        "accepted_at": NOW,
        "finished_at": None,
        "booking": None,
        "estimated_wait_s": 0.0,
    }
    return JobStatus(**{**values, **changes})


def booking(booking_id: int = 11, user_id: int = 7, **changes: Any) -> Booking:
    values: dict[str, Any] = {
        "id": booking_id,
        "job_id": JOB_ID,
        "event_id": 1,
        "user_id": user_id,
        "quantity": 2,
        "status": "confirmed",
        "created_at": NOW,
        "cancelled_at": None,
    }
    return Booking(**{**values, **changes})


STATUS = f"/api/bookings/status/{JOB_ID}"


def test_a_booking_decided_at_once_is_200_with_its_final_status(service: Service):
    decided = job(JobState.COMPLETED, booking=booking(), finished_at=NOW, queue_number=None)
    service.supervisor.answer = decided
    service.supervisor.statuses[JOB_ID] = decided

    result = service.client.simulate_post(BOOK, headers=service.bearer(7))

    assert result.status_code == 200
    assert result.headers["location"] == STATUS
    later = service.client.simulate_get(STATUS, headers=service.bearer(7)).json
    assert result.json == {**later, "statusEndpoint": STATUS}
    assert result.json["queueNumber"] is None


@pytest.mark.parametrize(("user_id", "role"), [(7, "USER"), (1, "ADMIN")])
def test_the_owner_and_admins_see_the_result(service: Service, user_id: int, role: str):
    service.supervisor.statuses[JOB_ID] = job(JobState.COMPLETED, booking=booking(), finished_at=NOW)
    result = service.client.simulate_get(STATUS, headers=service.bearer(user_id, role))

    assert result.status_code == 200
    assert result.json == {
        "jobId": str(JOB_ID),
        "status": "completed",
        "queuePosition": 0,
        "reason": None,
        "result": {
            "booking": {
                "id": 11,
                "eventId": 1,
                "userId": 7,
                "quantity": 2,
                "status": "confirmed",
                "createdAt": "2026-11-22T19:30:15.250000Z",
            }
        },
        "eventId": 1,
        "userId": 7,
        "quantity": 2,
        "queueNumber": 5,
        "attempts": 1,
        "estimatedWaitTime": 0.0,
        "acceptedAt": "2026-11-22T19:30:15.250000Z",
        "finishedAt": "2026-11-22T19:30:15.250000Z",
    }
    assert "retry-after" not in result.headers


@pytest.mark.parametrize("caller", [None, (8, "USER"), (8, "OPS")])
def test_anyone_else_sees_only_how_it_stands(service: Service, caller: tuple[int, str] | None):
    service.supervisor.statuses[JOB_ID] = job(JobState.COMPLETED, booking=booking(), finished_at=NOW)
    headers = {} if caller is None else service.bearer(*caller)
    result = service.client.simulate_get(STATUS, headers=headers)

    assert result.json == {
        "jobId": str(JOB_ID),
        "status": "completed",
        "queuePosition": 0,
        "reason": None,
        "result": None,
    }


@pytest.mark.parametrize("reason", list(Reason))
def test_a_refusal_tells_its_reason(service: Service, reason: Reason):
    service.supervisor.statuses[JOB_ID] = job(JobState.FAILED, reason=reason, finished_at=NOW)
    result = service.client.simulate_get(STATUS)

    assert result.status_code == 200
    assert (result.json["status"], result.json["reason"]) == ("failed", reason.value)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.PROCESSING])
def test_an_unfinished_job_says_when_to_ask_again(service: Service, state: JobState):
    service.supervisor.statuses[JOB_ID] = job(state, queue_position=12, estimated_wait_s=3.2)
    result = service.client.simulate_get(STATUS)

    assert result.headers["retry-after"] == "4"
    assert result.json["queuePosition"] == 12
    assert result.json["result"] is None
    assert "estimatedWait" not in result.json


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.PROCESSING])
def test_its_owner_is_told_how_long_it_may_take(service: Service, state: JobState):
    service.supervisor.statuses[JOB_ID] = job(state, estimated_wait_s=3.2, estimated_wait_p90_s=4.56789)
    result = service.client.simulate_get(STATUS, headers=service.bearer(7))

    assert result.json["estimatedWaitTime"] == 3.2
    assert result.json["estimatedWait"] == {"p50": 3.2, "p90": 4.568}


@pytest.mark.parametrize("authorization", BAD_AUTHORIZATION)
def test_a_broken_token_on_the_status_route_is_401(service: Service, authorization: str):
    service.supervisor.statuses[JOB_ID] = job(JobState.QUEUED)
    result = service.client.simulate_get(STATUS, headers={"Authorization": authorization})

    assert result.status_code == 401


def test_an_unknown_job_is_404_and_says_to_book_again(service: Service):
    result = service.client.simulate_get(f"/api/bookings/status/{uuid4()}")

    assert result.status_code == 404
    assert result.json["type"].endswith(":unknown-job")
    assert "book again" in result.json["error"]


def test_a_status_that_cannot_be_known_is_503(service: Service):
    service.supervisor.failure = UnavailableError("Redis does not answer.", 1)
    result = service.client.simulate_get(STATUS)

    assert result.status_code == 503
    assert result.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "job_id",
    [
        "1",
        "x",
        str(JOB_ID).upper(),
        str(JOB_ID).replace("-", ""),
        f"{{{JOB_ID}}}",
        f"urn:uuid:{JOB_ID}",
        str(JOB_ID)[:-1],
        f"{JOB_ID}0",
        f"{JOB_ID}%0A",
        f"%32{str(JOB_ID)[1:]}",
        "٢" + str(JOB_ID)[1:],
        "g" + str(JOB_ID)[1:],
    ],
)
def test_a_malformed_job_id_is_400(service: Service, job_id: str):
    result = service.client.simulate_get(f"/api/bookings/status/{job_id}")

    assert result.status_code == 400
    assert result.json["type"].endswith(":malformed-id")


def test_history_lists_ones_own_bookings_with_their_events(service: Service):
    event = service.supervisor.events.rows[1]
    cancelled = booking(12, status="cancelled", cancelled_at=NOW + timedelta(seconds=1))
    service.supervisor.bookings.entries = [
        HistoryEntry(booking(11), event),
        HistoryEntry(cancelled, event),
        HistoryEntry(booking(13, user_id=8), event),
    ]
    result = service.client.simulate_get("/api/bookings/history", headers=service.bearer())

    assert result.status_code == 200
    assert result.headers["cache-control"] == "private, no-store"
    assert [entry["id"] for entry in result.json] == [12, 11]
    assert result.json[0]["status"] == "cancelled"
    assert result.json[0]["cancelledAt"] == "2026-11-22T19:30:16.250000Z"
    assert result.json[1]["cancelledAt"] is None
    assert result.json[1]["event"]["name"] == "Concert"


def test_history_is_paged_to_its_end(service: Service):
    event = service.supervisor.events.rows[1]
    service.supervisor.bookings.entries = [HistoryEntry(booking(number), event) for number in range(1, 8)]
    seen, address = [], "/api/bookings/history?limit=3"
    while address:
        path, _, query = address.partition("?")
        result = service.client.simulate_get(path, query_string=query, headers=service.bearer())
        seen.append([entry["id"] for entry in result.json])
        link = result.headers.get("link", "")
        assert link == "" or link.endswith("; rel=next")
        address = link.partition("<")[2].partition(">")[0]

    assert seen == [[7, 6, 5], [4, 3, 2], [1]]


@pytest.mark.parametrize(("role", "asked_as"), [("USER", 7), ("ADMIN", None)])
def test_a_booking_is_cancelled_by_its_owner_or_an_admin(service: Service, role: str, asked_as: int | None):
    result = service.client.simulate_delete("/api/bookings/11/cancel", headers=service.bearer(7, role))

    assert result.status_code == 200
    assert result.json["booking"]["status"] == "cancelled"
    assert result.json["message"]
    assert service.supervisor.asked == [("cancel", 11, asked_as)]


def test_a_booking_that_is_nobodys_or_somebody_elses_is_404(service: Service):
    service.supervisor.failure = UnknownBookingError("no such booking")

    result = service.client.simulate_delete("/api/bookings/11/cancel", headers=service.bearer())

    assert result.status_code == 404
    assert result.json["type"] == "urn:problem-type:aurora-atlan:unknown-booking"


@pytest.mark.parametrize(("role", "asked_as"), [("USER", 7), ("ADMIN", None)])
def test_a_waiting_attempt_is_withdrawn_by_its_owner_or_an_admin(service: Service, role: str, asked_as: int | None):
    result = service.client.simulate_delete(f"/api/bookings/jobs/{JOB_ID}", headers=service.bearer(7, role))

    assert result.status_code == 200
    assert result.json["jobId"] == str(JOB_ID)
    assert service.supervisor.asked == [("withdraw", JOB_ID, asked_as)]


def test_an_attempt_that_is_decided_is_409_with_its_outcome(service: Service):
    service.supervisor.statuses[JOB_ID] = job(JobState.COMPLETED, booking=booking(), finished_at=NOW)
    outcome = service.client.simulate_get(STATUS, headers=service.bearer(7)).json
    service.supervisor.withdraw = _too_late  # type: ignore[method-assign]

    result = service.client.simulate_delete(f"/api/bookings/jobs/{JOB_ID}", headers=service.bearer(7))

    assert result.status_code == 409
    assert result.json["type"] == "urn:problem-type:aurora-atlan:already-decided"
    assert result.json["outcome"] == outcome


def test_an_attempt_that_is_unknown_is_404(service: Service):
    service.supervisor.failure = UnknownJobError("no such job")

    result = service.client.simulate_delete(f"/api/bookings/jobs/{JOB_ID}", headers=service.bearer())

    assert result.status_code == 404
    assert result.json["type"] == "urn:problem-type:aurora-atlan:unknown-job"


@pytest.mark.parametrize("deed", ["pause", "resume"])
@pytest.mark.parametrize(("query", "event_id"), [("", None), ("eventId=1", 1)])
def test_operators_pause_and_resume_one_event_or_all(service: Service, deed: str, query: str, event_id: int | None):
    result = service.client.simulate_post(
        f"/api/admin/queue/{deed}", query_string=query, headers=service.bearer(role="OPS")
    )

    assert result.status_code == 200
    assert result.json["message"]
    assert service.supervisor.asked == [(deed, event_id)]


@pytest.mark.parametrize("query", ["eventId=0", "eventId=-1", "eventId=x", "eventId=01"])
def test_a_malformed_event_to_pause_is_400(service: Service, query: str):
    result = service.client.simulate_post(
        "/api/admin/queue/pause", query_string=query, headers=service.bearer(role="OPS")
    )

    assert result.status_code == 400
    assert service.supervisor.asked == []


def _too_late(_job_id: UUID, _user_id: int | None = None) -> None:
    raise AlreadyDecidedError("completed")
