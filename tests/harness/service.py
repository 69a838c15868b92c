"""``python -m aurora_atlan serve`` as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

_POLL_S = 0.05
# What a person's own environment may hold and a test must not see.
_OURS = ("AURORA_", "DATABASE_URL", "REDIS_URL", "JWT_SECRET", "HOST", "PORT")


class ServiceProcess:
    """The service as a subprocess, its output in a file; keeps its ports over restarts.

    ``environ`` is added to a clean environment. Without DATABASE_URL or REDIS_URL in it, AURORA_DATA_DIR
    says where the embedded servers are.
    """

    def __init__(self, environ: Mapping[str, str], log_file: Path) -> None:
        self.log_file = log_file
        self.port, self.ops_port = free_port(), free_port()
        self.environ = clean_environment() | {
            "PORT": str(self.port),
            "AURORA_OPS_PORT": str(self.ops_port),
            # All of a test's clients share one address.
            "AURORA_RATE_LIMITS": "off",
            **environ,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ops_url(self) -> str:
        """The base URL of the operators' endpoints."""
        return f"http://127.0.0.1:{self.ops_port}"

    @property
    def pid(self) -> int:
        """The process id of the service."""
        return self._running().pid

    def start(self, *, wait: bool = True) -> None:
        """Start the process and wait until /readyz says so, unless told not to."""
        assert self._process is None, "it runs already"
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "aurora_atlan", "serve"],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until /readyz answers 200."""
        deadline = time.monotonic() + timeout_s
        while self.probe("/readyz") != 200:
            if self._running().poll() is not None:
                raise AssertionError(f"the service ended:\n{self.log_text()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the service was not ready within {timeout_s} s:\n{self.log_text()}")
            time.sleep(_POLL_S)

    def probe(self, path: str) -> int | None:
        """Return the status of an operators' endpoint, None when nothing answers."""
        try:
            with urllib.request.urlopen(f"{self.ops_url}{path}", timeout=5) as response:
                status: int = response.status
                return status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return None

    def kill(self) -> None:
        """SIGKILL the process: no clean-up of any kind. Embedded servers go on."""
        self._running().kill()
        self._running().wait()
        self._process = None

    def terminate(self, timeout_s: float = 25.0) -> int:
        """SIGTERM the process and return its exit code."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout_s)
        self._process = None
        return code

    def wait_ended(self, timeout_s: float = 25.0) -> int:
        """Wait until the process ends by itself and return its exit code."""
        code = self._running().wait(timeout_s)
        self._process = None
        return code

    def restart(self, *, kill: bool = False) -> None:
        """Stop the process, by SIGKILL if asked, and start it again on the same ports."""
        if kill:
            self.kill()
        else:
            self.terminate()
        self.start()

    def stop(self) -> None:
        """End the process if it runs, first gently."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.terminate()
            return
        self.kill()

    def log_text(self) -> str:
        """Return everything that the process has written so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it does not run"
        return self._process


def clean_environment() -> dict[str, str]:
    """Return this process's environment without any setting of the service."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
