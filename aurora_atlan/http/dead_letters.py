"""Resources: jobs that failed for ever, and trying one again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import falcon

from aurora_atlan.http.accepted import respond_accepted
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.bodies import refuse_body
from aurora_atlan.http.deeds import deed
from aurora_atlan.http.identifiers import path_job_id
from aurora_atlan.http.paging import link_next_key, requested_key_page
from aurora_atlan.http.queue import OPERATORS
from aurora_atlan.http.representations import respond
from aurora_atlan.http.request_ids import request_id_of
from aurora_atlan.http.times import format_time
from aurora_atlan.persistence.audit_log import AuditLog
from aurora_atlan.persistence.dead_letters import DeadLetter

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor

_CURSOR = "failed"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Failed:
    """GET /api/admin/queue/failed."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the jobs that could not be decided, the newest first."""
        self._authenticator.required(req, OPERATORS)
        page = requested_key_page(req, _CURSOR, numbers=3)
        letters = self._supervisor.dead_letters.page(page.limit + 1, _before(page.cursor))
        if len(letters) > page.limit:
            del letters[page.limit :]
            last = letters[-1]
            key = ((last.failed_at - _EPOCH) // _MICROSECOND, last.event_id, last.entry_number)
            link_next_key(req, resp, page, _CURSOR, key)
        respond(resp, [_letter_json(letter) for letter in letters])

    on_head = on_get


class Retry:
    """POST /api/admin/queue/retry/{jobId}."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator, audit_log: AuditLog) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator
        self._audit_log = audit_log

    def on_post(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Queue what a dead letter had wanted as a new job of the same user."""
        operator = self._authenticator.required(req, OPERATORS)
        job = path_job_id(req, job_id)
        refuse_body(req)
        # Before the deed is noted: what is no dead letter is not tried.
        wanted = self._supervisor.dead_letters.attempt_again(job)
        again = {"eventId": wanted.event_id, "userId": wanted.user_id, "quantity": wanted.quantity}
        self._audit_log.add(deed(req, operator, "queue.retry", f"job {job}", after=again))
        receipt = self._supervisor.retry(job, request_id_of(req))
        respond_accepted(req, resp, receipt, retryOf=str(job))


def _before(cursor: tuple[int, ...] | None) -> tuple[datetime, int, int] | None:
    if cursor is None:
        return None
    microseconds, event_id, entry_number = cursor
    return _EPOCH + timedelta(microseconds=microseconds), event_id, entry_number


def _letter_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "jobId": str(letter.job_id),
        "eventId": letter.event_id,
        "userId": letter.user_id,
        "quantity": letter.quantity,
        "reason": letter.reason.value,
        "queueNumber": letter.queue_number,
        "acceptedAt": format_time(letter.accepted_at),
        "failedAt": format_time(letter.failed_at),
    }
