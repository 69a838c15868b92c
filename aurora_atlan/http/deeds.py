"""What an administrator's request is noted as in the audit log."""

from __future__ import annotations

import ipaddress
from typing import Any

import falcon

from aurora_atlan.http.request_ids import request_id_of
from aurora_atlan.http.tokens import Principal
from aurora_atlan.persistence.audit_log import Deed


def deed(
    req: falcon.Request, actor: Principal, action: str, subject: str, *, before: Any = None, after: Any = None
) -> Deed:
    """Return the deed that this request is; ``before`` and ``after`` are what JSON can hold."""
    return Deed(
        actor_id=actor.user_id,
        action=action,
        subject=subject,
        ip=_address(req.remote_addr),
        request_id=request_id_of(req),
        before=before,
        after=after,
    )


def _address(text: str) -> str | None:
    # Behind a proxy it is what the proxy says, which need not be an address. The zone names an interface of ours.
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None
