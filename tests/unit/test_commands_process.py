"""How the serving process treats its memory and its threads."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aurora_atlan.commands.process import collect_rarely, spread_waiting_threads


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


def test_those_who_wait_are_kept_in_many_places() -> None:
    """Asked of a process of its own, since it stays so. 2 is PR_FUTEX_HASH_GET_SLOTS."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None or prctl(78, 2, 0, 0, 0) < 0:
        spread_waiting_threads()
        pytest.skip("this system does not let a process choose; it was asked, and nothing happened")
    program = (
        "import ctypes; from aurora_atlan.commands.process import spread_waiting_threads;"
        "spread_waiting_threads(); print(ctypes.CDLL(None).prctl(78, 2, 0, 0, 0))"
    )

    slots = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert slots.strip() == "4096"
