"""The folder that embedded servers keep their data in, and who uses it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

import psutil

from aurora_atlan.config import ConfigurationError, Settings

_LOCK = "lock"
_SECRET_BYTES = 48
_APP_ROLE = "aurora_app"


@dataclass(frozen=True, slots=True)
class Running:
    """What the process that holds a data directory runs there; None: not by it."""

    pid: int
    # the command line's word for it, such as "serve"
    purpose: str
    database_url: str | None = None
    redis_url: str | None = None
    # false while it starts
    ready: bool = False


class DataDirectoryInUseError(ConfigurationError):
    """Another process holds the data directory."""


class DataDirectory:
    """A data directory, held by at most one process at a time.

    The hold is a lock of the operating system's, so that a killed process holds nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: IO[str] | None = None

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data folder."""
        return self.path / "postgres"

    @property
    def redis(self) -> Path:
        """Redis's data folder."""
        return self.path / "redis"

    def log_file(self, server: str) -> Path:
        """Return the log file of a server."""
        return self.path / f"{server}.log"

    def hold(self, purpose: str) -> None:
        """Take hold of the directory, made if absent.

        Raises :class:`DataDirectoryInUseError` when another process holds it, and another
        :class:`ConfigurationError` when it cannot be made or written.
        """
        try:
            if not self.path.exists():
                self.path.mkdir(parents=True)
                # For root, PostgreSQL's account must pass through; each folder in it is closed.
                self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            lock = os.fdopen(os.open(self.path / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600), "w")
        except OSError as error:
            raise ConfigurationError(
                f"AURORA_DATA_DIR must be a folder that can be written, not {self.path}: {error.strerror}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            running = self.told()
            holder = f"aurora-atlan {running.purpose} (process {running.pid})" if running else "another process"
            raise DataDirectoryInUseError(
                f"AURORA_DATA_DIR must be a folder that nobody else uses, but {holder} uses {self.path}"
            ) from error
        self._lock = lock
        self.tell(Running(os.getpid(), purpose))

    def release(self) -> None:
        """Let go of the directory."""
        if self._lock is not None:
            self._state.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def tell(self, running: Running) -> None:
        """Let other processes know what runs here."""
        # Renamed into place: a reader sees the old or the new one, whole.
        new = self.path / "running.new"
        new.write_text(json.dumps(asdict(running)), encoding="utf-8")
        new.chmod(0o600)
        new.rename(self._state)

    def told(self) -> Running | None:
        """Return what the holder told last; None when it has told nothing yet, or was killed."""
        try:
            running = Running(**json.loads(self._state.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return running if psutil.pid_exists(running.pid) else None

    def settings(self, settings: Settings, running: Running) -> Settings:
        """Return the settings that lead to what runs here, with this installation's secret if they have none."""
        if running.database_url is not None:
            url = running.database_url
            settings = replace(settings, database_url=url, migrator_database_url=url, database_role=_APP_ROLE)
        if running.redis_url is not None:
            settings = replace(settings, redis_url=running.redis_url)
        return settings if settings.jwt_secret is not None else replace(settings, jwt_secret=self._jwt_secret())

    @property
    def _state(self) -> Path:
        return self.path / "running.json"

    def _jwt_secret(self) -> str:
        """Return this installation's secret for signing tokens, made on the first call."""
        file = self.path / "jwt-secret"
        if not file.exists():
            new = self.path / "jwt-secret.new"
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
                opened.write(secrets.token_urlsafe(_SECRET_BYTES))
                opened.flush()
                os.fsync(opened.fileno())
            new.rename(file)
        return file.read_text(encoding="ascii")
