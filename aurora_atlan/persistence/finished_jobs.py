"""The finished records that Redis holds: what it still knows of decided jobs, until they expire or are cleaned away."""

from __future__ import annotations

import time
from collections.abc import Collection

import redis

from aurora_atlan.persistence import scripts
from aurora_atlan.persistence.errors import translated
from aurora_atlan.persistence.job_ids import SHARDS
from aurora_atlan.persistence.queue_keys import finished_key, shard_tag

# Redis does nothing else while a script runs.
_AT_ONCE_MAX = 1_000


class FinishedJobs:
    """Removes finished records; ``ttl_s`` is how long they live by themselves."""

    def __init__(self, client: redis.Redis, ttl_s: int) -> None:
        self._client = client
        self._scripts = scripts.Runner(client)
        self._clean = scripts.load("clean_finished")
        self._ttl_s = ttl_s

    def clean(self, statuses: Collection[str], older_than_s: float, removed_max: int) -> int:
        """Remove up to so many records of these statuses, decided at least so many seconds ago; return how many.

        Raises a :class:`~aurora_atlan.persistence.errors.StoreError`; then some may have been removed.
        """
        now = time.time()
        # What is older has expired.
        decided_from = _microseconds(now - self._ttl_s)
        # Whatever the clocks say, "at least 0 seconds ago" is all of them.
        decided_until = _microseconds(now - older_than_s) if older_than_s else "+inf"
        indexes = [(shard, status) for status in statuses for shard in range(SHARDS)]
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for shard, status in indexes:
                pipeline.zcount(finished_key(shard, status), decided_from, decided_until)
            counts: list[int] = pipeline.execute()
        calls = []
        room = removed_max
        for (shard, status), count in zip(indexes, counts, strict=True):
            left = min(count, room)
            room -= left
            while left > 0:
                part = min(left, _AT_ONCE_MAX)
                left -= part
                arguments = [decided_from, decided_until, part, shard_tag(shard)]
                calls.append(scripts.Call(self._clean, [finished_key(shard, status)], arguments))
        return sum(self._scripts.run(calls)) if calls else 0


def _microseconds(time_s: float) -> int:
    return int(time_s * 1_000_000)
