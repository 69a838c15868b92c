"""Resource: what a receipt is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import falcon

from aurora_atlan.actors.receipts import SignedReceipt
from aurora_atlan.http import schemas
from aurora_atlan.http.bodies import read_json
from aurora_atlan.http.representations import respond
from aurora_atlan.http.times import parse_time
from aurora_atlan.http.validation import Validator
from aurora_atlan.persistence.receipts import Claim

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor

LOST = "lost"


class VerifyReceipt:
    """POST /api/bookings/receipts/verify."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._validator = Validator(schemas.RECEIPT)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Tell whether we gave that receipt, and what became of its job."""
        receipt = receipt_of(self._validator.check(read_json(req)))
        verdict = self._supervisor.verify_receipt(receipt)
        status = verdict.status
        respond(
            resp,
            {
                "valid": verdict.valid,
                "mismatch": None if verdict.mismatch is None else verdict.mismatch.value,
                "jobId": str(receipt.claim.job_id),
                "status": LOST if verdict.lost else None if status is None else status.status.value,
                "reason": None if status is None or status.reason is None else status.reason.value,
            },
        )


def receipt_of(document: dict[str, Any]) -> SignedReceipt:
    """Return the receipt in a document that the schema RECEIPT accepts."""
    claim = Claim(
        job_id=UUID(document["jobId"]),
        event_id=document["eventId"],
        quantity=document["quantity"],
        queue_number=document["queueNumber"],
        accepted_at=parse_time(document["acceptedAt"]),
    )
    return SignedReceipt(claim, document["signature"])
