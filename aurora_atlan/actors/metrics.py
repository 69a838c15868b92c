"""What is measured while the service works, in the terms of Prometheus, in a registry of its own.

https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram

from aurora_atlan.persistence.records import Job, Outcome

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
        self._wait = Histogram(
            "aurora_wait_seconds",
            "From a job's acceptance to its decision.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._transaction = Histogram(
            "aurora_transaction_seconds",
            "From the first statement of a deciding transaction to its end.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._processing = Histogram(
            "aurora_processing_seconds",
            "From handing in an event's batch to noting its outcomes in Redis.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch = Histogram(
            "aurora_batch_jobs", "Jobs of one event's batch.", buckets=_JOBS, registry=self.registry
        )
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
        self._transaction.observe(took_s)

    def decided(self, jobs: Sequence[Job], outcomes: Sequence[Outcome], processing_s: float) -> None:
        """Count a batch that is decided and noted."""
        self._batch.observe(len(jobs))
        self._processing.observe(processing_s)
        for name, count in Count(outcome.reason or outcome.kind for outcome in outcomes).items():
            self._outcomes.labels(name).inc(count)
        for job, outcome in zip(jobs, outcomes, strict=True):
            self._wait.observe((outcome.decided_at - job.accepted_at).total_seconds())

    def webhook(self, result: Literal["delivered", "failed", "given_up"], count: int) -> None:
        """Count deliveries to webhooks."""
        self._webhooks.labels(result).inc(count)


class NoMetrics(Metrics):
    """Measures nothing."""

    def accepted(self, count: int) -> None:
        """Count nothing."""

    def transaction(self, took_s: float) -> None:
        """Note nothing."""

    def decided(self, jobs: Sequence[Job], outcomes: Sequence[Outcome], processing_s: float) -> None:
        """Count nothing."""

    def webhook(self, result: Literal["delivered", "failed", "given_up"], count: int) -> None:
        """Count nothing."""


NO_METRICS = NoMetrics()
