"""The description of what is served beside /api: health, and the description itself."""

from __future__ import annotations

from typing import Final

from aurora_atlan.http.operations import Operation, Success
from aurora_atlan.http.response_schemas import ref

_HEALTH: Final = "health"
_DESCRIPTION: Final = "description"
_UNCHANGED: Final = Success("Nothing has changed since.", headers=("ETag",))
_TEXT: Final = {"type": "string"}

SERVICE_OPERATIONS: Final = (
    Operation(
        name="live",
        method="GET",
        path="/livez",
        summary="Tell that the process serves",
        tag=_HEALTH,
        answers={200: Success("It does.", ref("Alive"))},
    ),
    Operation(
        name="ready",
        method="GET",
        path="/readyz",
        summary="Tell whether bookings can be accepted",
        tag=_HEALTH,
        answers={200: Success("They can.", ref("Health")), 503: Success("They cannot.", ref("Health"))},
    ),
    Operation(
        name="description",
        method="GET",
        path="/openapi.json",
        summary="Describe the API, in OpenAPI 3.1",
        tag=_DESCRIPTION,
        parameters=("If-None-Match",),
        answers={200: Success("This document.", {"type": "object"}, ("ETag",)), 304: _UNCHANGED},
        negotiates=False,
    ),
    Operation(
        name="documentation",
        method="GET",
        path="/docs",
        summary="Show the description as a page",
        tag=_DESCRIPTION,
        parameters=("If-None-Match",),
        answers={200: Success("The page.", _TEXT, ("ETag",), "text/html"), 304: _UNCHANGED},
        negotiates=False,
    ),
    Operation(
        name="documentationFile",
        method="GET",
        path="/docs/{file}",
        summary="Give a file of that page",
        tag=_DESCRIPTION,
        parameters=("If-None-Match",),
        answers={
            200: Success("A style sheet or a script.", _TEXT, ("ETag",), "text/*"),
            304: _UNCHANGED,
        },
        negotiates=False,
    ),
)
