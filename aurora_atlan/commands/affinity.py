"""Which processor cores the serving process runs on, and which the embedded servers.

A serving process is an I/O thread and many workers that fight for the interpreter's lock: on one core they
serve several times what they do on two. There a thread that is woken can do nothing but wait for that lock, so it
must not interrupt the one that holds it: that is what Linux's scheduling policy for batch processing is, see
sched(7). Only the command line pins; an embedding program is left alone.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from aurora_atlan.config import ConfigurationError

_SAMPLE_S = 0.1
_BUSY_STEP_PERCENT = 10.0
_INTERRUPTS = Path("/proc/interrupts")


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores to serve on and those for other servers; ``serving`` None: wherever the system likes."""

    allowed: frozenset[int]
    serving: frozenset[int] | None = None

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Start children in this block, by this thread, on the cores that do not serve."""
        if self.serving is None:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._others)
        _schedule("SCHED_OTHER")
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)
            if before == self.serving:
                _schedule("SCHED_BATCH")

    def pin(self) -> None:
        """Keep this thread, and all that it starts from now on, on the serving cores, and from interrupting others."""
        if self.serving is not None:
            os.sched_setaffinity(0, self.serving)
            _schedule("SCHED_BATCH")

    def describe(self) -> str:
        """Say in words who runs where."""
        if self.serving is None:
            return f"any of {_listed(self.allowed)}"
        return f"{_listed(self.serving)} of {_listed(self.allowed)}, embedded servers on {_listed(self._others)}"

    @property
    def _others(self) -> frozenset[int]:
        return self.allowed - self.serving if self.serving and self.serving < self.allowed else self.allowed


def choose_cores(wanted: Literal["auto", "off"] | tuple[int, ...]) -> Cores:
    """Choose the cores for a setting of AURORA_CPU_AFFINITY.

    ``auto`` takes an idle one of those that this process may use, and of several the one that devices interrupt
    least; none where there is only one or the system does not pin. Raises :class:`ConfigurationError` for a core
    that may not be used.
    """
    if not hasattr(os, "sched_getaffinity"):
        if isinstance(wanted, tuple):
            raise ConfigurationError("AURORA_CPU_AFFINITY accepts auto or off on this system, which does not pin")
        return Cores(frozenset(range(os.cpu_count() or 1)))
    allowed = frozenset(os.sched_getaffinity(0))
    if wanted == "off" or (wanted == "auto" and len(allowed) == 1):
        return Cores(allowed)
    if wanted == "auto":
        return Cores(allowed, frozenset({_quietest(allowed)}))
    serving = frozenset(wanted)
    if not serving <= allowed:
        raise ConfigurationError(
            f"AURORA_CPU_AFFINITY names core {min(serving - allowed)}, but this process may use {_listed(allowed)}"
        )
    return Cores(allowed, serving)


def _quietest(allowed: frozenset[int]) -> int:
    busy = dict(enumerate(psutil.cpu_percent(interval=_SAMPLE_S, percpu=True)))
    interrupts = _device_interrupts()
    # So short a look tells a busy core from an idle one, and no more.
    return min(allowed, key=lambda core: (busy.get(core, 0.0) // _BUSY_STEP_PERCENT, interrupts[core], -core))


def _device_interrupts() -> Counter[int]:
    # How often each core had to see to a device since the machine started: a device stays with its core, and every sync
    # of a disk is a few interrupts. See proc_interrupts(5); only the lines of devices begin with a number.
    counts: Counter[int] = Counter()
    with suppress(OSError, ValueError):
        head, *lines = _INTERRUPTS.read_text(encoding="ascii").splitlines()
        cores = [int(name.removeprefix("CPU")) for name in head.split()]
        for line in lines:
            number, _, columns = line.partition(":")
            if number.strip().isdigit():
                counts.update(dict(zip(cores, map(int, columns.split()[: len(cores)]), strict=True)))
        return counts
    # Half a table would mislead.
    return Counter()


def _schedule(policy: str) -> None:
    # A sandbox may not allow it, and not every system has it; it is slower without.
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, getattr(os, policy), os.sched_param(0))


def _listed(cores: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cores)))
