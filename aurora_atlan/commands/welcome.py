"""What ``serve`` says when it is up."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from aurora_atlan._version import __version__
from aurora_atlan.config import Settings
from aurora_atlan.config.describe import masked_url

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to
_LABEL_WIDTH = 12


def welcome(settings: Settings, port: int, ops_port: int | None, cores: str, embedded: Iterable[str]) -> str:
    """Return a few lines: what runs where, and what to try next."""
    url = base_url(settings.host, port)
    facts = {"API": url}
    if ops_port is not None:
        facts["health"] = f"{base_url(settings.ops_host, ops_port)}/readyz"
    if settings.database_url is not None:
        facts["PostgreSQL"] = masked_url(settings.database_url)
    if settings.redis_url is not None:
        facts["Redis"] = masked_url(settings.redis_url)
    if names := ", ".join(embedded):
        facts["embedded"] = f"{names}, for development and demonstration; data in {settings.data_dir.resolve()}"
    facts["CPU core"] = cores
    program = _program()
    suggestions = [
        f"curl {url}/api/events/view",
        f"{program} rush --url {url} --buyers 2000 --seats 500",
        f"{program} create-admin --email you@example.org --name You",
    ]
    return "\n".join(
        [
            f"Aurora-Atlan {__version__} is serving.",
            *(f"  {label:<{_LABEL_WIDTH}}{value}" for label, value in facts.items()),
            "Try",
            *(f"  {suggestion}" for suggestion in suggestions),
            "Ctrl-C stops it all.",
        ]
    )


def base_url(host: str, port: int) -> str:
    """Return the URL at which a listener is reached from this machine."""
    host = _ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _program() -> str:
    """Return how the person may call the program that runs: by its name, or by the path that works from here."""
    if shutil.which("aurora-atlan") is not None:
        return "aurora-atlan"
    beside_python = Path(sys.executable).with_name("aurora-atlan")
    if not beside_python.exists():
        return f"{shlex.quote(sys.executable)} -m aurora_atlan"
    relative = os.path.relpath(beside_python)
    return shlex.quote(relative if not relative.startswith("..") else str(beside_python))
