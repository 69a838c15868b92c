"""Where a server's unix socket goes."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from aurora_atlan.config import ConfigurationError

# sun_path holds 108 bytes on Linux, 104 elsewhere, the closing NUL included (unix(7)).
_PATH_BYTES_MAX = 103


def socket_folder(preferred: Path, socket_name: str, owner: int | None = None) -> Path:
    """Return the folder for a socket: the preferred one, or a short one of ours when its path will not do.

    It will not do when it is too long, or has a comma, at which clients split a list of hosts. The short one
    is in the temporary directory, named after the preferred one, and closed to everybody but its owner (a
    user id; this process's by default). Raises :class:`ConfigurationError` when somebody else has made it.
    """
    path = os.fsencode(preferred / socket_name)
    if len(path) <= _PATH_BYTES_MAX and b"," not in path:
        return preferred
    owner = os.geteuid() if owner is None else owner
    name = hashlib.sha256(os.fsencode(preferred)).hexdigest()[:8]
    folder = Path(tempfile.gettempdir()) / f"aurora-{owner}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (os.geteuid(), owner):
        raise ConfigurationError(
            f"AURORA_DATA_DIR must be a shorter path without commas, as {folder} belongs to somebody else"
        )
    folder.chmod(0o700)
    if status.st_uid != owner:
        os.chown(folder, owner, -1)
    return folder
