"""The command line: measure, tell, and write the report."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks import machine, plan, tables
from benchmarks.load import MissingProgramError, find_wrk
from benchmarks.placement import choose_placement, on
from benchmarks.results import Results
from benchmarks.runner import Runner
from benchmarks.scenarios import EVERYTHING, chosen
from benchmarks.world import World

_BROKEN = 1
_TERMINATED = 128 + signal.SIGTERM
# Of a line in a file, in characters.
_WIDTH = 132


@click.command()
@click.option("--only", help="Names or groups of scenarios, with commas; the report is then not written.")
@click.option("--rounds", type=click.IntRange(1, 100), default=plan.ROUNDS, show_default=True)
@click.option(
    "--seconds",
    type=click.IntRange(1, 30),
    default=plan.SECONDS,
    show_default=True,
    help="Of load, for each measurement.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("docs"),
    show_default=True,
    help="The folder for the report.",
)
def main(only: str | None, rounds: int, seconds: int, out: Path) -> None:
    """Measure how fast the service is, beside baselines, on servers of its own.

    Exits 0 also when a target is not met, and 1 when a promise was broken or a request failed.
    """
    try:
        find_wrk()
        names = chosen(only.split(",") if only else [each.name for each in EVERYTHING])
    except MissingProgramError as error:
        raise click.ClickException(str(error)) from error
    except ValueError as error:
        known = ", ".join(dict.fromkeys(word for each in EVERYTHING for word in (each.group, each.name)))
        raise click.BadParameter(f"there is no {error}; there are {known}", param_hint="--only") from error
    # Ended politely, it leaves no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    given = plan.Plan(rounds, seconds)
    placement = choose_placement()
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    with on(placement.others), _short_folder() as folder, World(given, folder, placement) as world:
        found = machine.describe(world.stores, folder)
        Runner(world, names, console).run()
    _tell(world.results, console)
    if not only:
        # The plots want a library that nothing else here does.
        from benchmarks import documents  # noqa: PLC0415

        page = documents.write(world.results, given, found, placement, out)
        console.print(f"Wrote {page}.")
    for failure in world.results.failures:
        console.print(f"FAILED: {failure}", style="bold red", highlight=False)
    sys.exit(_BROKEN if world.results.failures else os.EX_OK)


def _tell(results: Results, console: Console) -> None:
    _print(console, tables.FIGURES_HEAD, tables.figures(results))
    _print(console, tables.PROCESSOR_HEAD, tables.processor(results))
    _print(console, tables.TARGETS_HEAD, tables.targets(results))
    if disturbed := tables.disturbed(results):
        console.print(disturbed, style="yellow", highlight=False)


def _print(console: Console, head: Sequence[str], rows: tables.Rows) -> None:
    if not rows:
        return
    table = Table()
    for number, title in enumerate(head):
        table.add_column(title, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


@contextmanager
def _short_folder() -> Iterator[Path]:
    """Make a folder whose path is short enough for unix sockets, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aa"))
    try:
        # For root: PostgreSQL's account must pass through.
        folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
