"""Resource: how many tickets of an event are left, and how many people wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import falcon

from aurora_atlan.actors.errors import UnknownEventError
from aurora_atlan.http.event_reads import CACHE_CONTROL, EventReads
from aurora_atlan.http.identifiers import path_id
from aurora_atlan.http.rate_limits import RateLimits

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor


class Availability:
    """GET /api/events/{id}/availability."""

    def __init__(self, supervisor: Supervisor, reads: EventReads, limits: RateLimits) -> None:
        self._supervisor = supervisor
        self._reads = reads
        self._limits = limits

    def on_get(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Tell how the sale stands; nobody has looked at the event itself, so no impression is counted."""
        self._limits.reading(req)
        wanted_event = path_id(req, event_id)
        answer = self._reads.availability(wanted_event, self._supervisor.queued)
        if answer is None:
            raise UnknownEventError(f"There is no event {wanted_event}.")
        resp.set_header("Cache-Control", CACHE_CONTROL)
        resp.data = answer
        resp.content_type = falcon.MEDIA_JSON

    on_head = on_get
