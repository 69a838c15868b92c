"""What disturbs the sales: faults that a sound service survives, put between its parts in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.commit import Committing, Verdict
from aurora_atlan.actors.messages import Batch
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.errors import StoreTimeoutError
from aurora_atlan.persistence.inventory import EncodedChange, UnitOfWork
from aurora_atlan.persistence.jobs import Enqueued, Enqueueing, JobStore
from aurora_atlan.persistence.records import NewJob
from aurora_atlan.supervisor import Supervisor
from oracle.sale import Trigger


def _nothing() -> None:
    return


class _Transaction(threading.local):
    """What this thread's transaction is about."""

    of_batches = False
    recorded = False


@contextmanager
def at_commit(
    *,
    before: Callable[[], None] = _nothing,
    after: Callable[[], None] = _nothing,
    rolled_back: Callable[[], None] = _nothing,
) -> Iterator[None]:
    """Call these around every COMMIT of decided batches; one that raises ends the transaction there."""
    commit, unit_of_work, record = Committing.commit, BookingStore.unit_of_work, UnitOfWork.record
    transaction = _Transaction()

    def committed(committing: Committing, *arguments: Any, **options: Any) -> list[Verdict]:
        transaction.of_batches, transaction.recorded = True, False
        try:
            return commit(committing, *arguments, **options)
        finally:
            transaction.of_batches = False

    def recorded(work: UnitOfWork, changes: Sequence[EncodedChange]) -> None:
        transaction.recorded = transaction.of_batches
        record(work, changes)

    @contextmanager
    def disturbed(store: BookingStore, *arguments: Any, **options: Any) -> Iterator[UnitOfWork]:
        try:
            with unit_of_work(store, *arguments, **options) as work:
                yield work
                if transaction.recorded:
                    before()
        except Exception:
            if transaction.recorded:
                transaction.recorded = False
                rolled_back()
            raise
        if transaction.recorded:
            transaction.recorded = False
            after()

    with (
        patch.object(Committing, "commit", committed),
        patch.object(UnitOfWork, "record", recorded),
        patch.object(BookingStore, "unit_of_work", disturbed),
    ):
        yield


@contextmanager
def crashing_actors(trigger: Trigger, when: Callable[[BookingActor, Any], bool]) -> Iterator[None]:
    """Let an event's actor crash over a message, when the trigger goes off for it."""
    handle = BookingActor.handle

    def disturbed(actor: BookingActor, message: Any) -> None:
        if when(actor, message) and trigger.pull():
            raise ValueError("as the scenario wants")
        handle(actor, message)

    with patch.object(BookingActor, "handle", disturbed):
        yield


@contextmanager
def lost_enqueue_replies(trigger: Trigger) -> Iterator[None]:
    """Let Redis accept jobs and its reply be lost, when the trigger goes off."""
    enqueue = JobStore.enqueue

    def disturbed(store: JobStore, jobs: Sequence[NewJob]) -> list[Enqueueing]:
        answers = enqueue(store, jobs)
        if any(isinstance(answer, Enqueued) for answer in answers) and trigger.pull():
            raise StoreTimeoutError("as the scenario wants")
        return answers

    with patch.object(JobStore, "enqueue", disturbed):
        yield


class FrozenCommitter:
    """Holds up one process's next commit, with its batch in hand, until it is woken."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._owner = supervisor._owner
        self._trigger = Trigger()
        self.holds = threading.Event()
        self._woken = threading.Event()

    def freeze(self) -> None:
        """Freeze at the next commit."""
        self._trigger.arm()

    def wake(self) -> None:
        """Go on as if no time had passed."""
        self._woken.set()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stand before the commits of the process; woken at the end in any case."""
        commit = Committing.commit

        def disturbed(committing: Committing, batches: Sequence[Batch], *, patient: bool) -> list[Verdict]:
            if committing._owner == self._owner and self._trigger.pull():
                self.holds.set()
                self._woken.wait(30)
            return commit(committing, batches, patient=patient)

        with patch.object(Committing, "commit", disturbed):
            try:
                yield
            finally:
                self.wake()
