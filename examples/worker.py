"""A process that decides and serves nobody: what other processes have accepted and left behind.

    DATABASE_URL=postgresql://... REDIS_URL=redis://... python worker.py

It stops on SIGTERM or Ctrl-C. The signals are handled here, by the host: a supervisor never touches them.
"""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

from aurora_atlan import HealthReport, RestartNotice, Settings, Supervisor

log = logging.getLogger("worker")


def health_changed(report: HealthReport) -> None:
    """Say what is well and what is not, whenever that changes."""
    parts = ", ".join(f"{name} {component.detail}" for name, component in report.components.items())
    log.info("%s: %s", "ready" if report.ready else "not ready", parts)


def restarted(notice: RestartNotice) -> None:
    """Say that a part had to be started anew; a monitor would count these."""
    log.warning("restarted: %s", notice)


def main() -> None:
    """Decide until told to stop; then finish what is in flight."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    with Supervisor(Settings.from_env(), on_health_change=health_changed, on_restart=restarted):
        stop.wait()
    # What is undecided waits in Redis for the next process.
    log.info("stopped")


if __name__ == "__main__":
    main()
