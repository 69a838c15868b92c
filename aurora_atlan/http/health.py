"""Resources: is the process alive, is it ready, has it started."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import falcon

from aurora_atlan.http.representations import respond

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor


class Live:
    """GET /livez: 200 for as long as the process serves, whatever else is down."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer."""
        respond(resp, {"status": "alive"})

    on_head = on_get


class Ready:
    """GET /readyz: 200 when bookings are accepted and decided, else 503; each component with its details."""

    def __init__(self, supervisor: Supervisor, draining: Callable[[], bool]) -> None:
        self._supervisor = supervisor
        self._draining = draining

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Report what the supervisor knows; asks no store."""
        report = self._supervisor.health()
        draining = self._draining()
        ready = report.ready and not draining
        resp.status = falcon.HTTP_200 if ready else falcon.HTTP_503
        respond(
            resp,
            {
                "status": "ready" if ready else "draining" if draining else "not ready",
                # Ready, but a part is not well.
                "degraded": report.degraded,
                "components": {
                    name: {"ok": component.ok, "detail": component.detail, **component.values}
                    for name, component in report.components.items()
                },
            },
        )

    on_head = on_get


class Startup:
    """GET /startupz: 503 until the service was ready once, 200 ever after."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._started = False

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer."""
        self._started = self._started or self._supervisor.health().ready
        resp.status = falcon.HTTP_200 if self._started else falcon.HTTP_503
        respond(resp, {"status": "started" if self._started else "starting"})

    on_head = on_get
