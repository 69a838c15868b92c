"""Prints the verdict."""

from __future__ import annotations

from collections.abc import Iterator

from aurora_atlan.commands.rush.tally import Tally, latencies
from aurora_atlan.commands.rush.verdict import Verdict

_VIOLATIONS_SHOWN_MAX = 20
_LABEL_WIDTH = 26


def report(verdict: Verdict, tally: Tally, outages: int, retries: int) -> Iterator[str]:
    """Say line by line what became of the rush."""
    yield ""
    yield "Verdict"
    for label, figure in _figures(verdict, tally, outages, retries):
        yield f"  {label:<{_LABEL_WIDTH}}{figure}"
    yield ""
    if verdict.kept:
        yield "OK: every promise was kept."
        return
    count = len(verdict.violations)
    yield f"BROKEN: {count:,} {'violation' if count == 1 else 'violations'}."
    for violation in verdict.violations[:_VIOLATIONS_SHOWN_MAX]:
        yield f"  - {violation}"
    if count > _VIOLATIONS_SHOWN_MAX:
        yield f"  ... and {count - _VIOLATIONS_SHOWN_MAX:,} more"


def _figures(verdict: Verdict, tally: Tally, outages: int, retries: int) -> Iterator[tuple[str, str]]:
    yield "seats sold", f"{verdict.sold:,} of {verdict.capacity:,}"
    yield "oversold", f"{verdict.oversold:,}"
    yield "undersold", f"{verdict.undersold:,}"
    yield "told sold out", f"{verdict.sold_out:,}"
    yield "jobs answered once", f"{verdict.answered:,} of {verdict.attempts:,} ({verdict.accepted:,} accepted)"
    yield "answers changed", f"{verdict.changed:,} of {verdict.asked_again:,} asked again"
    yield (
        "first come, first served",
        "yes" if verdict.out_of_order == 0 else f"no: {verdict.out_of_order:,} out of order",
    )
    if verdict.durability:
        yield "durability of receipts", ", ".join(sorted(verdict.durability))
    if verdict.queue_restarts is None or verdict.ledger_entries is None:
        yield "proof from the rows", "not made, the database is not at hand; `aurora-atlan audit` makes it"
    else:
        yield "queue restarts", f"{verdict.queue_restarts:,}"
        yield "proof from the rows", f"{verdict.ledger_entries:,} ledger entries replayed"
    yield "request to receipt", latencies(tally.accept_latencies_s)
    yield "acceptance to decision", latencies(tally.decision_latencies_s)
    yield "receipt to answer seen", latencies(tally.answer_latencies_s)
    pace = tally.ended_count / max(tally.elapsed_s, 0.001)
    yield "pace", f"{pace:,.0f} bookings answered per second, {tally.ended_count:,} in {tally.elapsed_s:.1f} s"
    if outages:
        yield "service was away", f"{outages:,} {'time' if outages == 1 else 'times'}"
    if retries:
        yield "requests repeated", f"{retries:,}"
