"""All events this process knows, and which of them want an actor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from aurora_atlan.actors.cell import EventCell, RestartPolicy
from aurora_atlan.actors.messages import JobsAccepted
from aurora_atlan.actors.supervised import tell
from aurora_atlan.persistence.records import Job


class Cells:
    """The directory of events. A cell is made by a job that Redis accepted, never by a mere request."""

    def __init__(self, policy: RestartPolicy, ring: Callable[[], None]) -> None:
        self._policy = policy
        self._ring = ring
        self._lock = threading.Lock()
        self._cells: dict[int, EventCell] = {}
        # Insertion order is the order of activation.
        self._wanting: dict[int, EventCell] = {}

    def get(self, event_id: int) -> EventCell | None:
        """Return the event's cell, if there is one."""
        return self._cells.get(event_id)

    def get_or_make(self, event_id: int) -> EventCell:
        """Return the event's cell, made on first sight."""
        cell = self._cells.get(event_id)
        if cell is None:
            with self._lock:
                cell = self._cells.setdefault(event_id, EventCell(event_id, self._policy))
        return cell

    def announce(self, jobs: Sequence[Job], *, at_head: bool) -> None:
        """Tell the actor of their event of accepted jobs, in their order, or ask for an actor to be started.

        ``at_head``: none waited for the event before them.
        """
        cell = self.get_or_make(jobs[0].event_id)
        ref = cell.accepted(jobs, at_head=at_head)
        told = cell.running if ref is None else tell(ref, JobsAccepted(jobs))
        if not told:
            self.want(cell)

    def want(self, cell: EventCell) -> None:
        """Ask for an actor for this event."""
        with self._lock:
            new = cell.event_id not in self._wanting
            self._wanting[cell.event_id] = cell
        if new:
            self._ring()

    def startable(self, room: int) -> list[EventCell]:
        """Take up to ``room`` cells that want an actor and may have one now."""
        now = time.monotonic()
        with self._lock:
            # One that lives already read, or will read, what it is wanted for.
            for cell in [cell for cell in self._wanting.values() if cell.alive]:
                del self._wanting[cell.event_id]
            ready = [cell for cell in self._wanting.values() if cell.may_start(now)][: max(0, room)]
            for cell in ready:
                del self._wanting[cell.event_id]
        return ready

    def wanting(self) -> int:
        """Return how many events want an actor."""
        return len(self._wanting)

    def alive(self) -> list[EventCell]:
        """Return the cells that have an actor."""
        with self._lock:
            return [cell for cell in self._cells.values() if cell.alive]

    def count(self) -> int:
        """Return how many events are known."""
        return len(self._cells)

    def every(self) -> list[EventCell]:
        """Return all cells."""
        with self._lock:
            return list(self._cells.values())
