"""Named points at which this process can be made to fail, to prove that no failure there loses anything.

Nothing happens at them unless the setting ``fault_points`` asks for it.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from collections.abc import Sequence

from aurora_atlan.config.faults import FaultRule

log = logging.getLogger(__name__)


class InjectedError(Exception):
    """Raised because a fault was asked for."""


class Faults:
    """Carries out what the rules ask for when their point is reached."""

    def __init__(self, rules: Sequence[FaultRule]) -> None:
        self._rules = rules

    def reach(self, point: str) -> None:
        """Fail here, if a rule says so; raises InjectedError or SystemExit, sleeps, or never returns."""
        for rule in self._rules:
            if rule.point == point and random.random() < rule.chance:  # noqa: S311 - no secret depends on it
                _fail(rule)


NO_FAULTS = Faults(())


def _fail(rule: FaultRule) -> None:
    log.warning("fault injected: %s", rule)
    match rule.action:
        case "raise":
            raise InjectedError(str(rule))
        case "exit":
            raise SystemExit(str(rule))
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            time.sleep(rule.sleep_s)
