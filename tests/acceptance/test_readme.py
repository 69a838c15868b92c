"""README.md: its session with curl does, word for word, what it says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aurora_atlan
from harness.service import ServiceProcess

_PAGE = Path(__file__).parents[2] / "README.md"
_ADDRESS = "http://127.0.0.1:3000"
_SHELL_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_DECIDED_WITHIN_S = 10.0


def session() -> str:
    """Return the page's session with curl."""
    blocks = _SHELL_BLOCK.findall(_PAGE.read_text(encoding="utf-8"))
    [found] = [block for block in blocks if "curl" in block]
    return found


def make_environment(folder: Path) -> None:
    """Make a .venv whose ``python`` and ``aurora-atlan`` are those under test."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    python = shlex.quote(sys.executable)
    package = shlex.quote(str(Path(aurora_atlan.__file__).parents[1]))
    for name, command in {"python": python, "aurora-atlan": f"{python} -m aurora_atlan"}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nPYTHONPATH={package} exec {command} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    (programs / "activate").write_text(f"PATH={shlex.quote(str(programs))}:$PATH\n", encoding="utf-8")


def documents_in(text: str) -> list[Any]:
    """Return the JSON documents in what the session printed, which stand one behind the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (start := re.compile(r"[{\[]").search(text, at)) is not None:
        document, at = decoder.raw_decode(text, start.start())
        found.append(document)
    return found


def get(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_session_books_a_ticket(make_service: Callable[..., ServiceProcess], data_dir: Path, tmp_path: Path):
    service = make_service(AURORA_DATA_DIR=str(data_dir))
    service.start()
    make_environment(tmp_path)
    shown = session()
    assert _ADDRESS in shown
    # Behind it, what the reader's shell then knows.
    script = shown.replace(_ADDRESS, service.url) + '\nprintf "\\n%s" "$TOKEN" "$EVENT" "$STATUS"\n'

    # -e: a command that fails fails the session, which the reader's own shell would merely show.
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        input=script,
        cwd=tmp_path,
        env=service.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    printed, token, event, status_path = done.stdout.rsplit("\n", 3)
    registered, status, history = documents_in(printed)
    assert registered["user"]["role"] == "USER"
    assert "Made ada@example.com an administrator" in printed
    assert status["status"] in ("queued", "processing", "completed")
    assert isinstance(history, list)

    # The session asks at once; a reader may have to ask again.
    deadline = time.monotonic() + _DECIDED_WITHIN_S
    while status["status"] in ("queued", "processing") and time.monotonic() < deadline:
        time.sleep(0.05)
        status = get(service.url + status_path, token)
    assert (status["status"], status["reason"]) == ("completed", None)
    booked = status["result"]["booking"]
    [entry] = get(service.url + "/api/bookings/history", token)
    assert (entry["id"], entry["jobId"], entry["status"]) == (booked["id"], status["jobId"], "confirmed")
    assert (entry["event"]["id"], entry["event"]["name"]) == (int(event), "Night of lights")
    assert (entry["event"]["capacity"], entry["event"]["booked"]) == (2, 1)
