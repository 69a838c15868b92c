"""Histograms for what happens thousands of times a second.

One of prometheus_client takes a method call, two locks and a look at every bound for each value; and a request or a
booking has several. Here it is one lock and a binary search, for one value or for many.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.core import HistogramMetricFamily


class Histogram:
    """How many values were at most as large as each of the ``bounds``, which rise. Any thread may note values."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        # Between the bounds, the last above all of them.
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def note(self, value: float) -> None:
        """Note one value."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def note_all(self, values: Iterable[float]) -> None:
        """Note many."""
        bounds, counts = self._bounds, self._counts
        with self._lock:
            for value in values:
                counts[bisect_left(bounds, value)] += 1
                self._sum += value

    def add(self, other: Histogram) -> None:
        """Note what the other one, of the same bounds, has noted until now."""
        with other._lock:
            counts, total = list(other._counts), other._sum
        with self._lock:
            self._counts = [mine + more for mine, more in zip(self._counts, counts, strict=True)]
            self._sum += total

    @property
    def count(self) -> int:
        """How many values were noted."""
        with self._lock:
            return sum(self._counts)

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str] = ()) -> None:
        """Add it to a family of metrics as Prometheus has it: each bucket counts what is in those before it, too."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        seen = 0
        buckets = []
        for bound, count in zip((*map(float, self._bounds), "+Inf"), counts, strict=True):
            seen += count
            buckets.append((str(bound), seen))
        family.add_metric(labels, buckets, total)
