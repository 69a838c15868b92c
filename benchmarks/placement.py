"""Which processor cores run what: the serving process one core, the stores and the load generator the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """The cores of this machine, shared out as the command line does it; all empty where a system does not pin."""

    allowed: frozenset[int]
    serving: frozenset[int]
    others: frozenset[int]

    def describe(self) -> str:
        """Say in words who runs where."""
        if not self.allowed:
            return "Nothing is pinned: this system does not pin."
        return (
            f"The serving process runs on core {_listed(self.serving)}; PostgreSQL, Redis and the load generator on "
            f"core {_listed(self.others)}."
        )


def choose_placement() -> Placement:
    """Share out the cores that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return Placement(frozenset(), frozenset(), frozenset())
    allowed = frozenset(os.sched_getaffinity(0))
    # The last: the first ones serve the interrupts.
    serving = frozenset({max(allowed)})
    return Placement(allowed, serving, allowed - serving or allowed)


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
