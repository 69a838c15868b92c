"""A Flask site that sells tickets: its own pages, and beside them the whole API under /tickets.

    DATABASE_URL=postgresql://... REDIS_URL=redis://... JWT_SECRET=... python flask_host.py

Then http://127.0.0.1:5000/ is the site's, and http://127.0.0.1:5000/tickets/docs describes the API.
"""

from __future__ import annotations

import os

from flask import Flask
from flask.typing import ResponseReturnValue
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import run_simple

from aurora_atlan import Settings, Supervisor, create_app


def make_site(supervisor: Supervisor) -> DispatcherMiddleware:
    """Return the site and the API beside it, as one WSGI application."""
    site = Flask(__name__)

    def front_page() -> ResponseReturnValue:
        return "Tickets are on sale." if supervisor.health().ready else "We are back in a moment."

    def box_office() -> ResponseReturnValue:
        # The site knows how long its own queue is, and asks nobody over HTTP.
        return {"waiting": supervisor.stats().waiting}

    site.add_url_rule("/", view_func=front_page)
    site.add_url_rule("/box-office", view_func=box_office)
    # The API is a WSGI application like any other. Wherever it is mounted, the addresses in its answers begin there.
    return DispatcherMiddleware(site, {"/tickets": create_app(supervisor)})


def main() -> None:
    """Serve until Ctrl-C, in one process with many threads."""
    # One supervisor for the process. Servers that fork start theirs in each worker: see docs/embedding.md.
    with Supervisor(Settings.from_env()) as supervisor:
        run_simple("127.0.0.1", int(os.environ.get("SITE_PORT", "5000")), make_site(supervisor), threaded=True)


if __name__ == "__main__":
    main()
