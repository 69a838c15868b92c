"""Fixtures of the tests that run the service as a process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from aurora_atlan.persistence.embedded.processes import stop_leftovers
from harness.service import ServiceProcess


@pytest.fixture
def own_service(data_dir: Path, tmp_path: Path) -> Iterator[Callable[[], ServiceProcess]]:
    """Makes services over embedded servers of their own in one data directory, all gone afterwards."""
    with ExitStack() as stack:
        numbers = iter(range(1, 100))

        def make() -> ServiceProcess:
            environ = {"AURORA_DATA_DIR": str(data_dir / "var"), "AURORA_CPU_AFFINITY": "off"}
            service = ServiceProcess(environ, tmp_path / f"own-{next(numbers)}.log")
            stack.callback(service.stop)
            return service

        yield make
    # A failed test may have left the servers of a killed service.
    stop_leftovers(data_dir / "var" / "redis", ("redis-server",), signal.SIGTERM, 5.0)
    stop_leftovers(data_dir / "var" / "postgres", ("postgres",), signal.SIGINT, 10.0)
