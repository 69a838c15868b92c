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
        cells = [cell for cell in self._cells.every() if cell.unsettled]
        if not cells:
            return
        next_numbers = self._jobs.next_numbers([cell.event_id for cell in cells])
        lost = sum(cell.went_back(number) for cell, number in zip(cells, next_numbers, strict=True))
        if lost:
            self.rollbacks += 1
            self.lost_at_most += lost
            log.error(
                "Redis is without its last jobs: at most %d accepted bookings are lost undecided; "
                "asked for, they are unknown and can be made again",
                lost,
            )
