"""The plots of the report, as SVG."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import plan
from benchmarks.results import Results
from benchmarks.scenarios import EVERYTHING
from benchmarks.usage import PARTIES

_WIDTH_IN = 9.0
_ROW_IN = 0.4
_OURS, _THEIRS = "#2a6f97", "#b0b7bf"
_COLOURS = ("#2a6f97", "#6a994e", "#bc4749", "#b0b7bf")
_LABELS = ("serving process", "PostgreSQL", "Redis", "load generator")

_BOOKING = ("hot", "many", "zipf", "everysec", "bare", "rowlock-hot", "rowlock-many")
_LATENCIES = (
    ("hot", "", "accepting, as fast as it can"),
    ("half", "", "accepting, at half of that"),
    ("half", "answer_", "from accepting to the answer, at half of that"),
)
_PERCENTILES = ("p50", "p99", "max")


def draw(results: Results, folder: Path) -> list[tuple[str, str]]:
    """Write the plots into a folder; return their file names and titles."""
    # Text stays text, and two runs of the same numbers give the same bytes.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 10})
    drawn = (
        ("throughput.svg", "Bookings per second over HTTP", _throughput(results)),
        ("latency.svg", "Latency over HTTP, one hot event (ms)", _latency(results)),
        ("growth.svg", "Answers per second with bookings waiting", _growth(results)),
        ("processor.svg", "Who used the processor (share of a core)", _processor(results)),
    )
    for name, title, figure in drawn:
        axes = figure.axes[0]
        axes.set_title(title, loc="left", fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(folder / name, format="svg", bbox_inches="tight", metadata={"Date": None})
    return [(name, title) for name, title, _ in drawn]


def _throughput(results: Results) -> Figure:
    """Draw what was confirmed; of a baseline, what was answered."""
    rows = []
    for name in _BOOKING:
        confirmed, answered = results.median(name, "confirmed_per_s"), results.median(name, "requests_per_s")
        if answered is not None:
            rows.append((_title(name), confirmed or answered, _THEIRS if confirmed is None else _OURS))
    figure = _rows(len(rows))
    bars = figure.axes[0].barh([row[0] for row in rows], [row[1] for row in rows], color=[row[2] for row in rows])
    figure.axes[0].bar_label(bars, fmt="{:,.0f}", padding=3)
    return figure


def _latency(results: Results) -> Figure:
    figure = _rows(len(_LATENCIES) * 2)
    for number, percentile in enumerate(_PERCENTILES):
        values = [results.median(name, f"{prefix}{percentile}_ms") or 0.0 for name, prefix, _ in _LATENCIES]
        places = [row + (number - 1) * 0.27 for row in range(len(_LATENCIES))]
        bars = figure.axes[0].barh(places, values, height=0.25, label=percentile, color=_COLOURS[number])
        figure.axes[0].bar_label(bars, fmt="{:.1f}", padding=3)
    figure.axes[0].set_yticks(range(len(_LATENCIES)), [title for _, _, title in _LATENCIES])
    figure.axes[0].legend(frameon=False)
    return figure


def _growth(results: Results) -> Figure:
    figure = _rows(6, upside_down=False)
    places = range(len(plan.WAITING))
    for (name, figure_of), colour in zip(
        (("accepting a booking", "requests_per_s"), ("a waiting booking's status", "status_per_s")),
        _COLOURS,
        strict=False,
    ):
        values = [results.median(f"waiting-{count}", figure_of) or 0.0 for count in plan.WAITING]
        figure.axes[0].plot(places, values, marker="o", label=name, color=colour)
    figure.axes[0].set_xticks(places, [f"{count:,} waiting" for count in plan.WAITING])
    figure.axes[0].margins(y=0.15)
    figure.axes[0].set_ylim(bottom=0)
    figure.axes[0].legend(frameon=False)
    return figure


def _processor(results: Results) -> Figure:
    names = [each.name for each in EVERYTHING if results.median(each.name, f"cpu_{PARTIES[0]}") is not None]
    figure = _rows(len(names))
    ends = [0.0] * len(names)
    for party, label, colour in zip(PARTIES, _LABELS, _COLOURS, strict=True):
        shares = [results.median(name, f"cpu_{party}") or 0.0 for name in names]
        figure.axes[0].barh([_title(name) for name in names], shares, left=ends, label=label, color=colour)
        ends = [end + share for end, share in zip(ends, shares, strict=True)]
    figure.axes[0].xaxis.set_major_formatter("{x:.0%}")
    figure.axes[0].legend(frameon=False, loc="upper center", bbox_to_anchor=(0.3, -0.06), ncols=len(PARTIES))
    return figure


def _rows(count: int, *, upside_down: bool = True) -> Figure:
    figure = Figure(figsize=(_WIDTH_IN, _ROW_IN * count + 0.8))
    axes = figure.subplots()
    # Room for the numbers behind the bars.
    axes.margins(x=0.1)
    if upside_down:
        # The first row is the uppermost.
        axes.invert_yaxis()
    return figure


def _title(name: str) -> str:
    return next(each.title for each in EVERYTHING if each.name == name)
