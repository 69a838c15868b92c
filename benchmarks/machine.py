"""What it was measured on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path

import psutil

from benchmarks.load import wrk_version
from benchmarks.stores import Stores

_SYNCS = 50
_PAGE_BYTES = 4096


def describe(stores: Stores, folder: Path) -> dict[str, str]:
    """Return what matters of the machine and the programs, by name; syncs a few pages in the folder to time it."""
    return {
        "Processor": f"{_model()}, {psutil.cpu_count() or 1} cores",
        "Memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "System": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "Disk": f"a page is on it in {_sync_ms(folder):.2f} ms (median of {_SYNCS} fsyncs)",
        "Python": platform.python_version(),
        **stores.versions(),
        "wrk": wrk_version(),
    }


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _sync_ms(folder: Path) -> float:
    took = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(bytes(_PAGE_BYTES))
            began_at = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began_at)
    return statistics.median(took) * 1000
