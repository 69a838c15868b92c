"""Editing events: what is shown, the capacity and the terms of the sale, under the same row lock as bookings."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from aurora_atlan.actors.errors import (
    CapacityBelowSoldError,
    EmptyWindowError,
    OutdatedVersionError,
    SaleHasBegunError,
    UnknownEventError,
)
from aurora_atlan.actors.gate import locked, retried
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.event_work import EventWork
from aurora_atlan.persistence.events import Event, EventEdit
from aurora_atlan.persistence.inventory import Change, Draft, encode
from aurora_atlan.persistence.records import CAPACITY_MAX, Inventory, Kind

# Makes the deed of a change from the event before and after it.
Describe = Callable[[Event, Event], Deed]


@dataclass(frozen=True, slots=True)
class CapacityChanged:
    """An event's numbers after its capacity was set."""

    event_id: int
    capacity: int
    sold: int


class Editing:
    """Changes events one version at a time, in the caller's thread."""

    def __init__(self, bookings: BookingStore) -> None:
        self._bookings = bookings

    def edit(
        self,
        event_id: int,
        edit: EventEdit,
        *,
        versions: Collection[int] | None = None,
        describe: Describe | None = None,
    ) -> Event:
        """Change an event and return it as it is now; what is so already is no change, and makes no new version.

        With ``versions`` only an event that has one of them is changed. With ``describe`` a change is noted in
        the audit log, in the same transaction.

        Raises UnknownEventError, OutdatedVersionError, EmptyWindowError, CapacityBelowSoldError, SaleHasBegunError,
        UnavailableError.
        """
        written: list[Event] = []

        def step() -> Event:
            with self._bookings.unit_of_work() as work:
                inventory = locked(work, event_id)
                if inventory.gone:
                    raise UnknownEventError("there is no such event")
                before = work.event(event_id)
                if any((before.version, before.updated_at) == (own.version, own.updated_at) for own in written):
                    # A try before this one was committed, and the answer to its COMMIT was lost.
                    return before
                if versions is not None and before.version not in versions:
                    raise OutdatedVersionError(f"the event has version {before.version}")
                changes = edit.changes_of(before)
                if not changes:
                    return before
                wanted = replace(before, **changes)
                _refuse_impossible(work, inventory, before, wanted)
                after = _write(work, inventory, wanted)
                if describe is not None:
                    work.note(describe(before, after))
                written.append(after)
                return after

        return retried(step)

    def set_capacity(self, event_id: int, capacity: int) -> CapacityChanged:
        """Set how many tickets the event has, 0 to 10,000,000 (ValueError).

        Raises CapacityBelowSoldError, UnknownEventError, UnavailableError.
        """
        if not 0 <= capacity <= CAPACITY_MAX:
            raise ValueError(f"a capacity lies between 0 and {CAPACITY_MAX}, not {capacity}")
        event = self.edit(event_id, EventEdit(capacity=capacity))
        return CapacityChanged(event_id, event.capacity, event.booked)


def _refuse_impossible(work: EventWork, inventory: Inventory, before: Event, wanted: Event) -> None:
    if wanted.opens_at is not None and wanted.closes_at is not None and wanted.opens_at >= wanted.closes_at:
        raise EmptyWindowError("the sale must close later than it opens")
    if wanted.capacity < inventory.sold:
        raise CapacityBelowSoldError(f"{inventory.sold} tickets are sold: the capacity cannot be lower", inventory.sold)
    if wanted.cap_per_user != before.cap_per_user and work.has_outcomes(wanted.id):
        # The ledger is replayed with one cap: every answer in it must have been given under this one.
        raise SaleHasBegunError("bookings have been decided: how many one user may hold cannot change any more")


def _write(work: EventWork, inventory: Inventory, wanted: Event) -> Event:
    at = work.read([], 0).now
    if wanted.capacity != inventory.capacity:
        entry = Draft(Kind.CAPACITY_CHANGED, inventory.sold, wanted.capacity)
        work.record([encode(Change(inventory._replace(capacity=wanted.capacity), [entry]), at)])
    work.revise(wanted, at)
    return work.event(wanted.id)
