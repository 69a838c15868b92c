"""Resource: having Redis forget finished jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import falcon

from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.bodies import refuse_body
from aurora_atlan.http.deeds import deed
from aurora_atlan.http.paging import invalid_parameter, whole_number
from aurora_atlan.http.queue import OPERATORS
from aurora_atlan.http.representations import respond
from aurora_atlan.persistence.audit_log import AuditLog
from aurora_atlan.persistence.queue_keys import COMPLETED, FAILED

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor

_OLDER_THAN_MAX_S = 31_536_000
_LIMIT_MAX = 10_000
_LIMIT_DEFAULT = 1_000


class Clean:
    """POST /api/admin/queue/clean."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator, audit_log: AuditLog) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator
        self._audit_log = audit_log

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Remove finished jobs' records from the queue; their outcomes stay in the ledger."""
        operator = self._authenticator.required(req, OPERATORS)
        refuse_body(req)
        statuses = _statuses(req)
        older_than_s = whole_number(req, "olderThan", 0, _OLDER_THAN_MAX_S, 0)
        limit = whole_number(req, "limit", 1, _LIMIT_MAX, _LIMIT_DEFAULT)
        wanted = {"state": statuses, "olderThan": older_than_s, "limit": limit}
        self._audit_log.add(deed(req, operator, "queue.clean", "finished jobs", after=wanted))
        removed = self._supervisor.queue.clean(statuses, older_than_s, limit)
        respond(resp, {"message": f"Finished jobs removed: {removed}.", "removed": removed})


def _statuses(req: falcon.Request) -> list[str]:
    state = req.params.get("state")
    if state is None:
        return [COMPLETED, FAILED]
    if state in (COMPLETED, FAILED):
        return [state]
    raise invalid_parameter("state", f"must be {COMPLETED} or {FAILED}, once")
