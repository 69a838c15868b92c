"""Waiting for a job's answer, from threads and from asyncio.

Whoever waits is woken by the notice board, and looks now and then for what other processes decide.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from uuid import UUID

from aurora_atlan.actors.errors import UnavailableError, UnknownJobError
from aurora_atlan.actors.messages import JobStatus
from aurora_atlan.actors.notices import NoticeBoard

# Between two looks, while no notice comes: more and more patient, so that thousands may wait.
_LOOK_AGAIN_MIN_S = 0.5
_LOOK_AGAIN_MAX_S = 5.0
_PATIENCE_GROWS = 1.5


class OutcomeWaits:
    """Waits over the statuses of ``look`` until a job has its answer, or ``stopping`` says that none will come."""

    def __init__(
        self, look: Callable[[UUID], JobStatus | None], notices: NoticeBoard, stopping: Callable[[], bool]
    ) -> None:
        self._look = look
        self._notices = notices
        self._stopping = stopping

    def wait(self, job_id: UUID, timeout_s: float | None) -> JobStatus:
        """Hold up the thread until the answer is there; see ``Supervisor.wait``."""
        deadline = _deadline(timeout_s)
        with self._notices.watch(job_id, threading.Event()) as notice:
            for pause_s in _pauses():
                # Also what was noted before the first pause is seen.
                status = self._answered(job_id)
                if status is not None:
                    return status
                notice.wait(min(pause_s, self._left_s(deadline)))
                notice.clear()
        raise AssertionError

    async def wait_async(
        self,
        job_id: UUID,
        timeout_s: float | None,
        aside: Callable[[Callable[[], JobStatus | None]], Awaitable[JobStatus | None]],
    ) -> JobStatus:
        """Wait without holding up the event loop: only the looks, which ``aside`` does, block a thread shortly."""
        deadline = _deadline(timeout_s)
        with self._notices.watch(job_id, _LoopNotice()) as notice:
            for pause_s in _pauses():
                status = await aside(lambda: self._answered(job_id))
                if status is not None:
                    return status
                left_s = self._left_s(deadline)
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(pause_s, left_s)):
                        await notice.wait()
        raise AssertionError

    def _answered(self, job_id: UUID) -> JobStatus | None:
        # None also while a store that is needed is out of reach: the answer is not lost by that.
        with suppress(UnavailableError):
            status = self._look(job_id)
            if status is None:
                raise UnknownJobError("there is no such job")
            return status if status.finished else None
        return None

    def _left_s(self, deadline: float) -> float:
        if self._stopping():
            raise UnavailableError("the service is stopping; the job keeps its place, ask for its status later")
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the job has no answer yet; wait again, or ask for its status")
        return left_s


class _LoopNotice:
    """A notice for a coroutine, set from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def set(self) -> None:
        # A loop that is closed has nobody who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()


def _deadline(timeout_s: float | None) -> float:
    return float("inf") if timeout_s is None else time.monotonic() + timeout_s


def _pauses() -> Iterator[float]:
    pause_s = _LOOK_AGAIN_MIN_S
    while True:
        yield pause_s
        pause_s = min(_LOOK_AGAIN_MAX_S, pause_s * _PATIENCE_GROWS)
