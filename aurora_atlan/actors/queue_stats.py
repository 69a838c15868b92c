"""What operators are told of the queue: how much of what there is, and whether it moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from aurora_atlan.actors.cell import CellState
from aurora_atlan.actors.cells import Cells
from aurora_atlan.actors.health import HealthReport
from aurora_atlan.persistence.jobs import Backlog


class Condition(StrEnum):
    """Whether the queue moves."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """Jobs are decided, but some are held up, or a part is not well."""
    UNHEALTHY = "unhealthy"
    """No job is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """The queue of all events together; counts of jobs."""

    waiting: int
    active: int
    """Being decided."""
    completed: int
    """Finished with a booking, as far as Redis still holds their records."""
    failed: int
    """Finished without one, likewise."""
    condition: Condition
    stalled_jobs: int
    """Of events that are held up in this process: quarantined, or with a batch in flight for too long."""
    quarantined_events: int
    paused: bool | None
    """All events are paused; None: PostgreSQL, which knows, is out of reach."""
    oldest_waiting_s: float
    """Seconds since the job that waits longest was accepted."""


def queue_stats(
    backlog: Backlog,
    health: HealthReport,
    cells: Cells,
    *,
    gatherers_run: bool,
    paused: bool | None,
    stuck_s: float,
    now: float,
) -> QueueStats:
    """Return the numbers; ``gatherers_run``: those actors that there is one of, ``now``: on the monotonic clock."""
    quarantined, stalled_jobs = 0, 0
    for cell in cells.every():
        flight = cell.in_flight
        held_back = cell.state is CellState.QUARANTINED
        quarantined += held_back
        if held_back or (flight is not None and now - flight[1] > stuck_s):
            stalled_jobs += backlog.jobs_of.get(cell.event_id, 0)
    moving = gatherers_run and health.components["redis"].ok and health.components["postgresql"].ok
    well = not (stalled_jobs or quarantined) and all(component.ok for component in health.components.values())
    return QueueStats(
        waiting=backlog.jobs - backlog.active,
        active=backlog.active,
        completed=backlog.completed,
        failed=backlog.failed,
        condition=Condition.UNHEALTHY if not moving else Condition.HEALTHY if well else Condition.DEGRADED,
        stalled_jobs=stalled_jobs,
        quarantined_events=quarantined,
        paused=paused,
        oldest_waiting_s=backlog.oldest_waits_s(datetime.now(UTC)),
    )
