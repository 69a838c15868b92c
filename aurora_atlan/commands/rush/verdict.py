"""Judges a rush: was every promise kept? Pure; what happened goes in, what is wrong comes out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from aurora_atlan.commands.rush.answers import contradicted, unanswered
from aurora_atlan.commands.rush.history import Attempt, History
from aurora_atlan.commands.rush.order import jumped_queue, numbered_alike, numbered_late
from aurora_atlan.commands.rush.sales import disproved, miscounted, oversold, sold, undersold


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The figures of a rush and everything that is wrong with them."""

    attempts: int
    accepted: int
    answered: int
    # How many were asked again, and how many of these had changed their mind.
    asked_again: int
    changed: int
    capacity: int
    sold: int
    sold_out: int
    oversold: int
    undersold: int
    # Attempts decided before one that had been accepted earlier.
    out_of_order: int
    # None where the database was out of reach.
    queue_restarts: int | None
    ledger_entries: int | None
    # The durability that the receipts promised.
    durability: frozenset[str]
    # One sentence each.
    violations: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations


def judge(history: History) -> Verdict:
    """Hold a rush against the promises: every buyer is another person and wants one ticket."""
    attempts = history.attempts
    of_event: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        of_event[attempt.event_id].append(attempt)
    events = [(event, of_event[event.event_id]) for event in history.events]
    out_of_order = [
        violation
        for event, mine in events
        for rule in (jumped_queue, numbered_alike, numbered_late)
        for violation in rule(event, mine)
    ]
    violations = list(history.incidents)
    for event, mine in events:
        violations += miscounted(event, mine)
    violations += out_of_order
    violations += contradicted(attempts)
    violations += unanswered(history)
    proofs = None if history.proofs is None else {proof.event_id: proof for proof in history.proofs}
    if proofs is not None:
        for event, mine in events:
            violations += disproved(event, mine, proofs.get(event.event_id))
    return Verdict(
        attempts=len(attempts),
        accepted=sum(1 for attempt in attempts if attempt.receipts),
        answered=sum(1 for attempt in attempts if attempt.answers),
        asked_again=sum(1 for attempt in attempts if len(attempt.answers) > 1),
        changed=sum(1 for attempt in attempts if len(set(attempt.answers)) > 1),
        capacity=sum(event.capacity for event, _ in events),
        sold=sold(attempts),
        sold_out=sum(1 for attempt in attempts if attempt.sold_out),
        oversold=sum(oversold(event, mine) for event, mine in events),
        undersold=sum(undersold(event, mine) for event, mine in events),
        out_of_order=len(out_of_order),
        queue_restarts=None if proofs is None else sum(proof.queue_restarts for proof in proofs.values()),
        ledger_entries=None if proofs is None else sum(proof.entries for proof in proofs.values()),
        durability=frozenset(receipt.durability for attempt in attempts for receipt in attempt.receipts),
        violations=tuple(violations),
    )
