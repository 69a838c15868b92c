"""The load generator: wrk, its scripts, and what it reports."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks import plan
from benchmarks.results import MeasurementError

_SCRIPTS = Path(__file__).parent / "lua"
_LATER_S = 30
_TIMEOUT_S = 10


class MissingProgramError(Exception):
    """The load generator is not installed; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What wrk saw; times in milliseconds from sending a request to the end of its answer."""

    requests: int
    duration_s: float
    # Statuses above 399.
    refused: int
    # Connections that could not be made, read or written.
    broken: int
    # Answers that took longer than anybody waits.
    late: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def accepted(self) -> int:
        """Answers with a good status."""
        return self.requests - self.refused

    @property
    def per_s(self) -> float:
        """Good answers per second."""
        return self.accepted / self.duration_s

    def failures(self) -> list[str]:
        """Say which requests failed."""
        counts = {
            "refused": self.refused,
            "broken off": self.broken,
            f"answered after more than {_TIMEOUT_S} s": self.late,
        }
        return [f"{count:,} of {self.requests:,} requests were {what}" for what, count in counts.items() if count]


@dataclass(frozen=True, slots=True)
class Sellout:
    """What the buyers of a sell-out met."""

    answers: Answers
    # When the first request was sent, in seconds since 1970.
    began_at: float
    accepted: int
    # Requests sent again after a 429 or a 503.
    repeated: int
    # Answers that were none of 202, 429 and 503.
    strange: int


class Load:
    """One run of wrk, begun when this is made; what still runs when its ``with`` block is left is killed."""

    def __init__(self, url: str, script: str, *arguments: object, seconds: int) -> None:
        self._process = subprocess.Popen(
            [
                find_wrk(),
                # One thread is as fast as one core.
                "--threads=1",
                f"--connections={plan.CONNECTIONS}",
                f"--duration={seconds}s",
                f"--timeout={_TIMEOUT_S}s",
                f"--script={_SCRIPTS / script}.lua",
                url,
                "--",
                *map(str, arguments),
            ],
            env=os.environ | {"LUA_PATH": f"{_SCRIPTS}/?.lua"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._seconds = seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self) -> None:
        """Let it end now, before its time."""
        self._process.send_signal(signal.SIGINT)

    def answers(self) -> Answers:
        """Wait for the end and return what wrk saw; raises :class:`MeasurementError`."""
        return Answers(**self._report())

    def sellout(self) -> Sellout:
        """Return the same of a run of the script ``sellout``."""
        found = self._report()
        own = {name: found.pop(name) for name in ("began_at", "accepted", "repeated", "strange")}
        return Sellout(Answers(**found), **own)

    def _report(self) -> dict[str, Any]:
        try:
            said, errors = self._process.communicate(timeout=self._seconds + _LATER_S)
        except subprocess.TimeoutExpired as error:
            raise MeasurementError("wrk does not end") from error
        lines = said.splitlines()
        if self._process.returncode != 0 or not lines or not lines[-1].startswith("{"):
            raise MeasurementError(f"wrk ended with {self._process.returncode}: {(errors or said).strip()}")
        found: dict[str, Any] = json.loads(lines[-1])
        return found


def find_wrk() -> str:
    """Return the path of wrk; raises :class:`MissingProgramError`."""
    found = shutil.which("wrk")
    if found is None:
        raise MissingProgramError(
            "The benchmarks need the load generator wrk: install it (Debian and Ubuntu: apt install wrk, macOS: brew "
            "install wrk)."
        )
    return found


def wrk_version() -> str:
    """Return wrk's version, such as 4.1.0."""
    # wrk says it, and then fails, as it was given no address.
    said = subprocess.run([find_wrk(), "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"[0-9]+(\.[0-9]+)+", said)
    return found.group() if found else "unknown"
