"""A host that the supervisor is a guest of: its own actors, and everything it must find as it was."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pykka

from aurora_atlan.supervisor import Supervisor
from faults.row import demand

_STOP_S = 20.0


class HostActor(pykka.ThreadingActor):
    """Somebody else's actor in the same process."""

    def on_receive(self, message: Any) -> Any:
        """Answer with the question."""
        return message


@contextmanager
def host_actors() -> Iterator[Callable[[], None]]:
    """Run actors of a host; yields what demands that they live and answer."""
    hosts = [HostActor.start() for _ in range(3)]

    def answer() -> None:
        known = pykka.ActorRegistry.get_all()
        # One of ours may be there for the moment that it is being started.
        demand({host.actor_urn for host in hosts} <= {ref.actor_urn for ref in known}, f"the registry has {known}")
        demand([host.ask("alive?", timeout=1) for host in hosts] == ["alive?"] * 3, "a host's actor is mute")

    try:
        yield answer
    finally:
        for host in hosts:
            host.stop()


def census() -> dict[str, object]:
    """Return everything of this process that a guest must leave as it was."""
    gc.collect()
    loggers = [
        logging.getLogger(),
        *(one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)),
    ]
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": psutil.Process().num_fds(),
        "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "log handlers": {one.name: list(one.handlers) for one in loggers if one.handlers},
        "root log level": logging.getLogger().level,
        "pykka registry": sorted(ref.actor_urn for ref in pykka.ActorRegistry.get_all()),
    }


def demand_same(before: dict[str, object]) -> None:
    """Demand that nothing has changed since an earlier census."""
    now = census()
    changed = {name: (before[name], now[name]) for name in before if before[name] != now[name]}
    demand(not changed, f"left behind (before, after): {changed}")


def stop_from_ten_threads(supervisor: Supervisor) -> None:
    """Stop a supervisor from ten threads at once; demand that all of them return within 20 s."""
    barrier = threading.Barrier(10)
    ends: list[float] = []

    def stop() -> None:
        barrier.wait(10)
        supervisor.stop()
        ends.append(time.monotonic())

    began = time.monotonic()
    threads = [threading.Thread(target=stop, daemon=True) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, began + 2 * _STOP_S - time.monotonic()))
    demand(len(ends) == 10, f"{10 - len(ends)} of ten stops did not return")
    demand(max(ends) - began <= _STOP_S, f"stopping took {max(ends) - began:.1f} s")
