"""Errors as problem details (RFC 9457), the one shape in which every error leaves the service."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import falcon
import orjson

from aurora_atlan.http.addresses import prefix
from aurora_atlan.http.request_ids import request_id_of

MEDIA_TYPE = "application/problem+json"

TYPE_PREFIX = "urn:problem-type:aurora-atlan:"

# What a client reads when falcon, or waitress, refuses a request without saying why.
_SENTENCES = {
    400: "The request is not valid HTTP.",
    404: "There is nothing at this address.",
    405: "This address does not answer to this method; the Allow header says which ones it does.",
    413: "The body is larger than 64 KiB.",
    431: "The request's headers are larger than 16 KiB.",
    500: "Something went wrong on our side. It is logged under the request id.",
    501: "The only transfer encoding understood is chunked.",
}


class Problem(falcon.HTTPError):
    """An error with a type of its own (``urn:problem-type:aurora-atlan:<slug>``).

    ``detail`` is one sentence for a human; ``members`` are extension members of the document.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        title = slug.replace("-", " ").capitalize()
        super().__init__(status, title=title, description=detail, headers=dict(headers or {}))
        self.slug = slug
        self.members = dict(members or {})


def render(
    status: int,
    *,
    request_id: str,
    instance: str | None = None,
    problem: Problem | None = None,
    detail: str | None = None,
) -> bytes:
    """Return the document of an error with this status; a ``problem`` adds its type and members."""
    phrase = HTTPStatus(status).phrase
    sentence = detail or _SENTENCES.get(status) or f"{phrase}."
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.slug if problem else "about:blank",
        "title": problem.title if problem else phrase,
        "status": status,
        "detail": sentence,
        "instance": instance,
        "requestId": request_id,
        "error": sentence,
    }
    if instance is None:
        del document["instance"]
    if problem:
        document.update(problem.members)
    return orjson.dumps(document)


def serialize(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    """Write any error of falcon's or ours as the body of the response (falcon's error serializer)."""
    problem = error if isinstance(error, Problem) else None
    resp.data = render(
        error.status_code,
        request_id=request_id_of(req),
        instance=prefix(req) + quote(req.path, safe="/:@!$&'()*+,;=~"),
        problem=problem,
        # Falcon's own descriptions are about the programmer's code as often as about the request.
        detail=problem.description if problem else None,
    )
    resp.content_type = MEDIA_TYPE


def retry_after(seconds: float) -> dict[str, str]:
    """Return the Retry-After header for a wait, in whole seconds from 1 to 60."""
    return {"Retry-After": str(min(60, max(1, math.ceil(seconds))))}
