"""What must hold, read from the tables and from what clients were told; it knows nothing of the product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from simulation.booking_store import UnitOfWorkDouble
    from simulation.world import World

_DECISIONS = ("confirmed", "rejected", "failed")
_OUTCOMES = (*_DECISIONS, "cancelled")


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant of FAULTS.md that did not hold, and how."""

    invariant: str
    sentence: str


class Check:
    """Looks at every commit, and at the end of the story at everything."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._first_capacity: dict[int, int] = {}

    def opened(self, event_id: int) -> None:
        """Remember an event's first capacity."""
        self._first_capacity[event_id] = self._world.postgres.tables.events[event_id].capacity

    def committed(self, work: UnitOfWorkDouble) -> None:
        """Look at the tables after a commit: I1, and that nothing is decided in a pause."""
        world, tables = self._world, self._world.postgres.tables
        for event_id, count in work.deciding.items():
            if count > 1:
                world.reached("a batch of more than one job")
            if event_id in world.clients.paused:
                world.violated("I4", f"event {event_id} was decided after its pause was confirmed")
        sums = dict.fromkeys(tables.events, 0)
        counts = dict.fromkeys(tables.events, 0)
        for row in tables.bookings.values():
            if row.booking.status == "confirmed":
                sums[row.booking.event_id] += row.booking.quantity
                counts[row.booking.event_id] += 1
        for event in tables.events.values():
            if not sums[event.event_id] == event.sold <= event.capacity:
                world.violated(
                    "I1",
                    f"event {event.event_id}: {sums[event.event_id]} tickets confirmed, sold says {event.sold}, "
                    f"capacity {event.capacity}",
                )
            if counts[event.event_id] != event.bookings:
                world.violated(
                    "I1",
                    f"event {event.event_id}: {counts[event.event_id]} bookings confirmed, the counter says "
                    f"{event.bookings}",
                )

    def final(self) -> None:
        """Look at everything, once all is quiet."""
        for event_id, ledger in self._world.postgres.tables.ledger.items():
            self._numbering(event_id, ledger)
            self._order(event_id, ledger)
            self._seats(event_id, ledger)
        self._jobs()
        self._answers()

    def _numbering(self, event_id: int, ledger: list[dict[str, Any]]) -> None:
        head = "00" * 32
        for number, entry in enumerate(ledger, 1):
            if entry["entry_number"] != number or entry["prev_hash"] != head:
                self._world.violated("I5", f"event {event_id}: entry {number} does not follow the one before")
                return
            head = entry["hash"]

    def _order(self, event_id: int, ledger: list[dict[str, Any]]) -> None:
        world = self._world
        last = 0
        for entry in ledger:
            if entry["kind"] == "queue_restarted":
                world.reached("a queue_restarted entry")
                last = 0
                if not world.queue.losses:
                    world.violated("I5", f"event {event_id}: queue_restarted, but Redis has lost nothing")
            elif entry["kind"] in _DECISIONS and entry["queue_number"] is not None:
                if entry["queue_number"] <= last:
                    name = world.label(entry["job_id"])
                    world.violated(
                        "I5", f"event {event_id}: {name}, number {entry['queue_number']}, was decided after {last}"
                    )
                last = entry["queue_number"]
        if not world.queue.losses:
            self._acceptance_order(event_id, ledger)

    def _acceptance_order(self, event_id: int, ledger: list[dict[str, Any]]) -> None:
        decided = [entry["job_id"] for entry in ledger if entry["queue_number"] and entry["kind"] in _DECISIONS]
        accepted = list(dict.fromkeys(job.job_id for job in self._world.queue.log if job.event_id == event_id))
        expected = [job_id for job_id in accepted if job_id in set(decided)]
        if decided != expected:
            index = next(
                index for index, (one, other) in enumerate(zip(decided, expected, strict=False)) if one != other
            )
            name = self._world.label(decided[index])
            self._world.violated("I5", f"event {event_id}: {name} was not decided in the order of acceptance")

    def _seats(self, event_id: int, ledger: list[dict[str, Any]]) -> None:
        world = self._world
        cap = world.postgres.tables.events[event_id].cap_per_user
        sold, capacity = 0, self._first_capacity[event_id]
        held: dict[int, int] = {}
        refused_quantity: int | None = None
        for entry in ledger:
            kind, quantity, user = entry["kind"], entry["quantity"], entry["user_id"]
            name = f"event {event_id}, entry {entry['entry_number']}"
            if kind == "capacity_changed":
                capacity = entry["capacity_after"]
                refused_quantity = None
            elif kind == "confirmed":
                if refused_quantity is not None and quantity >= refused_quantity:
                    world.violated("I5", f"{name}: confirmed after a smaller or equal one was sold out")
                sold += quantity
                held[user] = held.get(user, 0) + 1
                if held[user] > cap:
                    world.violated("I1", f"{name}: user {user} holds more bookings than {cap}")
            elif kind == "cancelled" and entry["job_id"] is None:
                sold -= quantity
                held[user] -= 1
                refused_quantity = None
            elif kind == "rejected":
                refused_quantity = self._refusal(
                    name, entry, capacity - sold, held.get(user, 0) >= cap, refused_quantity
                )
            elif kind == "failed" and user not in (world.unrecordable_users | world.undecidable_users):
                world.violated(
                    "I2", f"{name}: {world.label(entry['job_id'])} failed as {entry['reason']}, and is no poison"
                )
            if (entry["sold_after"], entry["capacity_after"]) != (sold, capacity):
                world.violated(
                    "I1", f"{name}: says {entry['sold_after']} of {entry['capacity_after']} sold, not {sold}"
                )
                return

    def _refusal(self, name: str, entry: dict[str, Any], left: int, full: bool, before: int | None) -> int | None:
        reason: str = entry["reason"]
        quantity: int = entry["quantity"]
        if reason == "sold_out":
            if left >= quantity:
                self._world.violated("I11", f"{name}: {quantity} refused as sold out while {left} were left")
            return quantity if before is None else min(before, quantity)
        if reason in ("already_booked", "limit_reached"):
            if not full:
                self._world.violated("I2", f"{name}: refused as {reason}, but the user may book")
        else:
            self._world.violated("I2", f"{name}: refused as {reason} without cause")
        return before

    def _jobs(self) -> None:
        world, tables = self._world, self._world.postgres.tables
        answers: dict[UUID, int] = {}
        for ledger in tables.ledger.values():
            for entry in ledger:
                if entry["job_id"] is not None and entry["kind"] in _OUTCOMES:
                    answers[entry["job_id"]] = answers.get(entry["job_id"], 0) + 1
        for job_id, accepted in world.clients.accepted.items():
            name = world.label(job_id)
            count = answers.get(job_id, 0)
            if count == 0 and job_id not in world.queue.lost:
                world.violated("I6", f"{name} was accepted and is not decided, and Redis has not lost it")
            if count > 1:
                world.violated("I2", f"{name} was decided {count} times")
            outcome = tables.outcomes.get(job_id)
            wanted = (accepted.event_id, accepted.user_id, accepted.quantity)
            if outcome is not None and (outcome["event_id"], outcome["user_id"], outcome["quantity"]) != wanted:
                world.violated("I4", f"{name} was decided as another wish than was accepted")
        bookings = [row.booking.job_id for row in tables.bookings.values()]
        if len(set(bookings)) < len(bookings):
            world.violated("I3", "a job has two bookings")

    def _answers(self) -> None:
        world, tables = self._world, self._world.postgres.tables
        for told in world.clients.told:
            entry = tables.outcomes.get(told.job_id)
            if entry is None or (entry["kind"] == "confirmed", entry["reason"]) != (told.completed, told.reason):
                said = "completed" if told.completed else told.reason
                world.violated("I4", f"a client was told {said} of {world.label(told.job_id)}, which the ledger denies")
        for job_id in world.clients.withdrawn:
            entry = tables.outcomes.get(job_id)
            if entry is None or entry["kind"] != "cancelled":
                world.violated("I4", f"{world.label(job_id)} was withdrawn, which the ledger denies")
        for booking_id in world.clients.cancelled:
            if tables.bookings[booking_id].booking.status != "cancelled":
                world.violated("I4", f"booking {booking_id} was cancelled, which the tables deny")
