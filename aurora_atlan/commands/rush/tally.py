"""Counts a rush while it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from aurora_atlan.commands.rush.history import Attempt


class Tally:
    """How far a rush is: counts, and latencies in seconds."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts
        self.accepted_count = 0
        self.confirmed_count = 0
        self.sold_out_count = 0
        # Other answers, and attempts that ended without one.
        self.other_count = 0
        self.accept_latencies_s: list[float] = []
        self.decision_latencies_s: list[float] = []
        self.answer_latencies_s: list[float] = []
        self._started_s = 0.0
        self._stopped_s: float | None = None

    def start(self) -> None:
        """Start the clock."""
        self._started_s = time.monotonic()

    def stop(self) -> None:
        """Stop the clock."""
        self._stopped_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """How long the rush has taken."""
        return (self._stopped_s or time.monotonic()) - self._started_s

    @property
    def ended_count(self) -> int:
        """How many attempts have come to an end."""
        return self.confirmed_count + self.sold_out_count + self.other_count

    @property
    def open(self) -> bool:
        """Whether an attempt has not come to its end."""
        return self.ended_count < self.attempts

    def accepted(self, attempt: Attempt) -> None:
        """Count an attempt that got its receipt."""
        self.accepted_count += 1
        self.accept_latencies_s.append(attempt.accepted_s - attempt.sent_s)

    def ended(self, attempt: Attempt) -> None:
        """Count an attempt that came to its end, with an answer or without."""
        answer = attempt.answer
        if answer is not None:
            self.answer_latencies_s.append(attempt.answered_s - attempt.accepted_s)
            if attempt.decided_after_s is not None:
                self.decision_latencies_s.append(attempt.decided_after_s)
        if answer is not None and answer.confirmed:
            self.confirmed_count += 1
        elif answer is not None and answer.sold_out:
            self.sold_out_count += 1
        else:
            self.other_count += 1


def latencies(measured_s: Sequence[float], *, with_max: bool = True) -> str:
    """Return the median, the 99th percentile (nearest rank) and the maximum for people."""
    if not measured_s:
        return "-"
    ranked = sorted(measured_s)
    p50, p99 = ranked[(len(ranked) - 1) // 2], ranked[-(len(ranked) // 100) - 1]
    return f"p50 {_time(p50)}  p99 {_time(p99)}" + (f"  max {_time(ranked[-1])}" if with_max else "")


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f} s"
