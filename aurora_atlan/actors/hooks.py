"""Hooks: what the host is told of restarts and of health, in a thread of its own.

A hook that raises is logged and told the next; one that hangs misses what happens meanwhile. Neither holds up the
service, and no lock is held while one runs.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aurora_atlan.actors.health import HealthReport

log = logging.getLogger(__name__)

# Notices that wait for a slow hook; more are dropped.
_WAITING_MAX = 1_000


@dataclass(frozen=True, slots=True)
class RestartNotice:
    """An actor crashed, or hung, and is replaced."""

    actor: str
    """Which: "booking", "journal" or "committer"."""
    error: str
    """What it died of, as far as is known."""
    event_id: int | None = None
    """The event of a booking actor."""
    quarantined: bool = False
    """It crashed too often: its event is held back for ``quarantine_s``, then tried again."""


class Hooks:
    """Calls ``on_restart`` and ``on_health_change``, each notice at most once, in their order."""

    def __init__(
        self,
        on_restart: Callable[[RestartNotice], None] | None,
        on_health_change: Callable[[HealthReport], None] | None,
    ) -> None:
        self._on_restart = on_restart
        self._on_health_change = on_health_change
        self._last: HealthReport | None = None
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(_WAITING_MAX)
        # The time to stop is over: what still waits is not told any more.
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="aurora-hooks", daemon=True)

    def start(self) -> None:
        """Start the thread, if there is a hook."""
        if self._on_restart is not None or self._on_health_change is not None:
            self._thread.start()

    def runs_here(self) -> bool:
        """Tell whether the calling thread is this one's."""
        return self._thread is threading.current_thread()

    def stop(self, timeout_s: float) -> None:
        """Tell what waits, for as long as that takes or the time is up."""
        self._put(None)
        if self._thread.is_alive() and not self.runs_here():
            self._thread.join(timeout_s)
        self._abandoned = True

    def restarted(self, notice: RestartNotice) -> None:
        """Have ``on_restart`` told; never waits."""
        if self._on_restart is not None:
            self._put(partial(self._on_restart, notice))

    def health(self, look: Callable[[], HealthReport]) -> None:
        """Have ``on_health_change`` told if health is not what it was at the last call; never waits.

        What counts is whether the service is ready and whether each part is well, and the sentence about it.
        """
        if self._on_health_change is None:
            return
        report = look()
        if self._last is None or _gist(report) != _gist(self._last):
            self._last = report
            self._put(partial(self._on_health_change, report))

    def _put(self, call: Callable[[], None] | None) -> None:
        try:
            self._waiting.put_nowait(call)
        except queue.Full:
            log.warning("a hook hangs, or is too slow: it misses a notice")

    def _run(self) -> None:
        while (call := self._waiting.get()) is not None and not self._abandoned:
            try:
                call()
            except BaseException:  # whatever a hook does, the next is told
                log.exception("a hook failed")


def _gist(report: HealthReport) -> tuple[bool, list[tuple[str, bool, str]]]:
    return report.ready, [(name, part.ok, part.detail) for name, part in report.components.items()]
