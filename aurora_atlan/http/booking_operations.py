"""The description of /api/bookings."""

from __future__ import annotations

from typing import Final

from aurora_atlan.http.operations import BUYERS, Body, Operation, Success
from aurora_atlan.http.response_schemas import list_of, ref

_TAG: Final = "bookings"

BOOKING_OPERATIONS: Final = (
    Operation(
        name="book",
        method="POST",
        path="/api/bookings/{eventId}/book",
        summary="Put a booking attempt into the event's queue",
        tag=_TAG,
        roles=BUYERS,
        parameters=("Idempotency-Key",),
        body=Body.OPTIONAL,
        schema="BOOK",
        answers={
            200: Success("Decided at once, as the queue is away.", ref("Decided"), ("Location",)),
            202: Success(
                "Accepted, to be decided.", ref("Accepted"), ("Location", "Retry-After", "Idempotent-Replayed")
            ),
        },
        problems=(
            "malformed-idempotency-key",
            "unknown-event",
            "idempotency-key-reused",
            "too-many-in-flight",
            "too-many-requests",
            "queue-full",
            "event-quarantined",
            "durability-unmet",
            "unavailable",
        ),
    ),
    Operation(
        name="bookingStatus",
        method="GET",
        path="/api/bookings/status/{jobId}",
        summary="Tell where a job stands, at once or when it is decided",
        tag=_TAG,
        token_is_optional=True,
        parameters=("Prefer",),
        answers={
            200: Success(
                "All of it to its owner and to an ADMIN, the first five members to everybody else.",
                {"oneOf": [ref("Status"), ref("PublicStatus")]},
                ("Retry-After", "Preference-Applied"),
            )
        },
        problems=("unknown-job", "unavailable"),
    ),
    Operation(
        name="verifyReceipt",
        method="POST",
        path="/api/bookings/receipts/verify",
        summary="Tell what a receipt is worth",
        tag=_TAG,
        body=Body.REQUIRED,
        schema="RECEIPT",
        answers={200: Success("Whether it is ours, and what became of its job.", ref("Verdict"))},
        problems=("unavailable",),
    ),
    Operation(
        name="withdraw",
        method="DELETE",
        path="/api/bookings/jobs/{jobId}",
        summary="Take a waiting attempt out of the queue",
        tag=_TAG,
        roles=BUYERS,
        answers={200: Success("It is withdrawn.", ref("Withdrawal"))},
        problems=("unknown-job", "already-decided", "unavailable"),
    ),
    Operation(
        name="cancel",
        method="DELETE",
        path="/api/bookings/{id}/cancel",
        summary="Cancel a booking and free its seats, exactly once",
        tag=_TAG,
        roles=BUYERS,
        answers={200: Success("It is cancelled.", ref("Cancellation"))},
        problems=("unknown-booking", "unavailable"),
    ),
    Operation(
        name="history",
        method="GET",
        path="/api/bookings/history",
        summary="List one's bookings, newest first, each with its event",
        tag=_TAG,
        roles=BUYERS,
        parameters=("limit", "cursor"),
        answers={200: Success("A page of them.", list_of("HistoryEntry"), ("Link",))},
        problems=("invalid-query", "unavailable"),
    ),
)
