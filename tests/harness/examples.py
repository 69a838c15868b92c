"""The programs of examples/, run as a reader would run them."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.service import clean_environment

FOLDER = Path(__file__).parents[2] / "examples"

_POLL_S = 0.05


def run_example(name: str, environ: Mapping[str, str], timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run an example to its end, warnings being errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / name)],
        env=clean_environment() | dict(environ),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@contextmanager
def running_example(name: str, environ: Mapping[str, str], log_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an example for the duration of the block; it is killed if it has not ended by then."""
    with running_program([str(FOLDER / name)], clean_environment() | dict(environ), log_file) as process:
        yield process


@contextmanager
def running_program(
    arguments: Sequence[str], environ: Mapping[str, str], log_file: Path, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python with these arguments in a folder, likewise."""
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_served(url: str, process: subprocess.Popen[bytes], log_file: Path, timeout_s: float = 30.0) -> None:
    """Wait until something answers there with 200."""
    deadline = time.monotonic() + timeout_s
    while not _answers(url):
        assert process.poll() is None, f"it ended:\n{log_file.read_text(encoding='utf-8')}"
        assert time.monotonic() < deadline, f"no answer within {timeout_s:g} s:\n{log_file.read_text(encoding='utf-8')}"
        time.sleep(_POLL_S)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False
