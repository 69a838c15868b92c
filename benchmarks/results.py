"""What was measured: a sample for each scenario and round, and medians over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Sample = dict[str, float]


class MeasurementError(Exception):
    """A measurement could not be made; the message says why."""


class Results:
    """Samples by scenario, in the order of the rounds."""

    def __init__(self) -> None:
        self.samples: dict[str, list[Sample]] = {}
        # Broken promises and failed requests, in sentences.
        self.failures: list[str] = []

    def add(self, scenario: str, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.setdefault(scenario, []).append(sample)

    def last(self, scenario: str, figure: str) -> float:
        """Return a figure of the newest sample; raises :class:`MeasurementError` where there is none."""
        samples = self.samples.get(scenario)
        if not samples:
            raise MeasurementError(f"it takes its measure from {scenario}, which was not measured")
        return samples[-1][figure]

    def median(self, scenario: str, figure: str) -> float | None:
        """Return the median of a figure over the rounds; None where it was not measured."""
        values = self._values(scenario, figure)
        return statistics.median(values) if values else None

    def ratio(self, figure: tuple[str, str], per: tuple[str, str]) -> float | None:
        """Return the median of the rounds' ratios of two figures, each given by scenario and name.

        None where one was not measured; where one is missing in some round, the ratio of the medians.
        """
        values, others = self._values(*figure), self._values(*per)
        if not values or not others:
            return None
        if len(values) != len(others):
            values, others = [statistics.median(values)], [statistics.median(others)]
        if not all(others):
            return None
        return statistics.median(value / other for value, other in zip(values, others, strict=True))

    def medians(self, scenario: str) -> Sample:
        """Return the medians of all figures of a scenario."""
        figures = dict.fromkeys(figure for sample in self.samples.get(scenario, ()) for figure in sample)
        found = ((figure, self.median(scenario, figure)) for figure in figures)
        return {figure: value for figure, value in found if value is not None}

    def _values(self, scenario: str, figure: str) -> list[float]:
        return [sample[figure] for sample in self.samples.get(scenario, ()) if figure in sample]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` (0 to 1) of the values do not exceed; 0.0 without values."""
    if not values:
        return 0.0
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]
