"""docs/clients.md: its programs do, word for word, what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aurora_atlan.config import Settings
from harness.service import ServiceProcess, clean_environment
from harness_http import Client
from harness_sales import create_event

_PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
_ADDRESS = "http://127.0.0.1:3000"


def block(language: str) -> str:
    """Return the page's only block in a language."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", _PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(found)


def found(program: str, install: str) -> str:
    """Return the path of a program; the test fails without it, saying what to install."""
    path = shutil.which(program)
    assert path is not None, f"{program} is not on PATH: install {install} to try what docs/clients.md says"
    return path


def run(language: str, service: ServiceProcess, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the page's program in a language against a service."""
    shown = block(language)
    assert _ADDRESS in shown
    file = folder / {"sh": "client.sh", "python": "client.py", "js": "client.mjs"}[language]
    file.write_text(shown.replace(_ADDRESS, service.url), encoding="utf-8")
    if language == "sh":
        found("curl", "curl")
        # -e: a command that fails fails the program, which the reader's own shell would merely show.
        command = [found("bash", "bash"), "-eu"]
    elif language == "python":
        command = [sys.executable, "-W", "error"]
    else:
        command = [found("node", "Node.js 20 or newer")]
    return subprocess.run(
        [*command, str(file)],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("language", ["sh", "python", "js"])
def test_a_program_holds_the_whole_conversation(
    service: ServiceProcess, settings: Settings, tmp_path: Path, language: str
) -> None:
    event_id = create_event(settings, 2)

    done = run(language, service, tmp_path)

    assert (done.returncode, done.stdout) == (0, block("text")), done.stderr
    with Client(service.url) as client:
        event = client.get(f"/api/events/{event_id}/view").body
    # Cancelled, and repeating it had not made two of it.
    assert (event["booked"], event["available"]) == (0, 2)


@pytest.mark.parametrize("language", ["sh", "python", "js"])
def test_a_program_says_why_there_is_no_ticket(
    service: ServiceProcess, settings: Settings, tmp_path: Path, language: str
) -> None:
    event_id = create_event(settings, 1)
    with Client(service.url) as client:
        client.register()
        assert client.book(event_id).status == 202

    done = run(language, service, tmp_path)

    assert done.returncode == 1
    assert "Not booked: sold_out" in done.stdout + done.stderr
