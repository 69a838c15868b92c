"""The description of the API in OpenAPI 3.1, made of the schemas that requests are validated with."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from typing import Any, Final

import orjson

from aurora_atlan._version import __version__
from aurora_atlan.http import schemas
from aurora_atlan.http.account_operations import ACCOUNT_OPERATIONS
from aurora_atlan.http.admin_operations import ADMIN_OPERATIONS
from aurora_atlan.http.booking_operations import BOOKING_OPERATIONS
from aurora_atlan.http.event_operations import EVENT_OPERATIONS
from aurora_atlan.http.operation_parameters import HEADERS, PARAMETERS, PATH_PARAMETERS
from aurora_atlan.http.operations import Body, Operation, Success
from aurora_atlan.http.problem_types import PROBLEM_TYPES, UNTYPED
from aurora_atlan.http.problems import MEDIA_TYPE, TYPE_PREFIX
from aurora_atlan.http.response_schemas import RESPONSE_SCHEMAS, ref
from aurora_atlan.http.schemas import Schema
from aurora_atlan.http.service_operations import SERVICE_OPERATIONS
from aurora_atlan.http.webhook_operations import WEBHOOK_OPERATIONS

OPERATIONS: Final = (
    *ACCOUNT_OPERATIONS,
    *EVENT_OPERATIONS,
    *BOOKING_OPERATIONS,
    *ADMIN_OPERATIONS,
    *WEBHOOK_OPERATIONS,
    *SERVICE_OPERATIONS,
)

_ABOUT: Final = (
    "An event booking service that never oversells. Every GET also answers HEAD. Ask for booking with a token from "
    "logging in, and then for the job's status until it is `completed` or `failed`. Decide by the status and the "
    "`type` of a problem, never by its words."
)
_SECURITY: Final = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
_HEADERS_OF: Final[dict[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}
_NOTHING_THERE: Final = {404: "there is nothing at this address"}


def openapi_document() -> dict[str, Any]:
    """Return the document, as JSON has it."""
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for operation in OPERATIONS:
        paths[operation.path][operation.method.lower()] = _operation(operation)
    requests = {operation.schema for operation in OPERATIONS if operation.schema is not None}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Aurora-Atlan", "version": __version__, "summary": "Booking events", "description": _ABOUT},
        # Where this document is, so that it is right under any prefix.
        "servers": [{"url": "."}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in OPERATIONS)],
        "paths": paths,
        "components": {
            "schemas": {
                **{_request_name(name): getattr(schemas, name) for name in sorted(requests)},
                **RESPONSE_SCHEMAS,
            },
            "headers": HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


@functools.cache
def rendered() -> bytes:
    """Return the document as it is sent."""
    return orjson.dumps(openapi_document())


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": _who(operation),
        "tags": [operation.tag],
        "security": _security(operation),
        "parameters": [
            *(PATH_PARAMETERS[name] for name in operation.path_parameters),
            *(PARAMETERS[name] for name in operation.parameters),
        ],
        "responses": _responses(operation),
    }
    if operation.roles is not None:
        described["x-roles"] = sorted(operation.roles)
    if operation.schema is not None:
        described["requestBody"] = {
            "required": operation.body is Body.REQUIRED,
            "content": {"application/json": {"schema": ref(_request_name(operation.schema))}},
        }
    return described


def _who(operation: Operation) -> str:
    if operation.roles is not None:
        return f"For {', '.join(sorted(operation.roles))}."
    return "For anyone; a token that is sent must be good." if operation.token_is_optional else "For anyone."


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.roles is not None:
        return [{"bearer": []}]
    return [{}, {"bearer": []}] if operation.token_is_optional else []


def _responses(operation: Operation) -> dict[str, Any]:
    types: defaultdict[int, list[str]] = defaultdict(list)
    for slug in operation.problem_types:
        types[PROBLEM_TYPES[slug][0]].append(slug)
    untyped = UNTYPED | (_NOTHING_THERE if operation.path_parameters else {})
    problems = {status: _problem(status, types.get(status, []), untyped.get(status)) for status in {*types, *untyped}}
    answers = {status: _success(answer) for status, answer in operation.answers.items()}
    return {str(status): response for status, response in sorted((problems | answers).items())}


def _success(answer: Success) -> dict[str, Any]:
    described = {"description": answer.description, "headers": _headers(answer.headers)}
    if answer.schema is not None:
        described["content"] = {answer.media_type: {"schema": answer.schema}}
    return described


def _problem(status: int, slugs: list[str], untyped: str | None) -> dict[str, Any]:
    meanings = [f"`{slug}`: {PROBLEM_TYPES[slug][1]}" for slug in slugs]
    types = [TYPE_PREFIX + slug for slug in slugs]
    if untyped is not None:
        meanings.append(f"`about:blank`: {untyped}")
        types.append("about:blank")
    schema: Schema = {"allOf": [ref("Problem"), {"properties": {"status": {"const": status}, "type": {"enum": types}}}]}
    return {
        "description": "; ".join(meanings),
        "headers": _headers(_HEADERS_OF.get(status, ())),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }


def _headers(names: tuple[str, ...]) -> dict[str, Schema]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def _request_name(constant: str) -> str:
    # CREATE_EVENT is CreateEventRequest to clients.
    return re.sub(r"(?:^|_)([A-Z])([A-Z]*)", lambda word: word[1] + word[2].lower(), constant) + "Request"
