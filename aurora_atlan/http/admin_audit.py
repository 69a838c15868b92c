"""Resource: the audit log."""

from __future__ import annotations

import falcon

from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.paging import link_next, requested_page
from aurora_atlan.http.representations import noted_deed_json, respond
from aurora_atlan.persistence.audit_log import AuditLog

_READERS = frozenset({"ADMIN"})


class AuditEntries:
    """GET /api/admin/audit."""

    def __init__(self, audit_log: AuditLog, authenticator: Authenticator) -> None:
        self._audit_log = audit_log
        self._authenticator = authenticator

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List what was done in administration, newest first."""
        self._authenticator.required(req, _READERS)
        page = requested_page(req)
        entries = self._audit_log.page(page.limit + 1, page.cursor)
        if len(entries) > page.limit:
            del entries[page.limit :]
            link_next(req, resp, page, entries[-1].id)
        respond(resp, [noted_deed_json(entry) for entry in entries])

    on_head = on_get
