"""Which processor cores run what: the serving process one core, the stores and the load generator the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aurora_atlan.commands.affinity import choose_cores


@dataclass(frozen=True, slots=True)
class Placement:
    """The cores of this machine, shared out as the command line does it; all empty where nothing is pinned."""

    allowed: frozenset[int]
    serving: frozenset[int]
    others: frozenset[int]

    def describe(self) -> str:
        """Say in words who runs where."""
        if not self.allowed:
            return "Nothing is pinned: there is one core, or this system does not pin."
        return (
            f"The serving process runs on core {_listed(self.serving)}; PostgreSQL, Redis and the load generator on "
            f"core {_listed(self.others)}."
        )


def choose_placement() -> Placement:
    """Share out the cores that this process may use as ``AURORA_CPU_AFFINITY=auto`` does."""
    cores = choose_cores("auto")
    if cores.serving is None:
        return Placement(frozenset(), frozenset(), frozenset())
    return Placement(cores.allowed, cores.serving, cores.allowed - cores.serving)


@contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """Run this block, and children started in it by this thread, on these cores; anywhere if there are none."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _listed(cores: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(cores)))
