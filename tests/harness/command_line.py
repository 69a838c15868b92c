"""``python -m aurora_atlan ...`` as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from harness.service import clean_environment


def run_command(
    *arguments: str, environ: Mapping[str, str] | None = None, given: str = "", timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a command with a clean environment and what is added to it; return its output and exit code."""
    return subprocess.run(
        [sys.executable, "-m", "aurora_atlan", *arguments],
        env=clean_environment() | dict(environ or {}),
        input=given,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
