"""docs/embedding.md and README.md: their programs run as they stand, their files do what they are shown for."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aurora_atlan import BookTickets, Settings
from harness.examples import running_program, wait_served
from harness.service import clean_environment, free_port
from harness_http import Client
from harness_sales import check_audit, create_event, running

_ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_BLOCKS = _BLOCK.findall((_ROOT / "docs" / "embedding.md").read_text(encoding="utf-8"))
# A block that begins with a file's name is that file.
_FILE = re.compile(r"# (\w+(?:\.\w+)*\.py)\n")
_FILES = {found[1]: block for block in _BLOCKS if (found := _FILE.match(block))}
_PROGRAMS = [block for block in _BLOCKS if not _FILE.match(block)]


@pytest.fixture
def environ(settings: Settings, database_url: str, redis_url: str) -> dict[str, str]:
    """What the page's reader has exported, for this test's own stores."""
    assert settings.jwt_secret is not None
    return clean_environment() | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "TEST_DATABASE_URL": database_url,
        "TEST_REDIS_URL": redis_url,
        "JWT_SECRET": settings.jwt_secret,
    }


def _run(command: list[str], environ: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("program", _PROGRAMS, ids=range(1, len(_PROGRAMS) + 1))
def test_a_program_runs_to_its_end(program: str, environ: dict[str, str], settings: Settings, tmp_path: Path):
    (tmp_path / "program.py").write_text(program, encoding="utf-8")

    done = _run(["program.py"], environ, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    check_audit(settings)


def test_the_readme_program_sells_an_event_out(environ: dict[str, str], tmp_path: Path):
    [program] = _BLOCK.findall((_ROOT / "README.md").read_text(encoding="utf-8"))
    (tmp_path / "program.py").write_text(program, encoding="utf-8")

    done = _run(["program.py"], environ, tmp_path)

    assert (done.returncode, done.stdout) == (0, "40 of 50 are in\naudit: clean\n"), done.stderr


def test_its_table_of_threads_knows_every_thread(settings: Settings):
    _, _, section = (_ROOT / "docs" / "embedding.md").read_text(encoding="utf-8").partition("\n## Threads\n")
    first_cells = re.findall(r"^\| (`.*?) \|", section.partition("\n## ")[0], re.MULTILINE)
    listed = {name for cell in first_cells for name in re.findall(r"`([\w-]+)…?`", cell)}
    event_id = create_event(settings, 10)
    before = set(threading.enumerate())
    hooks = {"on_outcome": print, "on_restart": print, "on_health_change": print}

    with running(settings, **hooks) as supervisor:
        user = supervisor.create_user("Ada", "ada@example.org")
        receipt = asyncio.run(supervisor.submit_async(BookTickets(event_id, user.id)))
        supervisor.wait(receipt, timeout=10)
        names = {thread.name for thread in set(threading.enumerate()) - before}

    assert {name for name in names if not name.startswith(tuple(listed))} == set()
    assert {listed_name for listed_name in listed if not any(name.startswith(listed_name) for name in names)} == set()


def test_a_host_can_be_tested_with_the_fixture(environ: dict[str, str], tmp_path: Path):
    (tmp_path / "conftest.py").write_text(_FILES["conftest.py"], encoding="utf-8")
    (tmp_path / "test_host.py").write_text(
        "def test_it_is_ready(supervisor):\n    assert supervisor.health().ready\n", encoding="utf-8"
    )

    done = _run(["-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)], environ, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_workers_that_gunicorn_forks_sell_together(environ: dict[str, str], settings: Settings, tmp_path: Path):
    for name in ("tickets.py", "gunicorn.conf.py"):
        (tmp_path / name).write_text(_FILES[name], encoding="utf-8")
    event_id = create_event(settings, 5)
    port, log = free_port(), tmp_path / "gunicorn.log"
    url = f"http://127.0.0.1:{port}"
    command = ["-m", "gunicorn", "--bind", f"127.0.0.1:{port}"]

    with running_program(command, environ, log, tmp_path) as process:
        wait_served(f"{url}/readyz", process, log)
        answers = []
        for _ in range(8):
            # A connection each, so that whichever worker is free takes it.
            with Client(url) as client:
                client.register()
                answers.append(client.book(event_id))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text(encoding="utf-8")

    assert [answer.status for answer in answers] == [202] * 8
    said = log.read_text(encoding="utf-8")
    assert len(set(re.findall(r"Booting worker with pid: (\d+)", said))) == 2
    assert "without stopping its supervisor" not in said
    assert "Traceback" not in said
    check_audit(settings)
