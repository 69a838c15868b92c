"""The JSON Schemas (Draft 2020-12) of what is answered, each under the name that the API's description gives it."""

from __future__ import annotations

from typing import Final

from aurora_atlan.actors.messages import JobState
from aurora_atlan.actors.queue_stats import Condition
from aurora_atlan.actors.receipts import Mismatch
from aurora_atlan.http.receipts import LOST
from aurora_atlan.http.schemas import Schema
from aurora_atlan.persistence.durability import Durability
from aurora_atlan.persistence.records import ID_MAX, Reason
from aurora_atlan.persistence.webhooks import OUTCOME_TYPES

_TEXT: Final[Schema] = {"type": "string"}
_TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
_FLAG: Final[Schema] = {"type": "boolean"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_ID: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": ID_MAX}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_COUNT_OR_NULL: Final[Schema] = {"type": ["integer", "null"], "minimum": 0}
_SECONDS: Final[Schema] = {"type": "number", "minimum": 0}
_JOB_ID: Final[Schema] = {"type": "string", "format": "uuid"}
_ROLE: Final[Schema] = {"type": "string", "enum": ["USER", "ADMIN", "OPS"]}
_REASON_OR_NULL: Final[Schema] = {"type": ["string", "null"], "enum": [*map(str, Reason), None]}


def ref(name: str) -> Schema:
    """Return a reference to the schema of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(name: str) -> Schema:
    """Return the schema of a list of what has this name."""
    return {"type": "array", "items": ref(name)}


def _object(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_WAIT: Final = _object({"p50": _SECONDS, "p90": _SECONDS})

_BOOKING: Final[dict[str, Schema]] = {
    "id": _ID,
    "eventId": _ID,
    "userId": _ID,
    "quantity": {"type": "integer", "minimum": 1},
    "status": {"type": "string", "enum": ["confirmed", "cancelled"]},
    "createdAt": _TIME,
}

_QUEUED_JOB: Final[dict[str, Schema]] = {
    "jobId": _JOB_ID,
    "eventId": _ID,
    "userId": _ID,
    "quantity": {"type": "integer", "minimum": 1},
    "queueNumber": _COUNT,
    "acceptedAt": _TIME,
}

_PUBLIC_STATUS: Final[dict[str, Schema]] = {
    "jobId": _JOB_ID,
    "status": {"type": "string", "enum": [*map(str, JobState)]},
    "queuePosition": _COUNT,
    "reason": _REASON_OR_NULL,
    "result": {"type": "null"},
}

_STATUS: Final[dict[str, Schema]] = {
    **_PUBLIC_STATUS,
    "result": {"anyOf": [{"type": "null"}, _object({"booking": ref("Booking")})]},
    "eventId": _ID,
    "userId": _ID,
    "quantity": {"type": "integer", "minimum": 1},
    "queueNumber": _COUNT_OR_NULL,
    "attempts": _COUNT,
    "estimatedWaitTime": _SECONDS,
    "estimatedWait": _WAIT,
    "acceptedAt": _TIME_OR_NULL,
    "finishedAt": _TIME_OR_NULL,
}

_ACCEPTED: Final[dict[str, Schema]] = {
    "message": _TEXT,
    "jobId": _JOB_ID,
    "queuePosition": _COUNT,
    "estimatedWaitTime": _SECONDS,
    "estimatedWait": _WAIT,
    "statusEndpoint": _TEXT,
    "eventId": _ID,
    "quantity": {"type": "integer", "minimum": 1},
    "queueNumber": _COUNT_OR_NULL,
    "acceptedAt": _TIME,
    "durability": {"type": "string", "enum": [*map(str, Durability)]},
    "receipt": {"anyOf": [ref("SignedReceipt"), {"type": "null"}]},
}

_WEBHOOK: Final[dict[str, Schema]] = {
    "id": _ID,
    "url": _TEXT,
    "types": {"type": "array", "items": {"type": "string", "enum": [*OUTCOME_TYPES]}},
    "enabled": _FLAG,
    "createdAt": _TIME,
    "lastSuccessAt": _TIME_OR_NULL,
    "lastError": _TEXT_OR_NULL,
    "lastErrorAt": _TIME_OR_NULL,
}

RESPONSE_SCHEMAS: Final[dict[str, Schema]] = {
    "User": _object({"id": _ID, "name": _TEXT, "email": _TEXT, "role": _ROLE, "createdAt": _TIME}),
    "Session": _object(
        {
            "user": ref("User"),
            "token": _TEXT,
            "refreshToken": _TEXT,
            "expiresIn": {"type": "integer", "minimum": 1},
        }
    ),
    "Message": _object({"message": _TEXT}),
    "Event": _object(
        {
            "id": _ID,
            "name": _TEXT,
            "venue": _TEXT,
            "time": _TIME,
            "capacity": _COUNT,
            "booked": _COUNT,
            "available": _COUNT,
            "impressions": _COUNT,
            "capPerUser": {"type": "integer", "minimum": 1},
            "opensAt": _TIME_OR_NULL,
            "closesAt": _TIME_OR_NULL,
            "createdAt": _TIME,
            "updatedAt": _TIME,
        }
    ),
    "Availability": _object(
        {"eventId": _ID, "capacity": _COUNT, "sold": _COUNT, "available": _COUNT, "queued": _COUNT_OR_NULL}
    ),
    "Violation": _object(
        {
            "rule": _TEXT,
            "sentence": _TEXT,
            "eventId": _ID,
            "entryNumber": {"type": ["integer", "null"]},
            "bookingId": {"type": ["integer", "null"]},
            "jobId": _TEXT_OR_NULL,
        }
    ),
    "AuditReport": _object(
        {
            "clean": _FLAG,
            "at": _TIME,
            "durationS": _SECONDS,
            "eventId": _ID,
            "name": _TEXT_OR_NULL,
            # What is wrong with an event may be its numbers: they have no limits here.
            "capacity": {"type": ["integer", "null"]},
            "sold": {"type": ["integer", "null"]},
            "seatsBooked": {"type": "integer"},
            "bookingsConfirmed": _COUNT,
            "bookingsCancelled": _COUNT,
            "entries": _COUNT,
            "kinds": {"type": "object", "additionalProperties": _COUNT},
            "queueRestarts": _COUNT,
            "violationsFound": _COUNT,
            "violations": list_of("Violation"),
        }
    ),
    "Booking": _object(_BOOKING),
    "HistoryEntry": _object({**_BOOKING, "jobId": _JOB_ID, "cancelledAt": _TIME_OR_NULL, "event": ref("Event")}),
    "Cancellation": _object({"message": _TEXT, "booking": ref("Booking")}),
    "Withdrawal": _object({"message": _TEXT, "jobId": _JOB_ID}),
    "SignedReceipt": _object(
        {
            "jobId": _JOB_ID,
            "eventId": _ID,
            "quantity": {"type": "integer", "minimum": 1},
            "queueNumber": _COUNT_OR_NULL,
            "acceptedAt": _TIME,
            "signature": _TEXT,
        }
    ),
    "Accepted": _object(_ACCEPTED),
    "AcceptedAgain": _object({**_ACCEPTED, "retryOf": _JOB_ID}),
    "PublicStatus": _object(_PUBLIC_STATUS),
    "Status": _object(_STATUS, optional=("estimatedWait",)),
    "Decided": _object({**_STATUS, "statusEndpoint": _TEXT}, optional=("estimatedWait",)),
    "DecidedAgain": _object(
        {**_STATUS, "statusEndpoint": _TEXT, "retryOf": _JOB_ID},
        optional=("estimatedWait",),
    ),
    "Verdict": _object(
        {
            "valid": _FLAG,
            "mismatch": {"type": ["string", "null"], "enum": [*map(str, Mismatch), None]},
            "jobId": _JOB_ID,
            "status": {"type": ["string", "null"], "enum": [*map(str, JobState), LOST, None]},
            "reason": _REASON_OR_NULL,
        }
    ),
    "Analytics": _object(
        {
            "totalBookings": _COUNT,
            "popularEvents": list_of("Event"),
            "utilization": _object(
                {"capacity": _COUNT, "booked": _COUNT, "rate": {"type": "number", "minimum": 0, "maximum": 1}}
            ),
        }
    ),
    "QueueStats": _object(
        {
            "stats": _object(dict.fromkeys(("waiting", "active", "completed", "failed", "total"), _COUNT)),
            "health": _object(
                {
                    "status": {"type": "string", "enum": [*map(str, Condition)]},
                    "healthy": _FLAG,
                    "stalledJobs": _COUNT,
                    "quarantined": _COUNT,
                    "paused": {"type": ["boolean", "null"]},
                    "oldestWaitingSeconds": _SECONDS,
                }
            ),
        }
    ),
    "QueuedJob": _object(_QUEUED_JOB),
    "QueueDetails": _object({"waiting": list_of("QueuedJob"), "active": list_of("QueuedJob")}),
    "Cleaned": _object({"message": _TEXT, "removed": _COUNT}),
    "DeadLetter": _object(
        {
            **_QUEUED_JOB,
            "queueNumber": _COUNT_OR_NULL,
            "reason": {"type": "string", "enum": [*map(str, Reason)]},
            "failedAt": _TIME,
        }
    ),
    "AuditLogEntry": _object(
        {
            "id": _ID,
            "at": _TIME,
            "actorId": {"type": ["integer", "null"]},
            "action": _TEXT,
            "subject": _TEXT,
            "ip": _TEXT_OR_NULL,
            "requestId": _TEXT_OR_NULL,
            # Whatever was done is told as it was noted then.
            "before": {},
            "after": {},
        }
    ),
    "Webhook": _object(_WEBHOOK),
    "NewWebhook": _object({**_WEBHOOK, "secret": _TEXT}),
    "WebhookStanding": _object(
        {**_WEBHOOK, "waiting": _COUNT, "failed": _COUNT, "givenUp": list_of("GivenUpDelivery")}
    ),
    "GivenUpDelivery": _object(
        {"eventId": _COUNT, "entryNumber": _COUNT, "attempts": _COUNT, "failedAt": _TIME, "error": _TEXT}
    ),
    "NewSecret": _object({"secret": _TEXT, "oldSecretUntil": _TIME}),
    "Alive": _object({"status": {"const": "alive"}}),
    "Health": _object(
        {
            "status": {"type": "string", "enum": ["ready", "not ready", "draining"]},
            "degraded": _FLAG,
            "components": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {"ok": _FLAG, "detail": _TEXT},
                    "required": ["ok", "detail"],
                },
            },
        }
    ),
    "Problem": _object(
        {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "instance": _TEXT,
            "requestId": _TEXT,
            "error": _TEXT,
            "errors": {"type": "array", "items": _object({"pointer": _TEXT, "detail": _TEXT})},
            "sold": _COUNT,
            "confirmed": _COUNT,
            "queued": _COUNT,
            "outcome": ref("Status"),
            "jobId": _JOB_ID,
            "statusEndpoint": _TEXT,
        },
        optional=("instance", "errors", "sold", "confirmed", "queued", "outcome", "jobId", "statusEndpoint"),
    ),
}
