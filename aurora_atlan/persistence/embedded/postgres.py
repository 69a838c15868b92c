"""A real PostgreSQL server as our child."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from aurora_atlan.persistence.embedded.errors import EmbeddedServerError, with_end_of_log
from aurora_atlan.persistence.embedded.postgres_programs import PostgresPrograms
from aurora_atlan.persistence.embedded.processes import stop_child, stop_leftovers
from aurora_atlan.persistence.embedded.sockets import socket_folder

_SUPERUSER = "postgres"
_SOCKET = ".s.PGSQL.5432"
_RECORD = "postmaster.pid"
_STATE_LINE = 8
_POLL_S = 0.02
_STOP_TIMEOUT_S = 20.0
# SIGINT is PostgreSQL's fast shutdown: sessions are ended, everything is written. SIGQUIT leaves the
# rest to recovery. https://www.postgresql.org/docs/current/server-shutdown.html
_STOP_SIGNALS = ((signal.SIGINT, _STOP_TIMEOUT_S), (signal.SIGQUIT, 5.0))

_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """PostgreSQL over one data folder, reached through a unix socket that only this user can open.

    No TCP port. Every commit is on disk when it is answered, unless ``options`` (server settings by name)
    say otherwise. Constructing does nothing yet; the instance may be started again after a stop.
    """

    def __init__(
        self,
        folder: Path,
        log_file: Path,
        *,
        options: dict[str, str] | None = None,
        start_timeout_s: float = 60.0,
    ) -> None:
        self._folder = folder.resolve()
        self._log_file = log_file.resolve()
        self._options = _DURABLE | (options or {})
        self._start_timeout_s = start_timeout_s
        self._socket_folder = self._folder
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the server, None when it does not run."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self) -> None:
        """Start the server, over a new data folder if there is none, and wait until it takes connections.

        One that a killed service left running on the folder is stopped first. Raises
        :class:`EmbeddedServerError` or :class:`ConfigurationError`; nothing runs then.
        """
        programs = PostgresPrograms.find()
        programs.make_reachable(self._folder)
        self._socket_folder = socket_folder(self._folder, _SOCKET, programs.owner)
        self._stop_leftover()
        if not (self._folder / "PG_VERSION").exists():
            self._initialise(programs)
        settings = self._options | {
            "listen_addresses": "",
            # A list, of which this is one element.
            "unix_socket_directories": '"' + str(self._socket_folder).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        with os.fdopen(os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            self._child = programs.launch("postgres", "-D", str(self._folder), *arguments, output=output)
        try:
            self._wait_until_ready(self._child)
        except BaseException:
            # Also Ctrl-C: a server of ours must not outlive its start.
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and see it gone; does nothing when it does not run."""
        if self._child is not None and not stop_child(self._child, _STOP_SIGNALS):
            log.warning("PostgreSQL did not stop within %.0f s and was ended; it will recover", _STOP_TIMEOUT_S)
        self._child = None

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://{_SUPERUSER}@/{quote(database)}?host={quote(str(self._socket_folder))}"

    def ensure_database(self, name: str) -> None:
        """Create a database unless it is there."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _stop_leftover(self) -> None:
        recorded = self._folder / _RECORD
        if not recorded.exists():
            return
        try:
            if stop_leftovers(self._folder, ("postgres",), signal.SIGINT, _STOP_TIMEOUT_S):
                log.warning("stopped the PostgreSQL that a killed process had left running on %s", self._folder)
        except TimeoutError as error:
            raise EmbeddedServerError(f"PostgreSQL still runs on {self._folder}: {error}") from error
        # PostgreSQL would take any living process of a recorded id for its predecessor. What is recorded of
        # a dead one stays: PostgreSQL finds orphaned shared memory by it.
        for record in (recorded, self._socket_folder / f"{_SOCKET}.lock"):
            if record.exists() and psutil.pid_exists(_recorded_pid(record)):
                record.unlink()

    def _initialise(self, programs: PostgresPrograms) -> None:
        # In a folder of another name first: one that was interrupted is never taken for a database.
        new = self._folder.with_name(self._folder.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        os.chown(new, programs.owner, -1)
        initdb = programs.launch(
            "initdb",
            f"--pgdata={new}",
            f"--username={_SUPERUSER}",
            # The socket is closed to everybody else.
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *([] if self._options["fsync"] == "on" else ["--no-sync"]),
            output=subprocess.PIPE,
        )
        try:
            said, _ = initdb.communicate()
        except BaseException:
            initdb.kill()
            initdb.wait()
            raise
        if initdb.returncode != 0:
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
            shutil.rmtree(new, ignore_errors=True)
            raise EmbeddedServerError(f"PostgreSQL could not make a database in {self._folder}: {last[0]}")
        new.rename(self._folder)

    def _wait_until_ready(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while not self._says_ready(child.pid):
            if child.poll() is not None:
                raise with_end_of_log("PostgreSQL did not start", self._log_file)
            if time.monotonic() > deadline:
                sentence = f"PostgreSQL was not ready within {self._start_timeout_s:.0f} s"
                raise with_end_of_log(sentence, self._log_file)
            time.sleep(_POLL_S)

    def _says_ready(self, pid: int) -> bool:
        # As pg_ctl does: the first line is the process id, the eighth the state. Asking by connecting
        # would fill the log with refusals.
        try:
            lines = (self._folder / _RECORD).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= _STATE_LINE and lines[0] == str(pid) and lines[_STATE_LINE - 1].strip() == "ready"


def _recorded_pid(record: Path) -> int:
    first = record.read_text(encoding="utf-8").partition("\n")[0].strip()
    return int(first) if first.isdigit() else 0
