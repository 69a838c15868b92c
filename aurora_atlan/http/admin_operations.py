"""The description of /api/admin."""

from __future__ import annotations

from typing import Final

from aurora_atlan.http.operations import ADMINISTRATORS, OPERATORS, Body, Operation, Success
from aurora_atlan.http.response_schemas import list_of, ref

_TAG: Final = "administration"
_QUEUE: Final = "queue"
_DONE: Final = {200: Success("Done.", ref("Message"))}
_USER: Final = {200: Success("The user.", ref("User"))}

ADMIN_OPERATIONS: Final = (
    Operation(
        name="analytics",
        method="GET",
        path="/api/admin/analytics",
        summary="Tell what is sold of all events",
        tag=_TAG,
        roles=ADMINISTRATORS,
        answers={200: Success("The figures.", ref("Analytics"))},
        problems=("unavailable",),
    ),
    Operation(
        name="viewUser",
        method="GET",
        path="/api/admin/users/{id}",
        summary="Show a user",
        tag=_TAG,
        roles=ADMINISTRATORS,
        answers=_USER,
        problems=("unknown-user", "unavailable"),
    ),
    Operation(
        name="changeRole",
        method="PUT",
        path="/api/admin/users/{id}/role",
        summary="Give a user a role",
        tag=_TAG,
        roles=ADMINISTRATORS,
        body=Body.REQUIRED,
        schema="CHANGE_ROLE",
        answers=_USER,
        problems=("unknown-user", "last-admin", "unavailable"),
    ),
    Operation(
        name="auditLog",
        method="GET",
        path="/api/admin/audit",
        summary="List what was done in administration, newest first",
        tag=_TAG,
        roles=ADMINISTRATORS,
        parameters=("limit", "cursor"),
        answers={200: Success("A page of it.", list_of("AuditLogEntry"), ("Link",))},
        problems=("invalid-query", "unavailable"),
    ),
    Operation(
        name="pauseQueue",
        method="POST",
        path="/api/admin/queue/pause",
        summary="Decide nothing more, for one event or for all",
        tag=_QUEUE,
        roles=OPERATORS,
        parameters=("eventId",),
        answers=_DONE,
        problems=("malformed-id", "unknown-event", "unavailable"),
    ),
    Operation(
        name="resumeQueue",
        method="POST",
        path="/api/admin/queue/resume",
        summary="Go on, with one event or with all",
        tag=_QUEUE,
        roles=OPERATORS,
        parameters=("eventId",),
        answers=_DONE,
        problems=("malformed-id", "unknown-event", "unavailable"),
    ),
    Operation(
        name="queueStats",
        method="GET",
        path="/api/admin/queue/stats",
        summary="Tell how much waits, and whether it moves",
        tag=_QUEUE,
        roles=OPERATORS,
        answers={200: Success("The queue in numbers.", ref("QueueStats"))},
        problems=("unavailable",),
    ),
    Operation(
        name="queueDetails",
        method="GET",
        path="/api/admin/queue/details",
        summary="List the undecided jobs",
        tag=_QUEUE,
        roles=OPERATORS,
        parameters=("eventId", "limit", "cursor"),
        answers={200: Success("A page of them.", ref("QueueDetails"), ("Link",))},
        problems=("invalid-query", "malformed-id", "unavailable"),
    ),
    Operation(
        name="cleanQueue",
        method="POST",
        path="/api/admin/queue/clean",
        summary="Have the queue forget finished jobs; the ledger keeps their answers",
        tag=_QUEUE,
        roles=OPERATORS,
        parameters=("state", "olderThan", "cleanLimit"),
        body=Body.REFUSED,
        answers={200: Success("How many records were removed.", ref("Cleaned"))},
        problems=("invalid-query", "unavailable"),
    ),
    Operation(
        name="deadLetters",
        method="GET",
        path="/api/admin/queue/failed",
        summary="List the jobs that could not be decided, newest first",
        tag=_QUEUE,
        roles=OPERATORS,
        parameters=("limit", "cursor"),
        answers={200: Success("A page of them.", list_of("DeadLetter"), ("Link",))},
        problems=("invalid-query", "unavailable"),
    ),
    Operation(
        name="retryJob",
        method="POST",
        path="/api/admin/queue/retry/{jobId}",
        summary="Try a dead letter again, as a new job",
        tag=_QUEUE,
        roles=OPERATORS,
        body=Body.REFUSED,
        answers={
            200: Success("Decided at once, as the queue is away.", ref("DecidedAgain"), ("Location",)),
            202: Success("Accepted, to be decided.", ref("AcceptedAgain"), ("Location", "Retry-After")),
        },
        problems=(
            "unknown-job",
            "unknown-event",
            "not-failed",
            "too-many-in-flight",
            "queue-full",
            "event-quarantined",
            "durability-unmet",
            "unavailable",
        ),
    ),
)
