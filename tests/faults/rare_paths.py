"""Notes the rare paths that a supervisor of this process takes, by looking over its shoulder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from aurora_atlan.actors import commit
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.cell import CellState, EventCell
from aurora_atlan.actors.commit import Committing, Decided, Fenced
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.errors import StoreUnavailableError
from faults.row import Stage


@contextmanager
def watched_paths(stage: Stage) -> Iterator[None]:
    """Count the rare paths on the stage for the duration of the block."""
    counter = _Counter(stage)
    with ExitStack() as stack:
        for target, name, wrapper in (
            (Committing, "commit", counter.commit),
            (commit, "decide", counter.decide),
            (BookingActor, "_catch_up", counter.catch_up),
            (EventCell, "passivate", counter.passivate),
            (EventCell, "committed", counter.committed),
            (BookingStore, "unit_of_work", counter.unit_of_work),
        ):
            stack.enter_context(mock.patch.object(target, name, wrapper(getattr(target, name))))
        yield


class _Counter:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lock = threading.Lock()

    def commit(self, original: Any) -> Any:
        def commit(committing: Committing, *args: Any, **kwargs: Any) -> Any:
            verdicts = original(committing, *args, **kwargs)
            self._note(
                "a batch of more than one job",
                sum(isinstance(verdict, Decided) and len(verdict.batch.jobs) > 1 for verdict in verdicts),
            )
            self._note("an epoch abort", sum(isinstance(verdict, Fenced) for verdict in verdicts))
            return verdicts

        return commit

    def decide(self, original: Any) -> Any:
        def decide(inventory: Any, jobs: Any, facts: Any) -> Any:
            self._note("a replay that found a decided job", sum(job.job_id in facts.outcomes for job in jobs))
            return original(inventory, jobs, facts)

        return decide

    def catch_up(self, original: Any) -> Any:
        def catch_up(actor: BookingActor) -> None:
            before = len(actor._pending)
            original(actor)
            self._note("a catch-up from the stream", len(actor._pending) > before)

        return catch_up

    def passivate(self, original: Any) -> Any:
        def passivate(cell: EventCell, generation: int, handled: int, *, idle: bool) -> Any:
            asked = cell.generation == generation and cell.state is CellState.PASSIVATING
            left = original(cell, generation, handled, idle=idle)
            # Idle, and yet not let go: a job was told to it that it has not seen.
            self._note("a passivation that raced an enqueue", asked and idle and not left)
            return left

        return passivate

    def committed(self, original: Any) -> Any:
        def committed(cell: EventCell, generation: int, now: float) -> None:
            self._note("a successful half-open probe", cell._probing and cell.generation == generation)
            original(cell, generation, now)

        return committed

    def unit_of_work(self, original: Any) -> Any:
        @contextmanager
        def unit_of_work(store: BookingStore, *args: Any, **kwargs: Any) -> Iterator[Any]:
            finished = False
            try:
                with original(store, *args, **kwargs) as work:
                    yield work
                    finished = True
            except StoreUnavailableError:
                # Lost after the last statement: during COMMIT.
                self._note("an unknown COMMIT", finished)
                raise

        return unit_of_work

    def _note(self, name: str, count: int) -> None:
        if count:
            with self._lock:
                self._stage.once(name, int(count))
