"""Resources: what operators do with the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import falcon

from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.bodies import refuse_body
from aurora_atlan.http.deeds import deed
from aurora_atlan.http.identifiers import parameter_id
from aurora_atlan.http.representations import respond

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor

OPERATORS = frozenset({"ADMIN", "OPS"})


class Pause:
    """POST /api/admin/queue/pause."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Decide nothing more, for one event or for all, from when this answers; accepting goes on."""
        operator = self._authenticator.required(req, OPERATORS)
        event_id = parameter_id(req, "eventId")
        # Or an event named there would be overheard, and all of them meant.
        refuse_body(req)
        self._supervisor.pause(event_id, deed=deed(req, operator, "queue.pause", _named(event_id)))
        respond(resp, {"message": f"Decisions are paused for {_named(event_id)}."})


class Resume:
    """POST /api/admin/queue/resume."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Go on with one event or with all, also with those held back after crashes."""
        operator = self._authenticator.required(req, OPERATORS)
        event_id = parameter_id(req, "eventId")
        # Or an event named there would be overheard, and all of them meant.
        refuse_body(req)
        self._supervisor.resume(event_id, deed=deed(req, operator, "queue.resume", _named(event_id)))
        respond(resp, {"message": f"Decisions go on for {_named(event_id)}."})


def _named(event_id: int | None) -> str:
    return "all events" if event_id is None else f"event {event_id}"
