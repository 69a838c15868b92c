"""Every row that is injected in this process, once: the fault happens, and the promises hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import rows_actors, rows_stores
from faults.row import Row, Scale, Stage, unique_keys, wanted
from faults.stage_sale import one_template
from harness.short_paths import short_folder

ROWS = (*rows_actors.ROWS, *rows_stores.ROWS)
_BUDGET_S = 3.0


@pytest.fixture(scope="module", autouse=True)
def template() -> Iterator[None]:
    """One data folder of PostgreSQL for all rows to copy."""
    with one_template():
        yield


def stage_for(row: Row, folder: Path) -> Stage:
    """Set the stage for a row that is done once."""
    return Stage(Scale.ONCE, wanted(row, Scale.ONCE), folder, _BUDGET_S)


# Those that measure milliseconds need the machine for themselves; two test files run at a time here.
@pytest.mark.parametrize("row", [row for row in ROWS if not row.alone], ids=lambda row: row.key)
def test_a_row_passes_once(row: Row) -> None:
    """The fault is injected at least once, and whatever the row demands is met."""
    with short_folder() as folder:
        stage = stage_for(row, folder)
        row.run(stage)
    assert stage.reached >= stage.wanted


def test_no_two_rows_share_a_key() -> None:
    """The command line tells rows apart by their keys."""
    unique_keys(ROWS)
