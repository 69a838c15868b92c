"""How the serving process treats its memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from aurora_atlan.commands.process import collect_rarely


@pytest.fixture
def collector() -> Iterator[None]:
    """Gives the collector back as it was."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("collector")
def test_what_is_there_is_not_looked_at_again_and_cycles_go_all_the_same() -> None:
    """Garbage that refers to itself is found, only later."""

    class Cycle:
        alive = 0

        def __init__(self) -> None:
            Cycle.alive += 1
            self.itself = self

        def __del__(self) -> None:
            Cycle.alive -= 1

    collect_rarely()
    assert gc.get_freeze_count() > 1000
    assert gc.isenabled()

    made = 200_000
    for _ in range(made):
        Cycle()

    assert Cycle.alive < made / 2
