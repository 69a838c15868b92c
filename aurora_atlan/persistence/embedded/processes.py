"""Server processes: our children, and those that a killed service left behind."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_GONE_TIMEOUT_S = 5.0
_POLL_S = 0.01


def stop_leftovers(folder: Path, programs: Sequence[str], polite: signal.Signals, timeout_s: float) -> int:
    """Stop the server that works in a folder and see it gone; return how many processes it had.

    Its processes are known by what cannot go stale, their program's name and working directory, never by a
    recorded process id, which may belong to another program by now. The polite signal goes to the parent
    of the others, which ends its own children in order. Raises :class:`TimeoutError` when a process
    survives even SIGKILL.
    """
    found = _working_in(folder, programs)
    pids = {process.pid for process in found}
    _signal_all((process for process in found if process.info["ppid"] not in pids), polite)
    _signal_all(_alive_after(found, timeout_s), signal.SIGKILL)
    survivors = _alive_after(found, _GONE_TIMEOUT_S)
    if survivors:
        raise TimeoutError(f"process {survivors[0].pid} does not end")
    return len(found)


def stop_child(child: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Stop a child with ever harder signals, each with its patience in seconds; return whether the first did.

    The last one is followed by SIGKILL. The child and its descendants are gone afterwards.
    """
    descendants = []
    with suppress(psutil.NoSuchProcess):
        descendants = psutil.Process(child.pid).children(recursive=True)
    politely = _stop(child, signals)
    _signal_all(_alive_after(descendants, _GONE_TIMEOUT_S), signal.SIGKILL)
    return politely


def _stop(child: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]]) -> bool:
    for attempt, (number, patience_s) in enumerate(signals):
        # Does nothing when the child has ended.
        child.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience_s)
            return attempt == 0
    child.kill()
    child.wait()
    return False


def _working_in(folder: Path, programs: Sequence[str]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["name", "ppid"]):
        if not (process.info["name"] or "").startswith(tuple(programs)) or not _alive(process):
            continue
        # Somebody else's processes do not say where they work.
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()) == folder:
                found.append(process)
    return found


def _signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _alive_after(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    deadline = time.monotonic() + timeout_s
    while (alive := [process for process in processes if _alive(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return alive


def _alive(process: psutil.Process) -> bool:
    # An orphan's zombie stays for ever in a container whose first process does not reap.
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
