"""Temporary folders whose paths are short enough for unix sockets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder such as /tmp/aa3fk2p9, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aa"))
    try:
        # For root: PostgreSQL's account must pass through.
        folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
