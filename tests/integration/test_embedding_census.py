"""What is there before a supervisor starts is there after it has stopped, and nothing else."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psutil
import pykka

from aurora_atlan import BookTickets, Settings, Supervisor
from aurora_atlan.persistence.embedded import EmbeddedRedis
from harness.databases import Databases
from harness_sales import wait_until

_CYCLES = 50
# Nobody listens there: the discard port.
_NO_POSTGRES = "postgresql://nobody@127.0.0.1:9/nothing"
_NO_REDIS = "redis://127.0.0.1:9/0"


def _census() -> dict[str, Any]:
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": psutil.Process().num_fds(),
        "children": len(psutil.Process().children()),
        "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "logging handlers": [(logger.name, list(logger.handlers)) for logger in loggers if logger.handlers],
        "logging level": logging.getLogger().level,
        "actors": len(pykka.ActorRegistry.get_all()),
        "exit functions": atexit._ncallbacks(),
        "switch interval": sys.getswitchinterval(),
        "cores": os.sched_getaffinity(0),
    }


def _cycle(settings: Settings, meanwhile: Callable[[Supervisor], None]) -> None:
    supervisor = Supervisor(settings)
    supervisor.start()
    try:
        meanwhile(supervisor)
    finally:
        supervisor.stop()


def test_fifty_starts_and_stops_leave_nothing(
    settings: Settings, databases: Databases, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """Idle, selling, stopped at once, without PostgreSQL, without Redis."""
    event_id = make_event(capacity=1000)
    url = settings.database_url
    assert url is not None

    def nothing(supervisor: Supervisor) -> None:
        pass

    def ready(supervisor: Supervisor) -> None:
        wait_until(lambda: supervisor.health().ready, 10, "it is ready")

    def sale(supervisor: Supervisor) -> None:
        ready(supervisor)
        for user_id in buyers[:3]:
            supervisor.wait(supervisor.submit(BookTickets(event_id, user_id)), timeout=10)

    def missed(part: str) -> Callable[[Supervisor], None]:
        return lambda supervisor: wait_until(
            lambda: "out of reach" in supervisor.health().components[part].detail, 10, f"{part} is missed"
        )

    def cut_off(supervisor: Supervisor) -> None:
        sale(supervisor)
        with databases.out_of_reach(url):
            missed("postgresql")(supervisor)

    kinds: list[tuple[dict[str, Any], Callable[[Supervisor], None]]] = [
        ({}, sale),
        ({}, nothing),
        ({"database_url": _NO_POSTGRES}, missed("postgresql")),
        ({}, ready),
        ({"redis_url": _NO_REDIS}, missed("redis")),
    ]
    before = _census()

    for number in range(_CYCLES):
        changes, meanwhile = ({}, cut_off) if number == _CYCLES // 2 else kinds[number % len(kinds)]
        _cycle(replace(settings, **changes), meanwhile)

    with suppress(AssertionError):
        wait_until(lambda: _census() == before, 5, "everything is as it was")
    assert _census() == before


def test_a_redis_that_dies_meanwhile_leaves_nothing(
    settings: Settings, own_redis: EmbeddedRedis, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """Nor does a stop while it is away."""
    event_id = make_event()
    before = _census()

    def lose_redis(supervisor: Supervisor) -> None:
        wait_until(lambda: supervisor.health().ready, 10, "it is ready")
        supervisor.wait(supervisor.submit(BookTickets(event_id, buyers[0])), timeout=10)
        own_redis.stop()
        wait_until(lambda: not supervisor.health().ready, 10, "it is missed")

    _cycle(replace(settings, redis_url=own_redis.url()), lose_redis)
    own_redis.start()

    with suppress(AssertionError):
        wait_until(lambda: _census() == before, 5, "everything is as it was")
    assert _census() == before
