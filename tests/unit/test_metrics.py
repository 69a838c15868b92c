"""What a supervisor counts."""

from __future__ import annotations

import time
from datetime import timedelta

from aurora_atlan.actors.commit import Decided
from aurora_atlan.actors.messages import Batch
from aurora_atlan.actors.metrics import Metrics
from aurora_atlan.persistence.records import Kind, Reason
from booking_fakes import EVENT_ID, NOW, Recorder, a_job, an_outcome


def _decided(first: int, *outcomes: Kind) -> Decided:
    """Decide jobs that were accepted at NOW, two seconds later, half a second after they were handed in."""
    jobs = [a_job(number) for number in range(first, first + len(outcomes))]
    handed_in_at = time.monotonic() - 0.5
    batch = Batch(first, EVENT_ID, 1, jobs, frozenset(), 1, handed_in_at, Recorder())  # type: ignore[arg-type]
    answers = [
        an_outcome(job.queue_number, kind, None if kind is Kind.CONFIRMED else Reason.SOLD_OUT)._replace(
            decided_at=NOW + timedelta(seconds=2)
        )
        for job, kind in zip(jobs, outcomes, strict=True)
    ]
    return Decided(batch, 1, jobs[-1].queue_number, answers)


def test_batches_are_counted_with_their_jobs() -> None:
    """How many there are, how long each job waited, and how long each batch took."""
    metrics = Metrics()

    metrics.decided([_decided(1, Kind.CONFIRMED, Kind.CONFIRMED, Kind.REJECTED), _decided(4, Kind.REJECTED)])

    value = metrics.registry.get_sample_value
    assert value("aurora_outcomes_total", {"outcome": "confirmed"}) == 2
    assert value("aurora_outcomes_total", {"outcome": "sold_out"}) == 2
    assert value("aurora_wait_seconds_count") == 4
    assert value("aurora_wait_seconds_sum") == 8
    assert value("aurora_batch_jobs_bucket", {"le": "1.0"}) == 1
    assert value("aurora_batch_jobs_sum") == 4
    assert value("aurora_processing_seconds_bucket", {"le": "0.2"}) == 0
    assert value("aurora_processing_seconds_count") == 2
