"""The names of the queue's keys in Redis: all of a shard share one hash tag, and so a slot of a Redis Cluster."""

from __future__ import annotations

from uuid import UUID

import orjson

from aurora_atlan.persistence.job_ids import shard_of_event

# Where finished records are listed, by the status that their hashes have.
COMPLETED = "completed"
FAILED = "failed"


def shard_tag(shard: int) -> str:
    """Return what the keys of a shard, 0 to 63, begin with."""
    return f"{{aa:{shard:02d}}}:"


def event_tag(event_id: int) -> str:
    """Return what the keys of the event's shard begin with."""
    return shard_tag(shard_of_event(event_id))


def stream_key(event_id: int) -> str:
    """Return the key of the event's undecided jobs."""
    return f"{event_tag(event_id)}event:{event_id}:jobs"


def meta_key(event_id: int) -> str:
    """Return the key of the event's numbers."""
    return f"{event_tag(event_id)}event:{event_id}:meta"


def job_key(tag: str, job_id: UUID) -> str:
    """Return the key of a job's hash, ``tag`` being what the keys of its shard begin with."""
    # A third of the time that str() takes to spell a UUID.
    return f"{tag}job:{orjson.dumps(job_id)[1:-1].decode()}"


def pending_key(shard: int) -> str:
    """Return the key of the shard's events with undecided jobs."""
    return f"{shard_tag(shard)}pending"


def finished_key(shard: int, status: str) -> str:
    """Return the key of the shard's finished records of a status."""
    return f"{shard_tag(shard)}{status}"
