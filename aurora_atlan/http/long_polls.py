"""Long polls: a status that is told when the job has its answer, or when the client's patience is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

from aurora_atlan.actors.messages import JobStatus

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor

# Another process may decide the job, and nobody here hears of it.
_LOOK_AGAIN_S = 0.5


class LongPolls:
    """Waits for outcomes in the serving threads, in few of them at a time.

    Whoever finds every place taken is answered at once. So is everybody, also who waits already, once ``draining``
    tells that the server is about to stop.
    """

    def __init__(self, supervisor: Supervisor, draining: Callable[[], bool], places: int) -> None:
        self._supervisor = supervisor
        self._draining = draining
        self._places = threading.BoundedSemaphore(places)

    def status(self, job_id: UUID, wait_s: float) -> tuple[JobStatus | None, bool]:
        """Return the status, after up to ``wait_s`` seconds, and whether they were granted.

        Raises what ``Supervisor.status`` raises.
        """
        deadline = time.monotonic() + wait_s
        status = self._supervisor.status(job_id)
        if status is None or status.finished:
            return status, status is not None
        if not self._places.acquire(blocking=False):
            return status, False
        try:
            return self._wait(job_id, deadline)
        finally:
            self._places.release()

    def _wait(self, job_id: UUID, deadline: float) -> tuple[JobStatus | None, bool]:
        with self._supervisor.notices.watch(job_id, threading.Event()) as notice:
            while True:
                # Also what was noted since the first look is seen by this one.
                status = self._supervisor.status(job_id)
                left_s = deadline - time.monotonic()
                if status is None or status.finished or left_s <= 0:
                    return status, status is not None
                if self._draining():
                    return status, False
                notice.wait(min(left_s, _LOOK_AGAIN_S))
                notice.clear()
