"""Pages of other origins that may call the API from a browser (CORS, in the Fetch standard), as falcon middleware."""

from __future__ import annotations

from typing import Any, Final

import falcon

# What a page may read of an answer beyond its body.
EXPOSED: Final = (
    "ETag, Idempotent-Replayed, Link, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, "
    "traceparent, X-Request-Id"
)
# What a page may send.
ACCEPTED: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer, traceparent, X-Request-Id"
)
# How long a browser need not ask again; two hours is as long as any remembers.
_PREFLIGHT_S: Final = "7200"


class CrossOrigin:
    """Tells browsers that pages of these origins, and no others, may use the API.

    A page has no more rights by it: it needs a token like everybody. Cookies are not used, so credentials in
    the sense of the standard are never allowed.
    """

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origins)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _req_succeeded: bool
    ) -> None:
        """Add the headers for an allowed origin, and to a preflight's answer those that it asks for."""
        # Also without an Origin: a cache must not give the answer to a page as it is.
        resp.append_header("Vary", "Origin")
        origin: Any = req.env.get("HTTP_ORIGIN")
        if origin not in self._origins:
            return
        resp.set_header("Access-Control-Allow-Origin", origin)
        if req.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in req.env:
            methods = resp.get_header("Allow")
            # Without it nothing is there, and nothing is allowed.
            if methods is not None:
                resp.set_header("Access-Control-Allow-Methods", methods)
                resp.set_header("Access-Control-Allow-Headers", ACCEPTED)
                resp.set_header("Access-Control-Max-Age", _PREFLIGHT_S)
        else:
            resp.set_header("Access-Control-Expose-Headers", EXPOSED)
