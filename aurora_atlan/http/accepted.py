"""How a booking attempt that was accepted is answered, whoever made it."""

from __future__ import annotations

from typing import Any

import falcon

from aurora_atlan.actors.messages import JobStatus, Receipt
from aurora_atlan.http.addresses import status_address
from aurora_atlan.http.problems import retry_after
from aurora_atlan.http.representations import booking_json, respond
from aurora_atlan.http.times import format_optional_time
from aurora_atlan.persistence.ledger import canonical_time


def respond_accepted(req: falcon.Request, resp: falcon.Response, receipt: Receipt, **members: Any) -> None:
    """Answer 202, or 200 with its final status for an attempt that was decided at once; ``members`` are added."""
    endpoint = status_address(req, receipt.job_id)
    if receipt.replayed:
        resp.set_header("Idempotent-Replayed", "true")
    if receipt.answer is not None:
        resp.set_header("Location", endpoint)
        respond(resp, {**full_status(receipt.answer), "statusEndpoint": endpoint, **members})
        return
    resp.status = falcon.HTTP_202
    resp.set_headers({"Location": endpoint, **retry_after(receipt.estimated_wait_s)})
    # In the one spelling that is signed.
    accepted_at = canonical_time(receipt.accepted_at)
    respond(
        resp,
        {
            "message": "Your booking is in the queue; ask the statusEndpoint for its outcome.",
            "jobId": receipt.job_id,
            "queuePosition": receipt.queue_position,
            "estimatedWaitTime": round(receipt.estimated_wait_s, 3),
            "estimatedWait": _wait(receipt),
            "statusEndpoint": endpoint,
            "eventId": receipt.event_id,
            "quantity": receipt.quantity,
            "queueNumber": receipt.queue_number,
            "acceptedAt": accepted_at,
            "durability": receipt.durability,
            "receipt": _signed(receipt, accepted_at),
            **members,
        },
    )


def public_status(status: JobStatus) -> dict[str, Any]:
    """Return what anybody may know who has the job's id."""
    return {
        "jobId": str(status.job_id),
        "status": status.status.value,
        "queuePosition": status.queue_position,
        "reason": None if status.reason is None else status.reason.value,
        "result": None,
    }


def full_status(status: JobStatus) -> dict[str, Any]:
    """Return what its owner and administrators may know."""
    return {
        **public_status(status),
        "result": None if status.booking is None else {"booking": booking_json(status.booking)},
        "eventId": status.event_id,
        "userId": status.user_id,
        "quantity": status.quantity,
        "queueNumber": status.queue_number,
        "attempts": status.attempts,
        "estimatedWaitTime": round(status.estimated_wait_s, 3),
        **({} if status.finished else {"estimatedWait": _wait(status)}),
        "acceptedAt": format_optional_time(status.accepted_at),
        "finishedAt": format_optional_time(status.finished_at),
    }


def _wait(waiting: Receipt | JobStatus) -> dict[str, float]:
    return {"p50": round(waiting.estimated_wait_s, 3), "p90": round(waiting.estimated_wait_p90_s, 3)}


def _signed(receipt: Receipt, accepted_at: str) -> dict[str, Any] | None:
    if receipt.signature is None:
        return None
    return {
        "jobId": receipt.job_id,
        "eventId": receipt.event_id,
        "quantity": receipt.quantity,
        "queueNumber": receipt.queue_number,
        "acceptedAt": accepted_at,
        "signature": receipt.signature,
    }
