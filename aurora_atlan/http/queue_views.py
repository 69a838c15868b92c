"""Resources: the queue in numbers, and job by job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import falcon

from aurora_atlan.actors.queue_stats import Condition
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.identifiers import parameter_id
from aurora_atlan.http.paging import link_next_key, requested_key_page
from aurora_atlan.http.queue import OPERATORS
from aurora_atlan.http.representations import respond
from aurora_atlan.http.times import format_time
from aurora_atlan.persistence.queue_pages import Place, QueuedJob

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor

_CURSOR = "job"


class Stats:
    """GET /api/admin/queue/stats."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Tell how many jobs there are of each kind, and whether the queue moves."""
        self._authenticator.required(req, OPERATORS)
        report = self._supervisor.stats()
        respond(
            resp,
            {
                "stats": {
                    "waiting": report.waiting,
                    "active": report.active,
                    "completed": report.completed,
                    "failed": report.failed,
                    "total": report.waiting + report.active + report.completed + report.failed,
                },
                "health": {
                    "status": report.condition.value,
                    "healthy": report.condition is Condition.HEALTHY,
                    "stalledJobs": report.stalled_jobs,
                    "quarantined": report.quarantined_events,
                    "paused": report.paused,
                    "oldestWaitingSeconds": round(report.oldest_waiting_s, 3),
                },
            },
        )

    on_head = on_get


class Details:
    """GET /api/admin/queue/details."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the undecided jobs: events in the order of their ids, each event's jobs in that of acceptance."""
        self._authenticator.required(req, OPERATORS)
        event_id = parameter_id(req, "eventId")
        page = requested_key_page(req, _CURSOR, numbers=2)
        found = self._supervisor.queue.page(page.limit, None if page.cursor is None else Place(*page.cursor), event_id)
        if found.end is not None:
            last = (found.end.event_id, found.end.queue_number)
            link_next_key(req, resp, page, _CURSOR, last, {} if event_id is None else {"eventId": event_id})
        respond(
            resp,
            {
                "waiting": [_queued_json(queued) for queued in found.jobs if not queued.active],
                "active": [_queued_json(queued) for queued in found.jobs if queued.active],
            },
        )

    on_head = on_get


def _queued_json(queued: QueuedJob) -> dict[str, Any]:
    job = queued.job
    return {
        "jobId": str(job.job_id),
        "eventId": job.event_id,
        "userId": job.user_id,
        "quantity": job.quantity,
        "queueNumber": job.queue_number,
        "acceptedAt": format_time(job.accepted_at),
    }
