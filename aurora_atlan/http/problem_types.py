"""The types of problems that the API answers with: each one's status, and what it means."""

from __future__ import annotations

from typing import Final

PROBLEM_TYPES: Final[dict[str, tuple[int, str]]] = {
    "validation-failed": (400, "a member is missing, unknown or not accepted; `errors` lists up to 20"),
    "malformed-body": (400, "not strict JSON, or missing"),
    "malformed-id": (400, "not an id"),
    "malformed-if-match": (400, "neither `*` nor a list of entity tags"),
    "malformed-idempotency-key": (400, "empty, too long, or with spaces or other than ASCII"),
    "invalid-query": (400, "a query parameter is not accepted"),
    "unexpected-body": (400, "there is a body, and none is taken; nothing was done"),
    "email-in-use": (400, "the address has an account"),
    "invalid-credentials": (400, "address or password is wrong, or changed at this moment"),
    "unauthenticated": (401, "no token, or not a bearer token"),
    "invalid-token": (401, "the token is expired, void, malformed or not ours"),
    "invalid-refresh-token": (401, "the refresh token is unknown, expired, revoked or was used before"),
    "forbidden": (403, "the token's role may not"),
    "unknown-event": (404, "there is no such event, or it was deleted"),
    "unknown-job": (404, "there is no such job, or it was lost undecided; no seat is held"),
    "unknown-booking": (404, "the caller has no booking with this id"),
    "unknown-user": (404, "there is no user with this id"),
    "unknown-webhook": (404, "there is no webhook with this id"),
    "not-acceptable": (406, "`Accept` excludes `application/json`"),
    "already-decided": (409, "the job has its answer, which is in `outcome`; it cannot be withdrawn"),
    "capacity-below-sold": (409, "more tickets are sold, `sold` in number, than the event would have"),
    "sale-has-begun": (409, "jobs have been decided by the `capPerUser` that there is"),
    "event-in-use": (409, "tickets are sold (`confirmed`), or jobs wait (`queued`)"),
    "last-admin": (409, "nobody else who can log in is an administrator"),
    "not-failed": (409, "the job is no dead letter: it has another answer, or none yet"),
    "too-many-webhooks": (409, "there are as many webhooks as there may be"),
    "precondition-failed": (412, "the event was changed since it was read"),
    "body-too-large": (413, "the body is larger than 64 KiB"),
    "unsupported-media-type": (415, "not `application/json` in UTF-8, or with a Content-Encoding"),
    "idempotency-key-reused": (422, "the key was used for another quantity"),
    "too-many-requests": (429, "the caller, or the address, asks more often than allowed"),
    "too-many-in-flight": (429, "the caller has too many undecided jobs for this event; not accepted"),
    "queue-full": (503, "too many jobs wait for this event; not accepted"),
    "event-quarantined": (503, "this event is held back after repeated failures; not accepted"),
    "durability-unmet": (503, "the stores keep bookings less safely than the operator requires; not accepted"),
    "busy": (503, "too many people are logging in at once, or another audit is under way"),
    "unavailable": (503, "a store is out of reach, or the service is stopping; with `jobId` it may have been accepted"),
}

# Problems without a type of their own, which any address may answer with.
UNTYPED: Final[dict[int, str]] = {
    400: "the request is not valid HTTP",
    413: "the body is larger than 64 KiB",
    431: "the headers are larger than 16 KiB",
    500: "a fault of the service; it is logged under `requestId`",
    501: "a transfer encoding other than chunked",
}
