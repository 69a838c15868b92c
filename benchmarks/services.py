"""The processes under test: servers of HTTP, and the engine without HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.placement import on
from benchmarks.results import MeasurementError

_READY_WITHIN_S = 30.0
_POLL_S = 0.05
_STOP_WITHIN_S = 25.0
# What a person's own environment may hold and must not change a measurement.
_OURS = ("AURORA_", "DATABASE_URL", "REDIS_URL", "JWT_SECRET", "HOST", "PORT")


class Server:
    """A process that serves HTTP on a port of its own until it is stopped; its output goes to a file."""

    def __init__(
        self,
        module: Sequence[str],
        environ: Mapping[str, str],
        *,
        cores: frozenset[int],
        log_file: Path,
        ready_path: str,
    ) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log_file = log_file
        with log_file.open("ab") as output, on(cores):
            self._process = subprocess.Popen(
                [sys.executable, "-m", *module],
                env=_environment(environ) | {"PORT": str(port)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_ready(f"{self.url}{ready_path}")
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def post(self, path: str, token: str) -> None:
        """POST nothing to a path as whom the token says; raises OSError unless it is answered well."""
        asked = urllib.request.Request(
            f"{self.url}{path}", data=b"", headers={"Authorization": f"Bearer {token}"}, method="POST"
        )
        # urllib would call it a form otherwise.
        asked.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(asked, timeout=10) as response:
            response.read()

    def stop(self) -> None:
        """End the process, first gently."""
        _stop(self._process)

    def _wait_ready(self, url: str) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log_file.read_text(encoding="utf-8", errors="replace")
                raise MeasurementError(f"a server did not get ready:\n{said[-2_000:]}")
            time.sleep(_POLL_S)


class Engine:
    """A process that embeds the supervisor, without HTTP; see :mod:`benchmarks.engine`."""

    def __init__(self, environ: Mapping[str, str], *, cores: frozenset[int], log_file: Path) -> None:
        with log_file.open("ab") as output, on(cores):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.engine"],
                env=_environment(environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        self._log_file = log_file
        try:
            self._answer()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, what: str, **arguments: Any) -> dict[str, float]:
        """Let the engine do one thing and return what it measured; raises :class:`MeasurementError`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"what": what, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End the process, first gently."""
        _stop(self._process)

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._log_file.read_text(encoding="utf-8", errors="replace")
            raise MeasurementError(f"the engine ended:\n{said[-2_000:]}")
        found: dict[str, float] = json.loads(line)
        return found


def _stop(process: subprocess.Popen[Any]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.terminate()
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | dict(added)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
