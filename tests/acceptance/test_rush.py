"""The flash sale as a person runs it, over real servers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from harness.command_line import run_command
from harness.databases import Databases
from harness.service import ServiceProcess, clean_environment

_STORES = ("DATABASE_URL", "REDIS_URL", "JWT_SECRET", "AURORA_DATABASE_ROLE", "AURORA_MIGRATOR_DATABASE_URL")


def start_rush(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "aurora_atlan", "rush", *arguments],
        env=clean_environment() | {"PYTHONUNBUFFERED": "1"} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def figure(output: str, label: str) -> str:
    found = re.search(rf"^  {label} +(.*)$", output, re.MULTILINE)
    assert found is not None, output
    return found[1]


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of the processes that name a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in line:
            found.append(line.decode(errors="replace"))
    return found


def test_a_rush_of_its_own_sells_out_proves_it_and_leaves_nothing_behind(data_dir: Path) -> None:
    result = run_command(
        "rush", "--buyers", "300", "--seats", "60", "--events", "3", environ={"TMPDIR": str(data_dir)}, timeout_s=90
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert figure(result.stdout, "seats sold") == "60 of 60"
    assert figure(result.stdout, "oversold") == "0"
    assert figure(result.stdout, "undersold") == "0"
    assert figure(result.stdout, "jobs answered once") == "300 of 300 (300 accepted)"
    assert figure(result.stdout, "queue restarts") == "0"
    assert figure(result.stdout, "proof from the rows") == "303 ledger entries replayed"
    assert "OK: every promise was kept." in result.stdout
    assert list(data_dir.iterdir()) == []
    assert processes_of(data_dir) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_rush_leaves_nothing_behind(data_dir: Path, number: signal.Signals) -> None:
    rush = start_rush("--buyers", "50000", TMPDIR=str(data_dir))
    assert rush.stdout is not None
    for line in rush.stdout:
        if "book at once" in line:
            break
    rush.send_signal(number)
    output, _ = rush.communicate(timeout=60)

    assert rush.returncode == 130, output
    assert "Interrupted." in output
    assert list(data_dir.iterdir()) == []
    assert processes_of(data_dir) == []


def test_a_rush_survives_the_sudden_death_of_the_service(service: ServiceProcess, database_url: str) -> None:
    rush = start_rush(
        "--url", service.url, "--buyers", "3000", "--seats", "1000", **{name: service.environ[name] for name in _STORES}
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        wait_for(lambda: confirmed(connection) >= 50)
        service.kill()
        before = confirmed(connection)
        service.start()
        output, _ = rush.communicate(timeout=90)
        audit = run_command("audit", environ=service.environ)

    assert 50 <= before < 1000
    assert rush.returncode == 0, output
    assert figure(output, "seats sold") == "1,000 of 1,000"
    assert figure(output, "jobs answered once") == "3,000 of 3,000 (3,000 accepted)"
    assert figure(output, "first come, first served") == "yes"
    assert figure(output, "queue restarts") == "0"
    assert figure(output, "service was away") == "1 time"
    assert audit.returncode == 0, audit.stdout


def test_a_rush_without_the_database_registers_its_buyers_over_http(
    service: ServiceProcess, tmp_path: Path, make_admin: Callable[[], list[str]]
) -> None:
    elsewhere = {"AURORA_DATA_DIR": str(tmp_path / "nowhere")}

    result = run_command(
        "rush", "--url", service.url, "--buyers", "12", "--seats", "5", *make_admin(), environ=elsewhere
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "Registered buyers over HTTP: 12" in result.stdout
    assert figure(result.stdout, "seats sold") == "5 of 5"
    assert "not made, the database is not at hand" in figure(result.stdout, "proof from the rows")


def test_the_temporary_administrator_of_a_rush_is_none_afterwards(service: ServiceProcess, database_url: str) -> None:
    result = run_command("rush", "--url", service.url, "--buyers", "5", "--seats", "2", environ=service.environ)

    assert result.returncode == 0, result.stdout + result.stderr
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM users WHERE role <> 'USER'").fetchone() == (0,)


def test_a_database_of_another_service_is_recognised_and_left_alone(
    service: ServiceProcess, databases: Databases, make_admin: Callable[[], list[str]]
) -> None:
    with databases.migrated() as other:
        environ = service.environ | {"DATABASE_URL": other, "AURORA_MIGRATOR_DATABASE_URL": other}
        result = run_command(
            "rush", "--url", service.url, "--buyers", "5", "--seats", "2", *make_admin(), environ=environ
        )
        with psycopg.connect(other) as connection:
            users = connection.execute("SELECT count(*) FROM users").fetchone()

    assert result.returncode == 0, result.stdout + result.stderr
    assert "are not those behind" in result.stdout
    assert "not made, the database is not at hand" in result.stdout
    assert users == (0,)


@pytest.fixture
def make_admin(service: ServiceProcess, tmp_path: Path) -> Callable[[], list[str]]:
    """Makes an administrator of the service and returns the rush's options that name it."""

    def make() -> list[str]:
        file = tmp_path / "password"
        file.write_text("a good password\n", encoding="utf-8")
        email = "admin@example.org"
        created = run_command(
            "create-admin", "--email", email, "--name", "Ada", "--password-file", str(file), environ=service.environ
        )
        assert created.returncode == 0, created.stderr
        return ["--admin-email", email, "--admin-password-file", str(file)]

    return make


def confirmed(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM bookings WHERE status = 'confirmed'").fetchone()
    assert row is not None
    return int(row[0])


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
