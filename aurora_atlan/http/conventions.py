"""What every response has in common, as falcon middleware."""

from __future__ import annotations

from typing import Any

import falcon

from aurora_atlan.http import request_ids, trace_context
from aurora_atlan.http.docs_pages import Description, DocsFile, DocsPage
from aurora_atlan.http.problems import Problem


class Conventions:
    """Refuses clients that accept no JSON, and sets the headers that every response carries."""

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, resource: object, _params: dict[str, Any]
    ) -> None:
        """Raise a 406 problem before any work is done for an answer that the client would not read."""
        accept = req.env.get("HTTP_ACCEPT")
        if accept is None or accept in ("*/*", "application/json"):
            return
        if isinstance(resource, Description | DocsPage | DocsFile):
            # Files: each is what it is.
            return
        if not req.client_accepts(falcon.MEDIA_JSON):
            raise Problem(406, "not-acceptable", "Answers are application/json; the Accept header excludes that.")

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _req_succeeded: bool
    ) -> None:
        """Set the headers; nothing is cached unless its resource, having succeeded, said so."""
        if resp.get_header("Cache-Control") is None:
            resp.set_header("Cache-Control", "private, no-store")
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.set_header(request_ids.HEADER, request_ids.request_id_of(req))
        traceparent = trace_context.traceparent_of(req)
        if traceparent is not None:
            resp.set_header(trace_context.HEADER, traceparent)
