"""The falcon application without its routes: strictness, conventions, and the last line of defence."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import falcon

from aurora_atlan.http.conventions import Conventions
from aurora_atlan.http.errors import add_error_handlers
from aurora_atlan.http.problems import MEDIA_TYPE, render, serialize
from aurora_atlan.http.request_ids import HEADER, new_request_id

log = logging.getLogger(__name__)


# Falcon 4.0's App takes no type arguments yet.
class Application(falcon.App):  # type: ignore[type-arg]
    """A falcon application in which every error, whatever was raised, is answered with problem details."""

    def __init__(self, *middleware: Any) -> None:
        super().__init__(middleware=[*middleware, Conventions()])
        self.req_options.keep_blank_qs_values = False
        self.set_error_serializer(serialize)
        add_error_handlers(self)

    def __call__(self, env: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request; never raises."""
        try:
            return super().__call__(env, start_response)
        except BaseException:
            # Not only Exception: a SystemExit would end waitress's worker without a word to the client.
            request_id = new_request_id()
            log.exception("500 for %s %s (%s)", env.get("REQUEST_METHOD"), env.get("PATH_INFO"), request_id)
            body = render(500, request_id=request_id)
            headers = [
                ("Content-Type", MEDIA_TYPE),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "private, no-store"),
                ("X-Content-Type-Options", "nosniff"),
                (HEADER, request_id),
            ]
            start_response("500 Internal Server Error", headers)
            return [] if env.get("REQUEST_METHOD") == "HEAD" else [body]
