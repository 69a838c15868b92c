"""What log lines about jobs carry, so that one finds all that is said of a request, a job or an event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aurora_atlan.persistence.records import Job

# Of a batch that is named job by job.
_NAMED_MAX = 20


def job_fields(job: Job) -> dict[str, Any]:
    """Return the ``extra`` of a line about a job."""
    return {
        "job_id": str(job.job_id),
        "event_id": job.event_id,
        "queue_number": job.queue_number,
        "request_id": job.request_id,
    }


def batch_fields(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return the ``extra`` of a line about one event's batch; of a long one the first jobs are named."""
    named = jobs[:_NAMED_MAX]
    return {
        "event_id": jobs[0].event_id,
        "jobs": len(jobs),
        "job_ids": [str(job.job_id) for job in named],
        "request_ids": [job.request_id for job in named],
    }
