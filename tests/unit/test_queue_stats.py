"""The queue's numbers and condition, from what waits and how the service is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aurora_atlan.actors.cell import EventCell, RestartPolicy
from aurora_atlan.actors.cells import Cells
from aurora_atlan.actors.health import ComponentHealth, HealthReport
from aurora_atlan.actors.queue_stats import Condition, QueueStats, queue_stats
from aurora_atlan.persistence.jobs import Backlog
from booking_fakes import Recorder

POLICY = RestartPolicy(crashes_max=0, window_s=30, backoff_min_s=0.1, backoff_max_s=5, quarantine_s=30, chance=float)
BACKLOG = Backlog(12, 3, None, active=5, completed=100, failed=20, jobs_of={1: 3, 2: 4, 3: 5})


def health(**broken: bool) -> HealthReport:
    parts = {name: ComponentHealth(not broken.get(name), "") for name in ("redis", "postgresql", "actors")}
    return HealthReport(True, parts)


@pytest.fixture
def cells() -> Cells:
    return Cells(POLICY, lambda: None)


def running(cells: Cells, event_id: int, now: float = 0.0) -> EventCell:
    cell = cells.get_or_make(event_id)
    cell.started(cell.begin(), Recorder(), now)  # type: ignore[arg-type]
    return cell


def report(cells: Cells, backlog: Backlog = BACKLOG, state: HealthReport | None = None, **changes: Any) -> QueueStats:
    values = {"gatherers_run": True, "paused": False, "stuck_s": 15.0, "now": 100.0, **changes}
    return queue_stats(backlog, state or health(), cells, **values)


def test_waiting_and_active_are_what_is_in_the_streams(cells: Cells):
    made = report(cells)

    assert (made.waiting, made.active, made.completed, made.failed) == (7, 5, 100, 20)
    assert made.condition is Condition.HEALTHY
    assert (made.stalled_jobs, made.quarantined_events, made.paused) == (0, 0, False)
    assert made.oldest_waiting_s == 0.0


def test_the_oldest_is_as_old_as_it_is(cells: Cells):
    old = Backlog(1, 1, datetime.now(UTC) - timedelta(seconds=90))

    assert 90 <= report(cells, old).oldest_waiting_s < 120


def test_a_batch_in_flight_for_too_long_stalls_its_events_jobs(cells: Cells):
    slow, quick = running(cells, 1), running(cells, 2)
    slow.launched(slow.generation, 3, 84.9)
    quick.launched(quick.generation, 4, 85.1)

    made = report(cells)

    assert (made.stalled_jobs, made.quarantined_events, made.condition) == (3, 0, Condition.DEGRADED)


def test_a_quarantined_event_stalls_its_jobs(cells: Cells):
    cell = running(cells, 3)
    cell.crashed(cell.generation, 90.0)

    made = report(cells)

    assert (made.stalled_jobs, made.quarantined_events, made.condition) == (5, 1, Condition.DEGRADED)


def test_a_quarantined_event_without_jobs_is_still_not_well(cells: Cells):
    cell = running(cells, 99)
    cell.crashed(cell.generation, 90.0)

    assert report(cells).condition is Condition.DEGRADED


@pytest.mark.parametrize(
    ("state", "changes", "condition"),
    [
        (health(actors=True), {}, Condition.DEGRADED),
        (health(postgresql=True), {}, Condition.UNHEALTHY),
        (health(redis=True), {}, Condition.UNHEALTHY),
        (health(actors=True), {"gatherers_run": False}, Condition.UNHEALTHY),
        # That is what somebody wants.
        (health(), {"paused": True}, Condition.HEALTHY),
    ],
)
def test_nothing_is_decided_without_stores_and_actors(
    cells: Cells, state: HealthReport, changes: dict[str, Any], condition: Condition
):
    assert report(cells, state=state, **changes).condition is condition
