"""What is measured while the service works, in the terms of Prometheus, in a registry of its own.

https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Iterable, Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from aurora_atlan.actors.commit import Decided
from aurora_atlan.actors.histogram import Histogram

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_JOBS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)


class Metrics:
    """The counters of one supervisor. Any thread may call it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._accepted = Counter("aurora_jobs_accepted", "Booking attempts put into a queue.", registry=self.registry)
        self._outcomes = Counter(
            "aurora_outcomes",
            "Jobs that this process decided, by outcome: confirmed, or why not.",
            ["outcome"],
            registry=self.registry,
        )
        self._wait = self._histogram("aurora_wait_seconds", "From a job's acceptance to its decision.", _SECONDS)
        self._transaction = self._histogram(
            "aurora_transaction_seconds", "From the first statement of a deciding transaction to its end.", _SECONDS
        )
        self._processing = self._histogram(
            "aurora_processing_seconds",
            "From handing in an event's batch to noting its outcomes in Redis.",
            _SECONDS,
        )
        self._batch = self._histogram("aurora_batch_jobs", "Jobs of one event's batch.", _JOBS)
        self._webhooks = Counter(
            "aurora_webhook_deliveries",
            "Attempts of this process to tell webhooks: delivered, failed (to be tried again), given_up.",
            ["result"],
            registry=self.registry,
        )

    def accepted(self, count: int) -> None:
        """Count accepted jobs."""
        self._accepted.inc(count)

    def transaction(self, took_s: float) -> None:
        """Note a deciding transaction."""
        self._transaction.note(took_s)

    def decided(self, finished: Sequence[Decided]) -> None:
        """Count batches that are decided and noted just now."""
        now = time.monotonic()
        self._batch.note_all([len(each.batch.jobs) for each in finished])
        self._processing.note_all([now - each.batch.handed_in_at for each in finished])
        outcomes = [outcome for each in finished for outcome in each.outcomes]
        jobs = [job for each in finished for job in each.batch.jobs]
        self._wait.note_all(
            [
                (outcome.decided_at - job.accepted_at).total_seconds()
                for job, outcome in zip(jobs, outcomes, strict=True)
            ]
        )
        for name, count in Count([outcome.reason or outcome.kind for outcome in outcomes]).items():
            self._outcomes.labels(name).inc(count)

    def webhook(self, result: Literal["delivered", "failed", "given_up"], count: int) -> None:
        """Count deliveries to webhooks."""
        self._webhooks.labels(result).inc(count)

    def _histogram(self, name: str, documentation: str, bounds: Sequence[float]) -> Histogram:
        histogram = Histogram(bounds)
        self.registry.register(_Shown(name, documentation, histogram))
        return histogram


class _Shown(Collector):
    """A histogram as a registry wants it."""

    def __init__(self, name: str, documentation: str, histogram: Histogram) -> None:
        self._name = name
        self._documentation = documentation
        self._histogram = histogram

    def collect(self) -> Iterable[Metric]:
        """Return how it stands."""
        family = HistogramMetricFamily(self._name, self._documentation)
        self._histogram.add_to(family)
        yield family


class NoMetrics(Metrics):
    """Measures nothing."""

    def accepted(self, count: int) -> None:
        """Count nothing."""

    def transaction(self, took_s: float) -> None:
        """Note nothing."""

    def decided(self, finished: Sequence[Decided]) -> None:
        """Count nothing."""

    def webhook(self, result: Literal["delivered", "failed", "given_up"], count: int) -> None:
        """Count nothing."""


NO_METRICS = NoMetrics()
