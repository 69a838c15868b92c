"""As many tickets as there are: by the buyers, by the service and by its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aurora_atlan.commands.rush.history import Attempt, Proof, SoldEvent


def sold(attempts: Sequence[Attempt]) -> int:
    """Return how many tickets were sold, by what the buyers were told."""
    return sum(1 for attempt in attempts if attempt.confirmed)


def oversold(event: SoldEvent, attempts: Sequence[Attempt]) -> int:
    """Return how many tickets were sold that there are not."""
    return max(0, sold(attempts) - event.capacity)


def undersold(event: SoldEvent, attempts: Sequence[Attempt]) -> int:
    """Return how many were told that nothing was left, and could have been served."""
    refused = sum(1 for attempt in attempts if attempt.sold_out)
    return min(refused, max(0, event.capacity - sold(attempts)))


def miscounted(event: SoldEvent, attempts: Sequence[Attempt]) -> Iterator[str]:
    """Name what the buyers' answers and the service's own figures make wrong."""
    count = sold(attempts)
    if oversold(event, attempts):
        yield f"{event} is oversold: {count:,} tickets were confirmed of {event.capacity:,}"
    if left := undersold(event, attempts):
        yield f"{event} is undersold: {left:,} of those told sold_out could have been served"
    if event.booked is not None and event.booked != count:
        yield f"{event}: the service shows {event.booked:,} booked, but {count:,} buyers were told completed"


def disproved(event: SoldEvent, attempts: Sequence[Attempt], proof: Proof | None) -> Iterator[str]:
    """Name what the rows say otherwise than the buyers were told."""
    if proof is None:
        yield f"{event} was not found when its rows were audited"
        return
    yield from proof.violations
    if proof.queue_restarts:
        yield f"{event}: its order of acceptance began anew, queue restarts: {proof.queue_restarts}"
    confirmed = sold(attempts)
    failed = sum(1 for attempt in attempts if attempt.answer is not None) - confirmed
    if (proof.confirmed, proof.refused) != (confirmed, failed):
        yield (
            f"{event}: buyers were told completed {confirmed:,} times and failed {failed:,} times, but the ledger "
            f"has {proof.confirmed:,} and {proof.refused:,}"
        )
    if proof.seats_booked != confirmed:
        yield f"{event}: {proof.seats_booked:,} seats are booked, but {confirmed:,} buyers were told completed"
