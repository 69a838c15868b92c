"""The tables of the report, as rows of words."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.results import Results, Sample
from benchmarks.scenarios import EVERYTHING
from benchmarks.targets import judged
from benchmarks.usage import OTHERS, OTHERS_MAX, PARTIES

Rows = list[Sequence[str]]

TARGETS_HEAD = ("measured", "target", "value", "")
FIGURES_HEAD = ("scenario", "accepted/s", "confirmed/s", "requests/s", "p50 ms", "p99 ms", "max ms")
PROCESSOR_HEAD = ("scenario", "serving process", "PostgreSQL", "Redis", "load generator", "others")

_RATES = ("accepted_per_s", "confirmed_per_s", "requests_per_s")
_TIMES = ("p50_ms", "p99_ms", "max_ms")
# Of the half-loaded service, where two clients measure.
_PROBED = (("probe", "... accepting, as a probe beside it saw it"), ("answer", "... from accepting to the answer"))


def targets(results: Results) -> Rows:
    """Return each target, what it should be, what it is, and whether it is met."""
    return [verdict.cells() for verdict in judged(results)]


def figures(results: Results) -> Rows:
    """Return rates and latencies of each scenario; medians over the rounds."""
    rows: Rows = []
    for scenario in EVERYTHING:
        medians = results.medians(scenario.name)
        if any(figure in medians for figure in _RATES):
            rates = [_number(medians, figure, "{:,.0f}") for figure in _RATES]
            rows.append((scenario.title, *rates, *(_number(medians, figure, "{:.1f}") for figure in _TIMES)))
        for prefix, title in _PROBED:
            if f"{prefix}_p50_ms" in medians:
                times = [_number(medians, f"{prefix}_{figure}", "{:.1f}") for figure in _TIMES]
                rows.append((title, "", "", "", *times))
    return rows


def processor(results: Results) -> Rows:
    """Return who used how much of a core in each scenario; medians over the rounds."""
    medians = ((scenario.title, results.medians(scenario.name)) for scenario in EVERYTHING)
    return [
        (title, *(_number(found, f"cpu_{party}", "{:.0%}") for party in (*PARTIES, OTHERS)))
        for title, found in medians
        if f"cpu_{PARTIES[0]}" in found
    ]


def disturbed(results: Results) -> str:
    """Say how often other programs used the machine meanwhile; nothing where they never did."""
    shares = [sample.get(f"cpu_{OTHERS}", 0.0) for samples in results.samples.values() for sample in samples]
    count = sum(share > OTHERS_MAX for share in shares)
    if not count:
        return ""
    return (
        f"Other programs used more than {OTHERS_MAX:.0%} of a core during {count} of the {len(shares)} measurements: "
        "these figures are too low, and their ratios unsure."
    )


def line(sample: Sample) -> str:
    """Return the figures of one sample in a line, without those of the processor."""
    return "  ".join(f"{name} {value:,.4g}" for name, value in sample.items() if not name.startswith("cpu_"))


def _number(sample: Sample, figure: str, form: str) -> str:
    return form.format(sample[figure]) if figure in sample else ""
