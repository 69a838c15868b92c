"""Bugs that are planted to see whether the checker finds them: which, in what sale, and what must be found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from aurora_atlan.config import Settings
from oracle import planted, scenarios
from oracle.checker import Violation, check_final
from oracle.sale import Sale

# A job that has no answer after so long, in a sale of a second, is one that is lost; without a bug nobody waits for it.
_PATIENCE_S = 2.0
_PATIENCE_WITHOUT_BUG_S = 20.0

_WITHOUT_KEYS = """
    ALTER TABLE event_inventory DROP CONSTRAINT event_inventory_never_oversold;
    ALTER TABLE booking_ledger DROP CONSTRAINT booking_ledger_pkey;
    DROP INDEX booking_ledger_one_outcome;
    ALTER TABLE outbox DROP CONSTRAINT outbox_pkey"""
_WITHOUT_ONE_PER_JOB = """
    DROP INDEX booking_ledger_one_outcome;
    ALTER TABLE bookings DROP CONSTRAINT bookings_job_id_key"""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A bug, a sale that needs what it takes away, and the invariant that breaks."""

    bug: str
    wanted: str
    because: str
    plant: Callable[[Sale], AbstractContextManager[None]]
    scenario: Callable[[Sale], None]
    # Guards of the schema that would refuse the harm: taken away with and without the bug.
    unguarded: str = "SELECT 1"
    # Given to the checker, with and without the bug.
    allowed: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """What the checker found in one sale."""

    violations: list[Violation]
    # Why the sale was not held to its end.
    broke_off: str | None = None

    @property
    def clean(self) -> bool:
        """The sale was held, and nothing was found."""
        return not self.violations and self.broke_off is None

    @property
    def invariants(self) -> list[str]:
        """The names of what is broken."""
        return sorted({violation.invariant for violation in self.violations}, key=lambda name: int(name[1:]))


def run(mutation: Mutation, settings: Settings, *, with_bug: bool) -> Trial:
    """Hold the sale over empty stores, and judge it."""
    sale = Sale(settings, _PATIENCE_S if with_bug else _PATIENCE_WITHOUT_BUG_S)
    sale.run_sql(mutation.unguarded)
    try:
        with mutation.plant(sale) if with_bug else nullcontext():
            mutation.scenario(sale)
    except Exception as error:  # noqa: BLE001 - the other bugs shall be planted all the same
        return Trial([], f"{type(error).__name__}: {error}")
    return Trial(check_final(sale.url, sale.history, **mutation.allowed))


MUTATIONS = (
    Mutation(
        "no FOR UPDATE",
        "I1",
        "two transactions read the same last seat as free and both sell it",
        planted.no_for_update,
        scenarios.the_last_seat,
        unguarded=_WITHOUT_KEYS,
        # Whoever gets the lock first is decided first, whatever their numbers.
        allowed={"restarts_allowed": True},
    ),
    Mutation(
        "no outcome row for rejections",
        "I2",
        "clients are told that they failed, and the ledger has no outcome of their jobs",
        planted.no_outcome_row_for_rejections,
        scenarios.sold_out,
    ),
    Mutation(
        "no dedupe",
        "I3",
        "a batch whose COMMIT was not answered is decided again, and each of its jobs is booked twice",
        planted.no_dedupe,
        scenarios.commit_replies_lost,
        unguarded=_WITHOUT_ONE_PER_JOB,
    ),
    Mutation(
        "finish before commit",
        "I6",
        "the jobs have left the queue when their transaction is rolled back, so nobody finds them again",
        planted.finish_before_commit,
        scenarios.committer_and_actor_crash,
    ),
    Mutation(
        "no epoch check",
        "I5",
        "a process that lost the event decides what it still had in hand behind those who came later",
        planted.no_epoch_check,
        scenarios.frozen_owner,
        # What Redis forgot while only the frozen process knew of it.
        allowed={"losses_allowed": 3},
    ),
    Mutation(
        "swallowed unique violation",
        "I6",
        "the aborted transaction is silently rolled back, and its jobs are taken for decided",
        planted.swallowed_unique_violation,
        scenarios.sequence_behind,
    ),
    Mutation(
        "retried append",
        "I2",
        "the first append had succeeded, so there are outcomes of jobs that nobody knows of",
        planted.retried_append,
        scenarios.enqueue_replies_lost,
    ),
    Mutation(
        "jobs dropped on crash",
        "I6",
        "what the crashed actor had in memory is nowhere else",
        planted.jobs_dropped_on_crash,
        scenarios.actor_crashes_with_jobs,
    ),
    Mutation(
        "reply before commit",
        "I4",
        "clients were told of bookings that were rolled back and refused the second time",
        planted.reply_before_commit,
        scenarios.rolled_back_and_sold_out,
    ),
    Mutation(
        "catch-up skipped",
        "I5",
        "a job that another process accepted is decided behind its successor",
        planted.catch_up_skipped,
        scenarios.accepted_elsewhere,
    ),
)
