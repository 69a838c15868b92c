"""Faults to be injected on purpose: what can be asked for, and how it is written.

``AURORA_FAULT_POINTS="before_commit=kill@0.02,after_read=sleep:0.5"``
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# In the order in which a booking meets them; the last four belong to actors' lives and the outbox.
FAULT_POINTS = (
    "before_enqueue",
    "after_enqueue",
    "after_read",
    "after_lock",
    "before_commit",
    "after_commit",
    "after_finish",
    "on_start",
    "on_stop",
    "in_passivation",
    "after_delivery",
)

_RULE = re.compile(
    rf"(?P<point>{'|'.join(FAULT_POINTS)})=(?P<action>raise|exit|kill|sleep:(?P<sleep_s>\d+(?:\.\d+)?))"
    r"(?:@(?P<chance>1|0?\.\d+))?"
)


@dataclass(frozen=True, slots=True)
class FaultRule:
    """At this point do this, with this chance (above 0, up to 1) each time it is reached."""

    point: str
    # raise an exception, raise SystemExit, SIGKILL this process, or sleep
    action: Literal["raise", "exit", "kill", "sleep"]
    sleep_s: float = 0.0
    chance: float = 1.0

    def __str__(self) -> str:
        action = f"sleep:{self.sleep_s:g}" if self.action == "sleep" else self.action
        return f"{self.point}={action}" + ("" if self.chance == 1 else f"@{self.chance:g}")


def parse_fault_rules(text: str) -> tuple[FaultRule, ...]:
    """Read rules separated by commas; raises ValueError."""
    rules = []
    for part in text.split(","):
        found = _RULE.fullmatch(part.strip())
        if found is None:
            raise ValueError(part)
        action, _, _ = found["action"].partition(":")
        rules.append(
            FaultRule(
                found["point"],
                action,  # type: ignore[arg-type]  # the pattern allows just these
                float(found["sleep_s"] or 0),
                float(found["chance"] or 1),
            )
        )
    return tuple(rules)
