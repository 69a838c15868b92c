"""Histograms against prometheus_client's own, and under many threads."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as TheirHistogram
from prometheus_client.core import HistogramMetricFamily

from aurora_atlan.actors.histogram import Histogram

_BOUNDS = (0.002, 0.5, 1, 60.0)


def _shown(*histograms: Histogram) -> dict[tuple[str, str | None], float]:
    family = HistogramMetricFamily("took_seconds", "How long it took.")
    together = Histogram(_BOUNDS)
    for histogram in histograms:
        together.add(histogram)
    together.add_to(family)
    return {(sample.name, sample.labels.get("le")): sample.value for sample in family.samples}


@given(st.lists(st.one_of(st.sampled_from(_BOUNDS), st.floats(0.0, 100.0))), st.lists(st.floats(0.0, 100.0)))
def test_it_says_what_prometheus_clients_says(values: list[float], more: list[float]) -> None:
    """A value that is as large as a bound is below it; two of them add up."""
    first, second = Histogram(_BOUNDS), Histogram(_BOUNDS)
    theirs = TheirHistogram("took_seconds", "How long it took.", buckets=_BOUNDS, registry=CollectorRegistry())
    first.note_all(values)
    for value in more:
        second.note(value)
    for value in (*values, *more):
        theirs.observe(value)

    [expected] = theirs.collect()
    shown = _shown(first, second)

    total = shown.pop(("took_seconds_sum", None))
    told = {
        (sample.name, sample.labels.get("le")): sample.value
        for sample in expected.samples
        if not sample.name.endswith("_created")
    }
    assert abs(total - told.pop(("took_seconds_sum", None))) < 1e-6
    assert shown == told
    assert first.count == len(values)


def test_nothing_is_lost_between_threads() -> None:
    """All of what eight threads note at once is counted."""
    histogram = Histogram(_BOUNDS)
    barrier = threading.Barrier(8)

    def note() -> None:
        barrier.wait()
        for _ in range(2_000):
            histogram.note(0.1)
            histogram.note_all([0.7, 70.0])

    threads = [threading.Thread(target=note) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert histogram.count == 48_000
    shown = _shown(histogram)
    assert [shown["took_seconds_bucket", bound] for bound in ("0.5", "1.0", "+Inf")] == [16_000, 32_000, 48_000]
