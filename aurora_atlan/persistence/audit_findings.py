"""Collects an event's violations while it is audited."""

from __future__ import annotations

from collections import Counter

from aurora_atlan.persistence.audit_report import Violation

# Of each rule, so that however much is wrong, nothing hides the worst.
_KEPT_OF_A_RULE_MAX = 20


class Findings:
    """One event's violations: all are counted, the first of each rule kept."""

    def __init__(self, event_id: int) -> None:
        self.found = 0
        self.kept: list[Violation] = []
        self._event_id = event_id
        self._of_rule: Counter[str] = Counter()

    def add(
        self,
        rule: str,
        sentence: str,
        *,
        entry_number: int | None = None,
        booking_id: int | None = None,
        job_id: str | None = None,
    ) -> None:
        """Note a violation; the event and the entry are named before ``sentence``."""
        self.found += 1
        self._of_rule[rule] += 1
        if self._of_rule[rule] <= _KEPT_OF_A_RULE_MAX:
            subject = f"event {self._event_id}" + (f", entry {entry_number}" if entry_number is not None else "")
            self.kept.append(
                Violation(rule, self._event_id, entry_number, f"{subject}: {sentence}", booking_id, job_id)
            )
