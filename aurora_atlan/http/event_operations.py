"""The description of /api/events."""

from __future__ import annotations

from typing import Final

from aurora_atlan.http.operations import ADMINISTRATORS, OPERATORS, Body, Operation, Success
from aurora_atlan.http.response_schemas import list_of, ref

_TAG: Final = "events"
_UNCHANGED: Final = Success("Nothing has changed since.", headers=("ETag",))

EVENT_OPERATIONS: Final = (
    Operation(
        name="listEvents",
        method="GET",
        path="/api/events/view",
        summary="List events, all of them or those that meet every condition",
        tag=_TAG,
        parameters=("q", "from", "to", "limit", "cursor", "If-None-Match"),
        answers={
            200: Success("A page, in the order of their ids.", list_of("Event"), ("ETag", "Link")),
            304: _UNCHANGED,
        },
        problems=("invalid-query", "too-many-requests", "unavailable"),
    ),
    Operation(
        name="viewEvent",
        method="GET",
        path="/api/events/{id}/view",
        summary="Show an event, and count a page view",
        tag=_TAG,
        parameters=("If-None-Match",),
        answers={200: Success("The event.", ref("Event"), ("ETag",)), 304: _UNCHANGED},
        problems=("unknown-event", "too-many-requests", "unavailable"),
    ),
    Operation(
        name="createEvent",
        method="POST",
        path="/api/events/create",
        summary="Create an event",
        tag=_TAG,
        roles=ADMINISTRATORS,
        body=Body.REQUIRED,
        schema="CREATE_EVENT",
        answers={201: Success("The event.", ref("Event"), ("Location",))},
        problems=("unavailable",),
    ),
    Operation(
        name="updateEvent",
        method="PUT",
        path="/api/events/{id}/update",
        summary="Change the members that are given",
        tag=_TAG,
        roles=ADMINISTRATORS,
        parameters=("If-Match",),
        body=Body.REQUIRED,
        schema="UPDATE_EVENT",
        answers={200: Success("The event as it is now.", ref("Event"), ("ETag",))},
        problems=(
            "malformed-if-match",
            "unknown-event",
            "capacity-below-sold",
            "sale-has-begun",
            "precondition-failed",
            "unavailable",
        ),
    ),
    Operation(
        name="deleteEvent",
        method="DELETE",
        path="/api/events/{id}/delete",
        summary="Delete an event; nothing is erased",
        tag=_TAG,
        roles=ADMINISTRATORS,
        parameters=("force",),
        answers={200: Success("It is deleted.", ref("Message"))},
        problems=("invalid-query", "unknown-event", "event-in-use", "unavailable"),
    ),
    Operation(
        name="eventAvailability",
        method="GET",
        path="/api/events/{id}/availability",
        summary="Tell what is sold, what is left and how many jobs wait",
        tag=_TAG,
        answers={200: Success("How the sale stands.", ref("Availability"))},
        problems=("unknown-event", "too-many-requests", "unavailable"),
    ),
    Operation(
        name="auditEvent",
        method="GET",
        path="/api/events/{id}/audit",
        summary="Recompute an event from its rows and replay its ledger",
        tag=_TAG,
        roles=OPERATORS,
        answers={200: Success("What was found; violations are an answer, too.", ref("AuditReport"))},
        problems=("unknown-event", "busy", "unavailable"),
    ),
)
