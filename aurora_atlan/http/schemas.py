"""The JSON Schemas (Draft 2020-12) of every request body.

``x-detail`` says what a value must be, in the words that a client reads when it is not.
"""

from __future__ import annotations

from typing import Any, Final

from aurora_atlan.actors.webhook_addresses import URL_RULE
from aurora_atlan.persistence.records import CAP_PER_USER_MAX, CAPACITY_MAX, ID_MAX, QUANTITY_MAX
from aurora_atlan.persistence.webhooks import OUTCOME_TYPES

Schema = dict[str, Any]

_EMAIL: Schema = {
    "type": "string",
    "minLength": 3,
    "maxLength": 254,
    "x-detail": "must be an e-mail address of 3 to 254 characters",
}

_PASSWORD: Schema = {
    "type": "string",
    "minLength": 8,
    "maxLength": 128,
    "x-detail": "must be a password of 8 to 128 characters",
}

# Looser: what could never be one is a wrong one, not an invalid request.
_SECRET: Schema = {"type": "string", "maxLength": 1024, "x-detail": "must be a text"}


def _text(length_max: int) -> Schema:
    # \S: more than white space.
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": length_max,
        "pattern": r"\S",
        "x-detail": f"must be a text of 1 to {length_max} characters that is not blank",
    }


def _integer(least: int, most: int) -> Schema:
    return {
        "type": "integer",
        "minimum": least,
        "maximum": most,
        "x-detail": f"must be an integer from {least} to {most}, written without quotes or a decimal point",
    }


def _time() -> Schema:
    return {
        "type": "string",
        "format": "date-time",
        "x-detail": "must be an RFC 3339 date-time with an offset, such as 2027-06-01T20:00:00+02:00",
    }


def _time_or_null() -> Schema:
    time = _time()
    return {**time, "type": ["string", "null"], "x-detail": f"{time['x-detail']}, or null for no limit"}


def _object(properties: dict[str, Schema], *, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


REGISTER: Final = _object(
    {
        "name": _text(200),
        "email": _EMAIL,
        "password": _PASSWORD,
    },
    required=["name", "email", "password"],
)

LOGIN: Final = _object({"email": _SECRET, "password": _SECRET}, required=["email", "password"])

REFRESH: Final = _object({"refreshToken": _SECRET}, required=["refreshToken"])

CHANGE_PASSWORD: Final = _object(
    {"currentPassword": _SECRET, "newPassword": _PASSWORD}, required=["currentPassword", "newPassword"]
)

CHANGE_ROLE: Final = _object(
    {"role": {"type": "string", "enum": ["USER", "ADMIN", "OPS"], "x-detail": "must be USER, ADMIN or OPS"}},
    required=["role"],
)

_TYPES_RULE = f"must be a list of {', '.join(OUTCOME_TYPES)}, each at most once"
_OUTCOME_TYPES: Schema = {
    "type": "array",
    "items": {"type": "string", "enum": [*OUTCOME_TYPES], "x-detail": _TYPES_RULE},
    "minItems": 1,
    "uniqueItems": True,
    "x-detail": _TYPES_RULE,
}

CREATE_WEBHOOK: Final = _object(
    {"url": {"type": "string", "minLength": 1, "maxLength": 1000, "x-detail": URL_RULE}, "types": _OUTCOME_TYPES},
    required=["url"],
)

CHANGE_WEBHOOK: Final = _object(
    {"enabled": {"type": "boolean", "x-detail": "must be true or false"}}, required=["enabled"]
)

CREATE_EVENT: Final = _object(
    {
        "name": _text(200),
        "venue": _text(200),
        "time": _time(),
        "capacity": _integer(1, CAPACITY_MAX),
        "capPerUser": _integer(1, CAP_PER_USER_MAX),
        "opensAt": _time(),
        "closesAt": _time(),
    },
    required=["name", "venue", "time", "capacity"],
)

UPDATE_EVENT: Final[Schema] = {
    **_object(
        {
            **CREATE_EVENT["properties"],
            "opensAt": _time_or_null(),
            "closesAt": _time_or_null(),
        },
        required=[],
    ),
    "minProperties": 1,
    "x-detail": "must be an object with at least one member to change",
}

RECEIPT: Final = _object(
    {
        "jobId": {
            "type": "string",
            "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
            # $ also matches before a line end.
            "maxLength": 36,
            "x-detail": "must be a job id: a UUID in lower case",
        },
        "eventId": _integer(1, ID_MAX),
        "quantity": _integer(1, QUANTITY_MAX),
        "queueNumber": _integer(1, ID_MAX),
        "acceptedAt": _time(),
        "signature": {"type": "string", "maxLength": 256, "x-detail": "must be a text of up to 256 characters"},
    },
    required=["jobId", "eventId", "quantity", "queueNumber", "acceptedAt", "signature"],
)

BOOK: Final = _object({"quantity": _integer(1, QUANTITY_MAX)}, required=[])
