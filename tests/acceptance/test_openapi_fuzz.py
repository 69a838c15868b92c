"""Whoever makes requests of the API's description gets answers that it describes, and never a fault of the service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aurora_atlan.persistence.embedded import EmbeddedRedis
from harness import likely_requests
from harness.command_line import run_command
from harness.databases import Databases
from harness.service import ServiceProcess, clean_environment
from harness_http import Client

JWT_SECRET = "a secret of tests, known to everybody and long enough"
PASSWORD = "a long enough password"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture
def service(databases: Databases, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service over stores of its own."""
    with databases.migrated() as url:
        environ = {
            "DATABASE_URL": url,
            "REDIS_URL": redis_server.url(9),
            "JWT_SECRET": JWT_SECRET,
            "AURORA_DATABASE_ROLE": "aurora_app",
            "AURORA_MIGRATOR_DATABASE_URL": url,
        }
        service = ServiceProcess(environ, tmp_path / "service.log")
        service.start()
        try:
            yield service
        finally:
            service.stop()


@dataclass(frozen=True)
class Known:
    """What there is in the service."""

    # Of an administrator.
    token: str
    jobs: list[str]


@pytest.fixture
def known(service: ServiceProcess, tmp_path: Path) -> Known:
    """Three events; a job that got its seat, one that was refused, and some that wait, as the third one is paused."""
    file = tmp_path / "password"
    file.write_text(PASSWORD, encoding="utf-8")
    file.chmod(0o600)
    email = "ada@example.org"
    made = run_command(
        *("create-admin", "--email", email, "--name", "Ada", "--password-file", str(file)), environ=service.environ
    )
    assert made.returncode == 0, made.stderr
    with Client(service.url) as client:
        session = client.post("/api/auth/login", {"email": email, "password": PASSWORD}).body
        client.token = str(session["token"])
        for capacity in (1, 1000, 1000):
            event = {"name": "Concert", "venue": "Hall", "time": "2027-06-01T20:00:00Z", "capacity": capacity}
            assert client.post("/api/events/create", event).status == 201
        assert client.post("/api/admin/queue/pause?eventId=3", {}).status == 200
        booked = [client.book(event) for event in (1, 1, 3, 3, 3)]
        assert {answer.status for answer in booked} == {202}
        return Known(client.token, [str(answer.body["jobId"]) for answer in booked])


@pytest.mark.slow
def test_requests_made_of_the_description_are_answered_as_it_says(
    service: ServiceProcess, known: Known, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            # A program of its own: its plugin for pytest, and its warnings, are kept out of ours.
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"),
            *("--url", service.url, "--header", f"Authorization: Bearer {known.token}"),
            *("--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "1"),
            *("--workers", "1", "--continue-on-failure", "--no-shrink", "--generation-database", "none", "--no-color"),
            # It would void the token.
            *("--exclude-operation-id", "logout"),
            *("--request-timeout", "30", "--suppress-health-check", "all", "--warnings", "off"),
        ],
        env={
            **clean_environment(),
            "PYTHONPATH": str(Path(likely_requests.__file__).parents[1]),
            "SCHEMATHESIS_HOOKS": likely_requests.__name__,
            likely_requests.JOBS: ",".join(known.jobs),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert service.probe("/readyz") == 200
