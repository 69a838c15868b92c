"""Who used the processor: the parties of a measurement, and everybody else on the machine; as shares of a core."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.results import MeasurementError
from benchmarks.stores import Stores

PARTIES = ("service", "postgresql", "redis", "load")
# Whatever else runs here, the kernel's own work for the parties included.
OTHERS = "others"
# Of a core: a machine that does nothing else needs a few percent of it for itself.
OTHERS_MAX = 0.2


class Meter:
    """Measures the processor time of the parties over a block."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    @contextmanager
    def over(self, service_pid: int) -> Iterator[dict[str, float]]:
        """Give an empty dict that holds ``cpu_<party>``, from 0.0 to the number of cores, once the block has ended."""
        shares: dict[str, float] = {}
        before, began_at = self._spent_s(service_pid), time.monotonic()
        yield shares
        after, took_s = self._spent_s(service_pid), time.monotonic() - began_at
        spent = {party: after[party] - before[party] for party in after}
        spent[OTHERS] = max(0.0, spent[OTHERS] - sum(spent[party] for party in PARTIES))
        shares.update({f"cpu_{party}": spent_s / took_s for party, spent_s in spent.items()})

    def _spent_s(self, service_pid: int) -> dict[str, float]:
        return {
            "service": _tree_s(service_pid),
            "postgresql": _tree_s(self._stores.postgres.pid),
            "redis": _tree_s(self._stores.redis.pid),
            # wrk, a child that has been waited for, and this process, which probes and polls.
            "load": _own_s(resource.RUSAGE_CHILDREN) + _own_s(resource.RUSAGE_SELF),
            OTHERS: _machine_s(),
        }


def _tree_s(pid: int | None) -> float:
    if pid is None:
        raise MeasurementError("a store has ended")
    try:
        root = psutil.Process(pid)
        tree = (root, *root.children(recursive=True))
    except psutil.NoSuchProcess as error:
        raise MeasurementError(f"a process has ended: {error}") from error
    total_s = 0.0
    for process in tree:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        # Those of ended children, too: PostgreSQL's processes come and go.
        total_s += sum(times[:4])
    return total_s


def _machine_s() -> float:
    times = psutil.cpu_times()
    # The time of guests is part of the user's.
    unused = ("idle", "iowait", "guest", "guest_nice")
    return float(sum(times) - sum(getattr(times, name, 0.0) for name in unused))


def _own_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime
