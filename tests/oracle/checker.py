"""Whether the promises hold: a judge that knows the tables and what clients saw, and none of the service's code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from uuid import UUID

from oracle import history_rules, row_rules
from oracle.history import History, Told
from oracle.ledger_rows import Snapshot, snapshot
from oracle.violation import Violation

__all__ = ["Violation", "check_final", "check_snapshot", "undecided"]

_UNDECIDED = """
    SELECT count(*) AS jobs FROM unnest(%(jobs)s::uuid[]) AS asked (job_id)
     WHERE NOT EXISTS (SELECT FROM booking_ledger AS entry WHERE entry.job_id = asked.job_id)"""


def check_snapshot(database_url: str) -> list[Violation]:
    """Return what is wrong at this moment (I1), whatever goes on meanwhile."""
    with snapshot(database_url) as rows:
        return list(row_rules.seats_add_up(rows))


def check_final(
    database_url: str,
    history: History,
    *,
    losses_allowed: int = 0,
    restarts_allowed: bool = False,
    poisoned_users: Collection[int] = (),
    others_allowed: bool = False,
    status_of: Callable[[UUID], Told | None] | None = None,
) -> list[Violation]:
    """Return what is wrong once all is quiet.

    With ``restarts_allowed`` Redis may have lost its memory, so that orders began anew; then up to
    ``losses_allowed`` accepted jobs may have no outcome. With ``others_allowed`` somebody else booked, too.
    ``status_of`` asks the service once more for every accepted job; None: it knows nothing of it.
    """
    with snapshot(database_url) as rows:
        outcomes = rows.outcomes()
        found = [
            *_rows_alone(rows),
            *row_rules.only_the_poisoned_failed(rows, poisoned_users),
            *history_rules.answered_jobs_are_recorded(history, outcomes),
            *history_rules.one_job_per_key(history),
            *history_rules.receipts_hold(history, outcomes),
            *history_rules.told_for_ever(history, outcomes),
            *history_rules.cancelled_for_ever(history, rows),
            *history_rules.first_come_first_served(history, outcomes),
            *history_rules.nobody_lost(history, outcomes, losses_allowed),
        ]
        if not restarts_allowed:
            found += row_rules.never_restarted(rows)
        if not others_allowed:
            found += history_rules.nobody_unasked(history, outcomes)
        if history.delivered:
            found += history_rules.delivered_in_order(history, rows)
    if status_of is not None:
        found += history_rules.still_told(sorted(history.accepted_jobs(), key=str), outcomes, status_of)
    return found


def undecided(database_url: str, jobs: Collection[UUID]) -> int:
    """Return how many of the jobs have no outcome in the ledger."""
    with snapshot(database_url) as rows:
        [row] = rows.rows(_UNDECIDED, {"jobs": list(jobs)})
        return int(row["jobs"])


def _rows_alone(rows: Snapshot) -> Iterator[Violation]:
    for rule in (
        row_rules.seats_add_up,
        row_rules.seats_always_added_up,
        row_rules.one_outcome_per_job,
        row_rules.one_booking_per_job,
        row_rules.decided_in_order,
        row_rules.outbox_points_to_outcomes,
        row_rules.nothing_left_unsold,
    ):
        yield from rule(rows)
