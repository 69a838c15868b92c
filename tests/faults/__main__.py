"""``python -m faults``: inject faults into real services and judge what came of it."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from faults.row import Row, Scale, wanted
from faults.runner import Result, Runner, all_rows, sometimes_of


def main() -> int:
    """Run what the command line asks for and return the exit code."""
    arguments = _arguments()
    scale = Scale(arguments.scale)
    rows = all_rows()
    if arguments.row:
        unknown = set(arguments.row) - {row.key for row in rows}
        if unknown:
            click.echo(f"There is no row {', '.join(sorted(unknown))}; --list shows them.", err=True)
            return 2
        rows = [row for row in rows if row.key in arguments.row]
    if arguments.list:
        for row in rows:
            click.echo(f"{row.key:28} {wanted(row, scale):>9,}  {row.fault}: {row.passes_when}")
        return 0
    # At full scale the limits of time are the product's defaults, and nobody else shall slow it down.
    jobs = arguments.jobs or (2 if scale in (Scale.ONCE, Scale.CI) else 1)
    began_at = time.monotonic()
    try:
        results = Runner(scale, jobs=jobs, budget_s=arguments.budget).run(rows)
    except KeyboardInterrupt:
        click.echo("\nInterrupted; every process has ended.")
        return 130
    took_s = time.monotonic() - began_at
    sometimes = sometimes_of(results)
    # A part of the rows cannot be asked to meet every rare path.
    missed = [] if arguments.row else [name for name, count in sometimes.items() if not count]
    _print_end(results, sometimes, missed, took_s)
    if arguments.report is not None:
        text = _markdown(scale, results, sometimes, missed, took_s)
        arguments.report.write_text(text, encoding="utf-8")
    return 1 if missed or any(not result.ok for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--scale", choices=[scale.value for scale in Scale], default=Scale.CI.value)
    parser.add_argument("--row", action="append", metavar="KEY", help="only this row; may be given again")
    parser.add_argument("--list", action="store_true", help="show the rows and how often each is wanted")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="how many rows at a time")
    parser.add_argument("--budget", type=float, default=320.0, metavar="S", help="seconds for all rows at scale ci")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the results as a Markdown table")
    return parser.parse_args()


def _print_end(results: Sequence[Result], sometimes: Counter[str], missed: Sequence[str], took_s: float) -> None:
    click.echo("\nRare paths taken:")
    for name, count in sometimes.items():
        click.echo(f"  {name:45} {count:>9,}{'  FAIL: never' if name in missed else ''}")
    failed = [result.row.key for result in results if not result.ok]
    passed = len(results) - len(failed)
    click.echo(f"\n{passed} of {len(results)} rows passed in {took_s:.0f} s.")
    if failed:
        click.echo(f"Failed: {', '.join(failed)}")


def _markdown(
    scale: Scale, results: Sequence[Result], sometimes: Counter[str], missed: Sequence[str], took_s: float
) -> str:
    lines = [
        f"# Faults injected at scale `{scale}`",
        "",
        f"{sum(result.ok for result in results)} of {len(results)} rows passed in {took_s:.0f} s.",
        "",
        "| row | fault | passes when | reached/wanted | result | seconds | seen |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_markdown_row(result) for result in results]
    lines += ["", "| rare path | taken |", "|---|---|"]
    lines += [
        f"| {name} | {count:,}{' (**never: failed**)' if name in missed else ''} |" for name, count in sometimes.items()
    ]
    for result in results:
        if not result.ok:
            lines += ["", f"## {result.row.key}", "", "```", *result.problems, "```"]
    return "\n".join(lines) + "\n"


def _markdown_row(result: Result) -> str:
    row: Row = result.row
    seen = ", ".join(f"{name} {value}" for name, value in result.seen.items())
    verdict = "ok" if result.ok else "**failed**"
    cells = (
        row.key,
        row.fault,
        row.passes_when,
        f"{result.reached:,}/{result.wanted:,}",
        verdict,
        f"{result.took_s:.0f}",
        seen,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
