"""A service of the rush's own, in a temporary folder."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path

from aurora_atlan.commands.rush.errors import RushError

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 30.0
_ASK_EVERY_S = 0.1
_ASK_TIMEOUT_S = 5.0
_LOG_LINES_SHOWN = 15
# Whatever leads to other stores or other addresses; the service of a rush shall touch none of them.
_NOT_INHERITED = (
    "DATABASE_URL",
    "REDIS_URL",
    "JWT_SECRET",
    "HOST",
    "PORT",
    "AURORA_MIGRATOR_DATABASE_URL",
    "AURORA_DATABASE_ROLE",
    "AURORA_OPS_HOST",
)


class OwnService:
    """``aurora-atlan serve`` as a child with a data directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "var"
        self._port = _free_port()
        self.url = f"http://{_HOST}:{self._port}"
        self._log = folder / "service.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._kept = False

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[OwnService]:
        """Start it and stop it; its folder is removed unless :meth:`keep` was called.

        Raises :class:`~aurora_atlan.commands.rush.errors.RushError` when it does not start.
        """
        service = cls(Path(tempfile.mkdtemp(prefix="aa-rush-")))
        try:
            service.start()
            yield service
        finally:
            service.stop()
            if not service._kept:
                shutil.rmtree(service.folder, ignore_errors=True)

    def keep(self) -> None:
        """Leave the folder with data and log, for somebody to look into."""
        self._kept = True

    def start(self) -> None:
        """Start the service and wait until it is ready."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "aurora_atlan", "serve", "--host", _HOST, "--port", str(self._port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(os.environ),
                # Ctrl-C is ours to handle: the service is stopped after the rush, not under it.
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._ready():
            if self._process.poll() is not None:
                raise RushError(f"the service did not start:\n{self._last_lines()}")
            if time.monotonic() > deadline:
                self.keep()
                raise RushError(f"the service was not ready within {_START_TIMEOUT_S:.0f} s; its log is {self._log}")
            time.sleep(_ASK_EVERY_S)

    def stop(self) -> None:
        """Stop the service as SIGTERM does; kill it when it takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.keep()
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment that leads to this service and its stores, and to no other."""
        left_out = {name + suffix for name in _NOT_INHERITED for suffix in ("", "_FILE")}
        kept = {name: value for name, value in inherited.items() if name not in left_out}
        return kept | {
            "AURORA_DATA_DIR": str(self.data_dir),
            "AURORA_OPS_PORT": "off",
            "AURORA_RATE_LIMITS": "off",
            "PYTHONUNBUFFERED": "1",
        }

    def _ready(self) -> bool:
        asking = http.client.HTTPConnection(_HOST, self._port, timeout=_ASK_TIMEOUT_S)
        try:
            asking.request("GET", "/readyz")
            return asking.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asking.close()

    def _last_lines(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES_SHOWN:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
