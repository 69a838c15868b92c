"""Job ids: UUIDs of version 8 (RFC 9562, section 5.8) that carry the shard of their event.

The first byte holds the shard (six bits) and, lowest, the marker of a keyed job; the rest is random,
or for a request with an Idempotency-Key derived from it, so that the same key always means the same job.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import deque
from uuid import UUID

SHARDS = 64

_VERSION = 8 << 76
_VERSION_MASK = 0xF << 76
_VARIANT = 0b10 << 62
_VARIANT_MASK = 0b11 << 62
_SHARD_SHIFT = 122
_KEYED = 1 << 120
_PREFIX_MASK = 0xFF << 120

# Random bytes, drawn for many ids at a time: each draw lets go of the interpreter's lock, and a thread that would book
# waits in line to have it back. A process that was forked draws its own.
_MATERIAL_BYTES = 16
_MATERIALS = 256
_material: deque[bytes] = deque()
os.register_at_fork(after_in_child=_material.clear)


def shard_of_event(event_id: int) -> int:
    """Return the shard, 0 to 63, that all of an event's keys in Redis share."""
    return event_id % SHARDS


def random_job_id(event_id: int) -> UUID:
    """Make the id of a job without an Idempotency-Key."""
    return _job_id(event_id, _random_material(), keyed=False)


def keyed_job_id(installation_key: bytes, event_id: int, user_id: int, idempotency_key: str) -> UUID:
    """Make the id that this user's key for this event always gives; nobody without the key can guess it."""
    message = f"{user_id}\n{event_id}\n{idempotency_key}".encode()
    return _job_id(event_id, hmac.digest(installation_key, message, hashlib.sha256)[:16], keyed=True)


def shard_of_job(job_id: UUID) -> int:
    """Return the shard that the id carries."""
    return job_id.int >> _SHARD_SHIFT


def is_keyed(job_id: UUID) -> bool:
    """Tell whether the id was derived from an Idempotency-Key."""
    return bool(job_id.int & _KEYED)


def _random_material() -> bytes:
    try:
        return _material.popleft()
    except IndexError:
        drawn = os.urandom(_MATERIAL_BYTES * _MATERIALS)
        first, *others = (drawn[at : at + _MATERIAL_BYTES] for at in range(0, len(drawn), _MATERIAL_BYTES))
        _material.extend(others)
        return first


def _job_id(event_id: int, material: bytes, *, keyed: bool) -> UUID:
    number = int.from_bytes(material) & ~(_PREFIX_MASK | _VERSION_MASK | _VARIANT_MASK)
    number |= shard_of_event(event_id) << _SHARD_SHIFT | _VERSION | _VARIANT
    return UUID(int=number | _KEYED if keyed else number)
