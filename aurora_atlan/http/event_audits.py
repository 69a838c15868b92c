"""Resource: the proof that an event was not oversold, recomputed when it is asked for."""

from __future__ import annotations

import threading

import falcon

from aurora_atlan.actors.errors import UnknownEventError
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.identifiers import path_id
from aurora_atlan.http.problems import Problem, retry_after
from aurora_atlan.http.representations import respond
from aurora_atlan.http.times import format_time
from aurora_atlan.persistence.audit import Auditor

_AUDITORS = frozenset({"ADMIN", "OPS"})
_RETRY_AFTER_S = 5


class EventAudit:
    """GET /api/events/{id}/audit."""

    def __init__(self, auditor: Auditor, authenticator: Authenticator) -> None:
        self._auditor = auditor
        self._authenticator = authenticator
        # An audit reads everything there is of an event, over a connection of its own: one at a time.
        self._turn = threading.Lock()

    def on_get(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Audit an event, also one that is gone; finding violations is a success of the audit."""
        self._authenticator.required(req, _AUDITORS)
        wanted_event = path_id(req, event_id)
        if not self._turn.acquire(blocking=False):
            raise Problem(
                503,
                "busy",
                "Another audit is under way; only one is made at a time. Try again.",
                headers=retry_after(_RETRY_AFTER_S),
            )
        try:
            report = self._auditor.run(wanted_event)
        finally:
            self._turn.release()
        if not report.events:
            raise UnknownEventError(f"There is no event {wanted_event}.")
        [event] = report.events
        respond(
            resp,
            {
                "clean": report.ok,
                "at": format_time(report.at),
                "durationS": round(report.duration_s, 3),
                **event.document(),
            },
        )

    on_head = on_get
