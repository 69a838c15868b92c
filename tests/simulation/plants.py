"""Bugs to be planted in the product, to prove that the simulation sees them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from aurora_atlan.actors import commit, supervised
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.breaker import Breaker
from aurora_atlan.actors.cell import EventCell
from aurora_atlan.actors.commit import Committing
from aurora_atlan.actors.committer import CommitterActor
from aurora_atlan.actors.messages import BatchFailed, CommitterReplaced
from aurora_atlan.actors.watch import Watch

Plant = Callable[[], list[tuple[Any, str, Any]]]


def _no_dedupe() -> list[tuple[Any, str, Any]]:
    """Recorded outcomes are not looked at."""
    decide = commit.__dict__["decide"]
    return [(commit, "decide", lambda inventory, jobs, facts: decide(inventory, jobs, facts._replace(outcomes={})))]


def _catch_up_skipped() -> list[tuple[Any, str, Any]]:
    """A gap in the numbers is passed over."""

    def take(self: Any, job: Any) -> None:
        self._pending.append(job)
        self._cursor, self._expected, self._behind = job.queue_number, job.queue_number + 1, False
        self._flush_soon()

    return [(BookingActor, "_take", take)]


def _cursor_not_reset() -> list[tuple[Any, str, Any]]:
    """A rescan reads on from where it was."""

    def rescan(self: Any) -> None:
        self._behind, self._paused = True, False
        self._flush_soon()

    return [(BookingActor, "_rescan", rescan)]


def _passivation_ignores_jobs() -> list[tuple[Any, str, Any]]:
    """An actor passivates whatever it has in hand, and nobody looks for work that lies about."""
    passivate = EventCell.passivate

    def ignore(self: Any, generation: int, handled: int, *, idle: bool) -> bool:
        return passivate(self, generation, self._told, idle=True)

    return [(EventCell, "passivate", ignore), (Watch, "_find_work", lambda self, now: None)]


def _head_assumed() -> list[tuple[Any, str, Any]]:
    """An actor to come is left jobs as if none waited before them."""
    accepted = EventCell.accepted
    return [(EventCell, "accepted", lambda self, jobs, *, at_head: accepted(self, jobs, at_head=True))]


def _no_epoch_check() -> list[tuple[Any, str, Any]]:
    """A batch of a former owner is decided."""

    def claim(self: Any, batch: Any, row: Any, *, patient: bool) -> Any:
        if row is not None and not row.inventory.paused:
            return commit._Claim(batch, row.inventory, batch.epoch or row.inventory.epoch + 1)
        return _real_claim(self, batch, row, patient=patient)

    return [(Committing, "_claim", claim)]


_real_claim = Committing._claim


def _not_handed_in_again() -> list[tuple[Any, str, Any]]:
    """What a crashed committer had in hand is forgotten."""
    handle = BookingActor.handle

    def ignore(self: Any, message: Any) -> None:
        if not isinstance(message, CommitterReplaced):
            handle(self, message)

    return [(BookingActor, "handle", ignore)]


def _bisection_inverted() -> list[tuple[Any, str, Any]]:
    """The second half of a bisected batch comes first."""
    bisect = BookingActor._bisect

    def invert(self: Any, batch: Any, error: str) -> None:
        bisect(self, batch, error)
        if len(batch.jobs) > 1:
            first, second = self._again.popleft(), self._again.popleft()
            self._again.extendleft((first, second))

    return [(BookingActor, "_bisect", invert)]


def _outage_blamed_on_jobs() -> list[tuple[Any, str, Any]]:
    """A lost connection counts as a failure of the batch."""

    def blame(self: Any, batches: Any) -> None:
        for batch in batches:
            supervised.tell(batch.sender, BatchFailed(batch.batch_id, "unavailable"))

    return [(CommitterActor, "_try_again", blame)]


def _finished_once() -> list[tuple[Any, str, Any]]:
    """Outcomes that could not be noted in Redis are forgotten."""
    finish = CommitterActor._finish

    def forget(self: Any) -> None:
        finish(self)
        self._unfinished = []

    return [(CommitterActor, "_finish", forget)]


def _finished_before_commit() -> list[tuple[Any, str, Any]]:
    """Jobs leave the queue before their transaction is committed."""
    real = CommitterActor._commit

    def early(self: Any, batches: Any) -> None:
        for batch in batches:
            queue = self._jobs._queue.memory.event(batch.event_id)
            for job in batch.jobs:
                queue.stream.pop(job.queue_number, None)
        real(self, batches)

    return [(CommitterActor, "_commit", early)]


def _pause_ignored() -> list[tuple[Any, str, Any]]:
    """Paused events are decided."""

    def claim(self: Any, batch: Any, row: Any, *, patient: bool) -> Any:
        if row is not None:
            row = row._replace(inventory=row.inventory._replace(paused=False))
        return _real_claim(self, batch, row, patient=patient)

    return [(Committing, "_claim", claim)]


def _breaker_stays_open() -> list[tuple[Any, str, Any]]:
    """What failed once is given up for ever."""
    return [(Breaker, "close", lambda self: False)]


def _jobs_dropped_on_crash() -> list[tuple[Any, str, Any]]:
    """A successor starts behind what its predecessor had seen."""
    init = BookingActor.__init__

    def forget(self: Any, cell: Any, *rest: Any) -> None:
        init(self, cell, *rest)
        self._lost_below = cell.highest_number if cell.generation > 1 else 0

    def catch_up(self: Any) -> None:
        self._cursor = max(self._cursor, self._lost_below)
        _real_catch_up(self)

    return [(BookingActor, "__init__", forget), (BookingActor, "_catch_up", catch_up)]


_real_catch_up = BookingActor._catch_up


def _sold_out_too_early() -> list[tuple[Any, str, Any]]:
    """One seat of each event is never sold."""
    decide = commit.__dict__["decide"]

    def early(inventory: Any, jobs: Any, facts: Any) -> Any:
        real = inventory.capacity
        ruling = decide(inventory._replace(capacity=max(real - 1, inventory.sold)), jobs, facts)
        entries = [replace(entry, capacity_after=real) for entry in ruling.change.entries]
        after = ruling.change.inventory._replace(capacity=real)
        return ruling._replace(change=ruling.change._replace(inventory=after, entries=entries))

    return [(commit, "decide", early)]


PLANTS: dict[str, Plant] = {
    "no-dedupe": _no_dedupe,
    "catch-up-skipped": _catch_up_skipped,
    "cursor-not-reset": _cursor_not_reset,
    "passivation-ignores-jobs": _passivation_ignores_jobs,
    "head-assumed": _head_assumed,
    "no-epoch-check": _no_epoch_check,
    "not-handed-in-again": _not_handed_in_again,
    "bisection-inverted": _bisection_inverted,
    "outage-blamed-on-jobs": _outage_blamed_on_jobs,
    "finished-once": _finished_once,
    "finished-before-commit": _finished_before_commit,
    "pause-ignored": _pause_ignored,
    "breaker-stays-open": _breaker_stays_open,
    "jobs-dropped-on-crash": _jobs_dropped_on_crash,
    "sold-out-too-early": _sold_out_too_early,
}


@contextlib.contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Plant a bug within the block, which lies within ``controlled()``; None: none."""
    changes = PLANTS[name]() if name is not None else []
    real = [(target, attribute, target.__dict__[attribute]) for target, attribute, _ in changes]
    for target, attribute, bug in changes:
        setattr(target, attribute, bug)
    try:
        yield
    finally:
        for target, attribute, value in reversed(real):
            setattr(target, attribute, value)
