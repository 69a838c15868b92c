"""Plants ten bugs, one after the other, and demands that the checker finds each: ``python -m oracle [BUG ...]``.

Every sale is held without its bug, too, and then the checker must find nothing.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence

import click

from oracle.laboratory import Examination, laboratory
from oracle.mutations import MUTATIONS

_ROW = "{:30}{:8}{:24}{:8}{:11}{:>5}"


def _tell(examination: Examination) -> None:
    mutation = examination.mutation
    click.echo(
        _ROW.format(
            mutation.bug,
            mutation.wanted,
            ", ".join(examination.with_bug.invariants) or "none",
            "yes" if examination.caught else "NO",
            "clean" if examination.without_bug.clean else "NOT CLEAN",
            f"{examination.took_s:.1f}",
        )
    )
    click.echo(f"    {mutation.because}")
    for sentence in examination.evidence():
        click.echo(f"    {sentence}")


def main(arguments: Sequence[str]) -> int:
    """Plant the bugs whose names contain one of the arguments, or all; return the exit status."""
    logging.getLogger().addHandler(logging.NullHandler())
    wanted = [mutation for mutation in MUTATIONS if not arguments or any(word in mutation.bug for word in arguments)]
    started_at = time.monotonic()
    passed = 0
    click.echo(_ROW.format("planted bug", "wanted", "found", "caught", "without", "s"))
    with laboratory() as ours:
        for mutation in wanted:
            examination = ours.examine(mutation)
            _tell(examination)
            passed += examination.passed
    click.echo(f"{passed} of {len(wanted)} bugs caught, in {time.monotonic() - started_at:.0f} s")
    return 0 if wanted and passed == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
