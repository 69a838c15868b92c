"""Baseline: the same web framework and server, verifying a token per request, and doing nothing.

What it leaves undone costs nothing, so its rate is the one to be near. ``python -m benchmarks.bare`` serves on PORT.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import falcon
import jwt
import orjson
import waitress

from aurora_atlan.commands.process import collect_rarely, spread_waiting_threads
from benchmarks.crowd import SECRET

# Of 8, 16 and 32 on one core: 8 were as good, 32 some percent worse.
_THREADS = 16
_CONNECTIONS_MAX = 800
_BACKLOG = 1024
_ACCEPTED = orjson.dumps({"message": "Accepted."})


class Book:
    """POST /api/bookings/{event_id}/book."""

    def on_post(self, req: falcon.Request, resp: falcon.Response, event_id: int) -> None:
        """Look who asks, and accept."""
        user_of(req)
        resp.status = falcon.HTTP_202
        resp.data = _ACCEPTED


class Events:
    """GET /api/events/view."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer the same for ever."""
        resp.data = _ACCEPTED


def user_of(req: falcon.Request) -> int:
    """Return the id of the user whose token the request carries; without a valid one it is a 401."""
    scheme, _, token = (req.get_header("Authorization") or "").partition(" ")
    try:
        claims: dict[str, Any] = jwt.decode(
            token, SECRET, algorithms=["HS256"], audience="aurora-atlan", issuer="aurora-atlan"
        )
    except jwt.PyJWTError as error:
        raise falcon.HTTPUnauthorized(title="A valid token is needed.") from error
    if scheme != "Bearer":
        raise falcon.HTTPUnauthorized(title="A bearer token is needed.")
    return int(claims["sub"])


def serve(booking: object, threads: int) -> None:
    """Serve a resource that books, and the list of events, on PORT until the process is ended."""
    if "UNTUNED" not in os.environ:
        # As the product does. It is worth a sixth here, too.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        spread_waiting_threads()
        collect_rarely()
    # It would write a line for every request that waits for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    app = falcon.App()
    app.add_route("/api/bookings/{event_id:int}/book", booking)
    app.add_route("/api/events/view", Events())
    waitress.serve(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        threads=threads,
        connection_limit=_CONNECTIONS_MAX,
        backlog=_BACKLOG,
        asyncore_use_poll=True,
        _quiet=True,
    )


if __name__ == "__main__":
    serve(Book(), _THREADS)
