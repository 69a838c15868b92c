"""/metrics: what Prometheus reads, from registries of our own; and the counting of requests.

What waitress refuses before the application sees it is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import falcon
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client import generate_latest as render
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from aurora_atlan.actors.histogram import Histogram

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor

_METHODS = frozenset(falcon.HTTP_METHODS)
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class RequestMetrics:
    """Counts requests by method, route and status, and how long they took; falcon middleware."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Requests(self))
        # How long those of a method, a route and a status took, and since when they are counted.
        self.series: dict[tuple[str, str, str], tuple[Histogram, float]] = {}
        # By what falcon knows of a request: to work out its labels costs more than counting.
        self._known: dict[tuple[str, str | None, str | int], Histogram] = {}

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Note when it began."""
        req.context.began_at = time.perf_counter()

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _req_succeeded: bool
    ) -> None:
        """Count it."""
        key = (req.method, req.uri_template, resp.status)
        (self._known.get(key) or self._meet(*key)).note(time.perf_counter() - req.context.began_at)

    def _meet(self, method: str, template: str | None, status: str | int) -> Histogram:
        # Anybody can make up methods and addresses; they must not make series.
        labels = (method if method in _METHODS else "other", template or "none", str(status)[:3])
        histogram, _ = self.series.setdefault(labels, (Histogram(_SECONDS), time.time()))
        if method in _METHODS:
            self._known[method, template, status] = histogram
        return histogram


class _Requests(Collector):
    """The requests as Prometheus reads them."""

    def __init__(self, requests: RequestMetrics) -> None:
        self._requests = requests

    def collect(self) -> Iterable[Metric]:
        """Return how many there were, and how long those of each route took."""
        counted = CounterMetricFamily(
            "aurora_http_requests", "Requests answered.", labels=["method", "route", "status"]
        )
        took = HistogramMetricFamily(
            "aurora_http_request_seconds",
            "From a request's first look at the application to its answer.",
            labels=["route"],
        )
        of_route: dict[str, Histogram] = {}
        for (method, route, status), (histogram, since) in sorted(self._requests.series.items()):
            counted.add_metric([method, route, status], histogram.count, created=since)
            of_route.setdefault(route, Histogram(_SECONDS)).add(histogram)
        for route, histogram in of_route.items():
            histogram.add_to(took, [route])
        return counted, took


class MetricsPage:
    """GET /metrics."""

    def __init__(self, supervisor: Supervisor, requests: RequestMetrics) -> None:
        own = CollectorRegistry()
        own.register(_Standing(supervisor))
        ProcessCollector(registry=own)
        self._registries = (own, supervisor.metrics.registry, requests.registry)

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Render them."""
        resp.data = b"".join(map(render, self._registries))
        resp.content_type = CONTENT_TYPE_LATEST


class _Standing(Collector):
    """How things stand when one asks."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def describe(self) -> Iterable[Metric]:
        """Describe nothing: registering shall ask no store."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Ask the supervisor, and Redis for the queue."""
        report = self._supervisor.health()
        actors, redis = (report.components[name].values for name in ("actors", "redis"))
        yield GaugeMetricFamily("aurora_ready", "1 while bookings are accepted and decided.", report.ready)
        yield _labelled(
            GaugeMetricFamily("aurora_component_ok", "1 while a part is well.", labels=["component"]),
            {name: component.ok for name, component in report.components.items()},
        )
        yield _labelled(
            GaugeMetricFamily("aurora_events", "Events with an actor, waiting for one, held back.", labels=["state"]),
            {state: actors[state] for state in ("alive", "waiting", "quarantined")},
        )
        yield _count("aurora_actor_restarts", "Actors replaced after a crash.", actors["restarts"])
        yield _count("aurora_redis_rollbacks", "How often Redis came back older.", redis["rollbacks"])
        yield _count("aurora_jobs_lost", "Undecided jobs that Redis lost, at most.", redis["lostAtMost"])
        yield from self._queue()

    def _queue(self) -> Iterable[Metric]:
        backlog = self._supervisor.backlog()
        if backlog is None:
            return
        yield GaugeMetricFamily("aurora_queue_jobs", "Jobs that wait in Redis, of all processes.", backlog.jobs)
        yield GaugeMetricFamily("aurora_queue_events", "Events with jobs that wait.", backlog.events)
        age_s = backlog.oldest_waits_s(datetime.now(UTC))
        yield GaugeMetricFamily("aurora_queue_oldest_seconds", "How long the oldest of them has waited.", age_s)


def _labelled(family: GaugeMetricFamily, values: Mapping[str, Any]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], float(value))
    return family


def _count(name: str, documentation: str, value: Any) -> Metric:
    return CounterMetricFamily(name, documentation, float(value))
