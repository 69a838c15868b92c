"""The report as documents: Markdown, plots, and the raw numbers."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import plots, tables
from benchmarks.placement import Placement
from benchmarks.plan import CONNECTIONS, ENGINE_THREADS, PROBE_PER_SECOND, Plan
from benchmarks.results import Results

_FOLDER = "benchmarks"
# What people found out about the figures; it stands in the page as it is.
_LIMITS = Path(__file__).with_name("limits.md")
# Of a line, in characters.
_WIDTH = 120

_METHOD = """\
`make bench` starts a PostgreSQL and a Redis of its own, as the product starts and configures them: every commit and
every accepted booking is on disk before it is answered. All scenarios are measured in one run, in turns, {rounds}
times each, {seconds} seconds of load at a time; every figure is the median over the rounds, and every ratio the median
of the rounds' own ratios. {placement} The baselines are placed in the same way, and get the same requests. They take
the same scheduling policy and settings of the garbage collector, too; once more without, as told.

A database that has seen more bookings takes a little longer. So rate limits and metrics are compared in three databases
of their own, which have seen as much.

Load comes from wrk over {connections} connections. Every request that books is another user's, with a token that the
server has not seen lately, for an event made for that measurement. What was accepted and confirmed is counted in the
ledger, from the first acceptance to the last one, or to the last decision; what wrk saw must agree with it. At half of
the saturation wrk is held to half the rate that it reached in the same round, while a probe books {probe} times a
second and asks for its answer every 2 ms. The engine without HTTP is a process that embeds the supervisor and books
from {threads} threads.

After each measurement the database is vacuumed, analysed and written to disk, and Redis rewrites its file, so that
they do not do so during the next one.

Afterwards the audit recomputes everything that was booked. An audit that is not clean, an answer that is wrong or a
request that fails makes the run fail."""

_TEMPLATE = """\
# Benchmarks

Written by `make bench` on {date}; do not edit. For those who want to know how fast it is, and what limits it.

## Targets

{targets}{disturbed}

## Figures

{figures}

{images}

## Who used the processor

As a share of one core. What is near 100 % in a row, or makes it up together on the cores that it shares, is the limit
there.

{processor}

{limits}

## How it was measured

{method}

{machine}

## Repeat it

```
make bench                                # everything, in less than ten minutes; it rewrites this page
make bench ARGS="--only hot,bare"         # some scenarios or groups of them, told on the terminal only
make bench ARGS="--rounds 5 --seconds 3"  # more rounds, shorter
```

It needs [wrk](https://github.com/wg/wrk) (on Debian: `apt install wrk`). Figures of two machines say little beside
each other: the ratios to the baselines say more. The numbers of every round are in
[benchmarks/results.json](benchmarks/results.json); the baselines are `benchmarks/bare.py` and `benchmarks/row_lock.py`.
"""


def write(results: Results, given: Plan, machine: dict[str, str], placement: Placement, folder: Path) -> Path:
    """Write everything into a folder, such as docs/, and return the page's path."""
    own = folder / _FOLDER
    own.mkdir(parents=True, exist_ok=True)
    images = plots.draw(results, own)
    _write_numbers(results, given, machine, own / "results.json")
    page = folder / "benchmarks.md"
    text = _TEMPLATE.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        targets=_table(tables.TARGETS_HEAD, tables.targets(results)),
        disturbed=f"\n\n{tables.disturbed(results)}".rstrip(),
        figures=_table(tables.FIGURES_HEAD, tables.figures(results)),
        images="\n\n".join(f"![{title}]({_FOLDER}/{name})" for name, title in images),
        processor=_table(tables.PROCESSOR_HEAD, tables.processor(results)),
        limits=_LIMITS.read_text(encoding="utf-8").rstrip(),
        method=_method(given, placement),
        machine=_table(("", ""), machine.items()),
    )
    page.write_text(text, encoding="utf-8")
    return page


def _method(given: Plan, placement: Placement) -> str:
    values = {
        "rounds": given.rounds,
        "seconds": given.seconds,
        "connections": CONNECTIONS,
        "probe": PROBE_PER_SECOND,
        "threads": ENGINE_THREADS,
        "placement": placement.describe(),
    }
    # What is filled in makes lines longer.
    return "\n\n".join(textwrap.fill(paragraph, _WIDTH) for paragraph in _METHOD.format(**values).split("\n\n"))


def _write_numbers(results: Results, given: Plan, machine: dict[str, str], file: Path) -> None:
    document = {"plan": asdict(given), "machine": machine, "samples": results.samples, "failures": results.failures}
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    numbers = len(head) > 4
    rule = ["---", *("---:" if numbers else "---" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
