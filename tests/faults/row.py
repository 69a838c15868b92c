"""One row of the table of faults: what is done, how often, and what was seen of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from aurora_atlan.config import Settings

# Settings that say how long something takes to be noticed: continuous integration has a tenth of them.
_TIMES = (
    "lock_timeout_s",
    "statement_timeout_s",
    "watchdog_s",
    "idle_transaction_timeout_s",
    "lease_s",
    "stuck_s",
    "restart_window_s",
    "backoff_min_s",
    "backoff_max_s",
    "quarantine_s",
)

# The paths that are rare by themselves; a run that never took one has proven less than it says.
SOMETIMES = (
    "a batch of more than one job",
    "a replay that found a decided job",
    "an epoch abort",
    "a passivation that raced an enqueue",
    "a 429",
    "a 503",
    "an unknown COMMIT",
    "a catch-up from the stream",
    "a successful half-open probe",
)


class Scale(StrEnum):
    """How much is done: once each, as much as fits into minutes, or the numbers of the table."""

    ONCE = "once"
    CI = "ci"
    FULL = "full"
    LONG = "long"


class FaultError(AssertionError):
    """A row did not pass: what was seen, in one sentence."""


@dataclass(frozen=True, slots=True)
class Row:
    """A fault, how often it is wanted, and the function that does it."""

    # A short name for the command line, such as "kill-service".
    key: str
    # The table's own words.
    fault: str
    passes_when: str
    # Wanted repetitions: `make faults-full` and the long run.
    full: int
    long: int
    # Called once; repeats the fault while ``stage.more()``; raises FaultError.
    run: Callable[[Stage], None]
    # It measures milliseconds: nothing else may run meanwhile.
    alone: bool = False


@dataclass
class Stage:
    """What a row is given, and where it notes what it saw."""

    scale: Scale
    wanted: int
    # Empty at first, of this row alone; its path is short enough for a socket.
    folder: Path
    # From now on, in seconds; used up after the third repetition only.
    budget_s: float
    reached: int = 0
    sometimes: Counter[str] = field(default_factory=Counter)
    # Measured on the way, for the report: "slowest first commit" -> "1.2 s".
    seen: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._started_at = time.monotonic()
        self._progress: Callable[[], None] = lambda: None

    def more(self, at_least: int = 3) -> bool:
        """Tell whether to do the fault once more."""
        if self.reached >= self.wanted:
            return False
        if self.scale is not Scale.CI:
            return True
        return self.reached < at_least or time.monotonic() - self._started_at < self.budget_s

    def reach(self, count: int = 1) -> None:
        """Count a fault that was injected and survived."""
        self.reached += count
        self._progress()

    def once(self, name: str, count: int = 1) -> None:
        """Count a rare path that was taken; one of SOMETIMES."""
        assert name in SOMETIMES, name
        self.sometimes[name] += count

    def on_progress(self, tell: Callable[[], None]) -> None:
        """Have somebody told whenever a fault was survived."""
        self._progress = tell

    def times(self) -> dict[str, Any]:
        """Return the settings of time for this scale, to be given to ``Settings`` or ``dataclasses.replace``."""
        if self.scale in (Scale.FULL, Scale.LONG):
            return {}
        return {name: Settings.__dataclass_fields__[name].default / 10 for name in _TIMES}

    def environment(self) -> dict[str, str]:
        """Return the same as environment variables of a service."""
        return {f"AURORA_{name.upper()}": f"{value:g}" for name, value in self.times().items()}


def wanted(row: Row, scale: Scale) -> int:
    """Return how often a row's fault is wanted at a scale."""
    return {Scale.ONCE: 1, Scale.CI: row.full, Scale.FULL: row.full, Scale.LONG: row.long}[scale]


def demand(condition: object, sentence: str) -> None:
    """Raise FaultError unless the condition holds."""
    if not condition:
        raise FaultError(sentence)


def unique_keys(rows: Sequence[Row]) -> None:
    """Raise when two rows share a key."""
    twice = [key for key, count in Counter(row.key for row in rows).items() if count > 1]
    assert not twice, f"keys of two rows: {twice}"
