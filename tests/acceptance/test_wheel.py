"""What is installed is what was tested: the built wheel, in a new environment."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.service import clean_environment
from harness.short_paths import short_folder

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "aurora_atlan"
NOT_PYTHON = (".sql", ".lua", ".typed", ".css", ".js", ".html", ".svg", ".json")


@pytest.fixture(scope="module")
def wheel() -> Iterator[Path]:
    """The wheel, built from a copy: what an earlier build left behind would hide what is missing."""
    with short_folder() as folder:
        source = folder / "source"
        shutil.copytree(PACKAGE, source / "aurora_atlan", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source))
        yield next(folder.glob("aurora_atlan-*.whl"))


def _run(*command: str) -> str:
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=300, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path):
    expected = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and (path.suffix == ".py" or path.name.endswith(NOT_PYTHON))
    }

    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())

    assert expected - names == set()
    assert {name for name in names if name.endswith((".sql", ".lua"))}
    assert not any(name.startswith("tests") for name in names)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_installed_wheel_sells_an_event(wheel: Path):
    with short_folder() as folder:
        # Without a pip of its own, and compiling only what is used: half of the time.
        venv.create(folder / "venv", with_pip=False)
        program = folder / "venv" / "bin"
        pip = (sys.executable, "-m", "pip", "--python", str(program / "python"))
        _run(*pip, "install", "--quiet", "--no-compile", f"{wheel}[embedded]")

        version = _run(str(program / "aurora-atlan"), "--version")
        said = _run(str(program / "aurora-atlan"), "rush", "--buyers", "300", "--seats", "50")

    assert re.fullmatch(r"aurora-atlan \d+\.\d+\.\d+\n", version)
    assert "50" in said
