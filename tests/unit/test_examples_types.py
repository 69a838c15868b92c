"""examples/ is clean under the strictest settings of both type checkers: what an embedder's own would say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_EXAMPLES = _ROOT / "examples"


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=_ROOT, capture_output=True, text=True, timeout=110, check=False
    )


def test_pyright_finds_nothing_in_strict_mode():
    done = _run("pyright", "--pythonpath", sys.executable, "--outputjson")

    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(list(_EXAMPLES.glob("*.py"))), done.stdout
    assert [(one["file"], one["range"]["start"], one["message"]) for one in found["generalDiagnostics"]] == []


def test_mypy_finds_nothing_in_strict_mode():
    done = _run("mypy", "--strict", str(_EXAMPLES))

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
