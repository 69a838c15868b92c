"""The notice board: who waits for a job's outcome is woken when it is noted."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar
from uuid import UUID

from aurora_atlan.persistence.records import Job


class Notice(Protocol):
    """What wakes somebody; ``threading.Event`` is one."""

    def set(self) -> None:
        """Wake whoever waits; called from any thread, and must not block."""


N = TypeVar("N", bound=Notice)


class NoticeBoard:
    """Wakes whoever waits for jobs. Any thread may call it.

    Only what this process decides is noticed: whoever waits asks now and then, too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[UUID, list[Notice]] = {}

    @contextmanager
    def watch(self, job_id: UUID, notice: N) -> Iterator[N]:
        """Set ``notice`` when the job's outcome is noted, or everybody is woken, within the block.

        What was noted before is not noticed: look after entering, then wait.
        """
        with self._lock:
            self._waiting.setdefault(job_id, []).append(notice)
        try:
            yield notice
        finally:
            with self._lock:
                left = [other for other in self._waiting[job_id] if other is not notice]
                if left:
                    self._waiting[job_id] = left
                else:
                    del self._waiting[job_id]

    def ring(self, jobs: Sequence[Job]) -> None:
        """Wake whoever waits for these jobs; while nobody waits they are not even looked at."""
        if self._waiting:
            for job in jobs:
                self.ring_for(job.job_id)

    def ring_for(self, job_id: UUID) -> None:
        """Wake whoever waits for this job."""
        with self._lock:
            for notice in self._waiting.get(job_id, ()):
                notice.set()

    def ring_all(self) -> None:
        """Wake everybody."""
        with self._lock:
            for notices in self._waiting.values():
                for notice in notices:
                    notice.set()
