"""Notices when Redis is without jobs it had accepted, and says how many at most.

What this process was told and what Redis knows are compared after every outage, before anything new is accepted,
and when Redis turns out not to know an event that it knew.
"""

from __future__ import annotations

import logging

from aurora_atlan.actors.cells import Cells
from aurora_atlan.persistence.jobs import JobStore

log = logging.getLogger(__name__)


class LossWatch:
    """Counts accepted jobs that Redis may have lost undecided, since this process started."""

    def __init__(self, cells: Cells, jobs: JobStore) -> None:
        self._cells = cells
        self._jobs = jobs
        # Jobs that an actor held in memory are decided all the same: the number is an upper bound.
        self.lost_at_most = 0
        # How often Redis came back emptier than it was, for whatever event.
        self.rollbacks = 0

    def compare(self) -> None:
        """Compare every event that had undecided jobs; raises :class:`StoreError` when Redis cannot be asked."""
        # Taken before Redis is asked: what is accepted meanwhile is above what it answers, and not lost.
        seen = [(cell, cell.highest_number) for cell in self._cells.every() if cell.unsettled]
        if not seen:
            return
        next_numbers = self._jobs.next_numbers([cell.event_id for cell, _ in seen])
        lost = sum(
            cell.went_back(highest, next_number)
            for (cell, highest), next_number in zip(seen, next_numbers, strict=True)
        )
        if lost:
            self.rollbacks += 1
            self.lost_at_most += lost
            log.error(
                "Redis is without its last jobs: at most %d accepted bookings are lost undecided; "
                "asked for, they are unknown and can be made again",
                lost,
            )
