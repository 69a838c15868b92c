"""What a receipt is worth, asked by anyone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import JobState, JobStatus
from aurora_atlan.actors.receipts import Mismatch, SignedReceipt, Verdict
from aurora_atlan.persistence.receipts import Claim
from aurora_atlan.persistence.records import Reason
from http_fakes import NOW, Service, make_service

VERIFY = "/api/bookings/receipts/verify"
JOB_ID = "110d2269-3f52-88cd-8424-4f598c6e11db"
RECEIPT = {
    "jobId": JOB_ID,
    "eventId": 4,
    "quantity": 2,
    "queueNumber": 17,
    "acceptedAt": "2026-11-22T21:10:43.419682Z",
    "signature": "DkiP78-a11C8tuOrUNeawtFMmEZcjSx-rN6kW0UODsU",
}


def status(state: JobState, reason: Reason | None = None) -> JobStatus:
    return JobStatus(
        job_id=UUID(JOB_ID),
        status=state,
        queue_position=0,
        reason=reason,
        event_id=4,
        user_id=1,
        quantity=2,
        queue_number=17,
        attempts=1,
        accepted_at=NOW,
        finished_at=NOW,
        booking=None,
        estimated_wait_s=0.0,
    )


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return make_service(monkeypatch)


def test_the_receipt_is_shown_as_it_was_sent(service: Service):
    """Whatever offset the client's library wrote."""
    service.client.simulate_post(VERIFY, json={**RECEIPT, "acceptedAt": "2026-11-22T23:10:43.419682+02:00"})

    accepted_at = datetime(2026, 11, 22, 21, 10, 43, 419_682, tzinfo=UTC)
    claim = Claim(UUID(JOB_ID), 4, 2, 17, accepted_at)
    assert service.supervisor.shown == [SignedReceipt(claim, RECEIPT["signature"])]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Verdict(None, status(JobState.COMPLETED)), (True, None, "completed", None)),
        (Verdict(None, status(JobState.FAILED, Reason.SOLD_OUT)), (True, None, "failed", "sold_out")),
        (Verdict(None, status(JobState.QUEUED)), (True, None, "queued", None)),
        (Verdict(None, None), (True, None, "lost", None)),
        (Verdict(Mismatch.SIGNATURE, None), (False, "signature", None, None)),
        (Verdict(Mismatch.EVENT, status(JobState.COMPLETED)), (False, "eventId", "completed", None)),
        (Verdict(Mismatch.QUANTITY, status(JobState.COMPLETED)), (False, "quantity", "completed", None)),
    ],
)
def test_the_verdict_is_told(service: Service, verdict: Verdict, told: tuple[Any, ...]):
    service.supervisor.verdict = verdict
    result = service.client.simulate_post(VERIFY, json=RECEIPT)

    assert result.status_code == 200
    assert result.headers["cache-control"] == "private, no-store"
    valid, mismatch, state, reason = told
    assert result.json == {"valid": valid, "mismatch": mismatch, "jobId": JOB_ID, "status": state, "reason": reason}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("jobId", JOB_ID.upper()),
        ("jobId", JOB_ID + "\n"),
        ("jobId", "x"),
        ("eventId", 0),
        ("eventId", "4"),
        ("eventId", 2**53),
        ("quantity", 0),
        ("quantity", 11),
        ("quantity", 1.0),
        ("queueNumber", 0),
        ("queueNumber", None),
        ("acceptedAt", "yesterday"),
        ("acceptedAt", "2026-11-22T21:10:43"),
        ("signature", 1),
        ("signature", "x" * 257),
        ("durability", "always"),
    ],
)
def test_what_is_no_receipt_is_400(service: Service, member: str, value: object):
    result = service.client.simulate_post(VERIFY, json={**RECEIPT, member: value})

    assert result.status_code == 400
    assert service.supervisor.shown == []


@pytest.mark.parametrize("member", RECEIPT)
def test_every_member_is_needed(service: Service, member: str):
    result = service.client.simulate_post(VERIFY, json={name: RECEIPT[name] for name in RECEIPT if name != member})

    assert result.status_code == 400
    assert result.json["errors"] == [{"pointer": f"/{member}", "detail": "is required"}]


def test_a_verdict_that_cannot_be_given_is_503(service: Service):
    service.supervisor.failure = UnavailableError("the ledger is out of reach; try again")

    assert service.client.simulate_post(VERIFY, json=RECEIPT).status_code == 503
