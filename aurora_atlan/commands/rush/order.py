"""First come, first served: the order of acceptance against the order of decisions."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from aurora_atlan.commands.rush.history import Attempt, SoldEvent


def jumped_queue(event: SoldEvent, attempts: Sequence[Attempt]) -> Iterator[str]:
    """Name the attempts refused as sold out that stood before one that was confirmed.

    Everybody wants one ticket, so that all who are confirmed must stand before all who are not.
    """
    numbered = [(attempt.receipts[0].queue_number, attempt) for attempt in attempts if attempt.receipts]
    last_confirmed = max((number for number, attempt in numbered if attempt.confirmed), default=0)
    for number, attempt in numbered:
        if attempt.sold_out and number < last_confirmed:
            yield (
                f"{event}: user {attempt.user_id} with queue number {number} was told sold_out, "
                f"but number {last_confirmed} was confirmed"
            )


def numbered_alike(event: SoldEvent, attempts: Sequence[Attempt]) -> Iterator[str]:
    """Name the attempts that share a queue number."""
    seen: dict[int, int] = {}
    for attempt in attempts:
        if attempt.receipt is None:
            continue
        first = seen.setdefault(attempt.receipt.queue_number, attempt.user_id)
        if first != attempt.user_id:
            yield f"{event}: users {first} and {attempt.user_id} both have queue number {attempt.receipt.queue_number}"


def numbered_late(event: SoldEvent, attempts: Sequence[Attempt]) -> Iterator[str]:
    """Name the attempts that stand before one whose receipt had arrived before they were even sent."""
    accepted = [attempt for attempt in attempts if attempt.receipts]
    arrivals = [(attempt.accepted_s, attempt.receipts[0].queue_number) for attempt in accepted]
    heapq.heapify(arrivals)
    highest = 0
    for attempt in sorted(accepted, key=lambda attempt: attempt.sent_s):
        while arrivals and arrivals[0][0] < attempt.sent_s:
            highest = max(highest, heapq.heappop(arrivals)[1])
        number = attempt.receipts[0].queue_number
        if number < highest:
            yield (
                f"{event}: user {attempt.user_id} got queue number {number} although number {highest} "
                "had been accepted before the attempt was sent"
            )
