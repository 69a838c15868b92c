"""``aurora-atlan serve`` as a person runs it, with embedded servers and without."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from aurora_atlan.persistence.embedded import EmbeddedRedis
from harness.command_line import run_command
from harness.service import ServiceProcess
from harness.short_paths import short_folder

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def shared_dir() -> Iterator[Path]:
    """A data directory that the tests here use in turn."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def embedded(make_service: Callable[..., ServiceProcess], shared_dir: Path) -> ServiceProcess:
    """A service with embedded servers, not started yet."""
    return make_service(AURORA_DATA_DIR=str(shared_dir))


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def post(url: str, body: dict[str, object]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def wait_for(text: str, service: ServiceProcess, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while text not in service.log_text():
        assert time.monotonic() < deadline, f"no {text!r} in:\n{service.log_text()}"
        time.sleep(0.02)


def children_of(service: ServiceProcess) -> list[psutil.Process]:
    return psutil.Process(service.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    left = [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert left == []


def test_it_says_what_runs_where_and_what_to_try_and_leaves_nothing_running(embedded: ServiceProcess, shared_dir: Path):
    embedded.start()
    wait_for("Ctrl-C stops it all.", embedded)
    said = embedded.log_text()
    children = children_of(embedded)
    assert {child.name() for child in children} >= {"postgres", "redis-server"}

    for fact in (
        f"API         {embedded.url}",
        f"health      {embedded.ops_url}/readyz",
        f"PostgreSQL  postgresql://postgres@/aurora?host={shared_dir}/postgres",
        f"Redis       unix://{shared_dir}/redis/redis.sock",
        f"data in {shared_dir}",
        "CPU core",
        f"curl {embedded.url}/api/events/view",
        f"rush --url {embedded.url}",
    ):
        assert fact in said
    assert embedded.terminate() == 0
    assert "Stopped." in embedded.log_text()
    assert_gone(children)


def test_the_demonstrations_events_are_made_once_and_found_again(embedded: ServiceProcess):
    embedded.start()
    wait_for("Ctrl-C stops it all.", embedded)
    first = get(f"{embedded.url}/api/events/view")
    embedded.restart()
    wait_for("Ctrl-C stops it all.", embedded)

    again = get(f"{embedded.url}/api/events/view")

    assert len(first) > 0
    assert [event["id"] for event in again] == [event["id"] for event in first]


def test_a_second_start_works_after_kill_9(embedded: ServiceProcess):
    embedded.start()
    wait_for("Ctrl-C stops it all.", embedded)
    left_behind = children_of(embedded)

    embedded.restart(kill=True)

    assert_gone(left_behind)
    assert len(get(f"{embedded.url}/api/events/view")) > 0
    children = children_of(embedded)
    embedded.terminate()
    assert_gone(children)


def test_an_embedded_server_that_is_killed_is_started_again(embedded: ServiceProcess):
    embedded.start()
    for child in children_of(embedded):
        if child.name() == "redis-server":
            child.kill()
    wait_for("the embedded Redis has ended", embedded)

    embedded.wait_ready()
    if hasattr(os, "SCHED_BATCH"):
        # Started anew by a thread that runs otherwise.
        assert all(_policies_of_threads(child.pid) == {os.SCHED_OTHER} for child in children_of(embedded))


def test_only_one_service_may_use_a_data_directory(
    embedded: ServiceProcess, make_service: Callable[..., ServiceProcess], shared_dir: Path
):
    embedded.start()
    second = make_service(AURORA_DATA_DIR=str(shared_dir))
    second.start(wait=False)

    assert second.wait_ended() == 2
    assert second.log_text() == (
        "error: AURORA_DATA_DIR must be a folder that nobody else uses,"
        f" but aurora-atlan serve (process {embedded.pid}) uses {shared_dir}\n"
    )
    assert embedded.probe("/readyz") == 200


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not pin")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_it_serves_on_a_core_of_its_own(make_service: Callable[..., ServiceProcess], shared_dir: Path):
    core = min(os.sched_getaffinity(0))
    service = make_service(AURORA_DATA_DIR=str(shared_dir), AURORA_CPU_AFFINITY=str(core))
    service.start()

    assert all(thread_cores == {core} for thread_cores in _cores_of_threads(service.pid))
    # Woken threads wait for the one that runs; see aurora_atlan/commands/affinity.py.
    assert _policies_of_threads(service.pid) == {os.SCHED_BATCH}
    for child in children_of(service):
        assert core not in child.cpu_affinity()
        assert _policies_of_threads(child.pid) == {os.SCHED_OTHER}


def _policies_of_threads(pid: int) -> set[int]:
    return {os.sched_getscheduler(thread.id) for thread in psutil.Process(pid).threads()}


def _cores_of_threads(pid: int) -> list[set[int]]:
    return [os.sched_getaffinity(thread.id) for thread in psutil.Process(pid).threads()]


@pytest.mark.parametrize("variable", ["PORT", "AURORA_OPS_PORT"])
def test_a_port_in_use_is_one_sentence_and_nothing_is_started(
    variable: str, embedded: ServiceProcess, shared_dir: Path
):
    port = int(embedded.environ[variable])
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        embedded.start(wait=False)

        assert embedded.wait_ended() == 2

    assert embedded.log_text().count("\n") == 1
    assert embedded.log_text().startswith("error: ")
    assert str(port) in embedded.log_text()
    assert variable in embedded.log_text()


def test_without_a_secret_it_does_not_serve_stores_that_are_not_its_own(
    make_service: Callable[..., ServiceProcess], database_url: str, redis_url: str
):
    service = make_service(DATABASE_URL=database_url, REDIS_URL=redis_url)
    service.start(wait=False)

    assert service.wait_ended() == 2
    assert service.log_text() == "error: JWT_SECRET is not set; it accepts a secret of at least 32 bytes\n"


def test_a_signal_while_it_starts_leaves_nothing_running(embedded: ServiceProcess):
    embedded.start(wait=False)
    process = psutil.Process(embedded.pid)
    deadline = time.monotonic() + 20.0
    while not process.children():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    children = process.children(recursive=True)

    assert embedded.terminate() == 0
    assert_gone(children)


def test_a_second_signal_stops_at_once_and_leaves_nothing_running(embedded: ServiceProcess):
    embedded.start()
    wait_for("Ctrl-C stops it all.", embedded)
    children = children_of(embedded)
    os.kill(embedded.pid, signal.SIGINT)
    wait_for("Stopping:", embedded)
    os.kill(embedded.pid, signal.SIGINT)

    # 0 when the first one was quicker.
    assert embedded.wait_ended(10.0) in (0, 1)
    assert_gone(children)
    assert "Traceback" not in embedded.log_text()


def test_redis_down_at_start_is_said_and_tried_on(make_service: Callable[..., ServiceProcess], database_url: str):
    with short_folder() as folder:
        late = EmbeddedRedis(folder / "redis", folder / "redis.log")
        service = make_service(
            DATABASE_URL=database_url,
            REDIS_URL=late.url(),
            JWT_SECRET="s" * 32,
            AURORA_DATABASE_ROLE="aurora_app",
        )
        service.start(wait=False)
        deadline = time.monotonic() + 20.0
        while service.probe("/livez") != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert service.probe("/readyz") == 503

        late.start()
        try:
            service.wait_ready()
            assert service.terminate() == 0
        finally:
            service.stop()
            late.stop()


def test_an_administrator_is_created_while_it_serves_and_logs_in(
    embedded: ServiceProcess, shared_dir: Path, tmp_path: Path
):
    embedded.start()
    environ = {"AURORA_DATA_DIR": str(shared_dir)}
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    arguments = ("create-admin", "--email", "Ada@Example.org", "--name", "Ada", "--password-file", str(file))

    created = run_command(*arguments, environ=environ)
    again = run_command(*arguments, environ=environ)

    assert (created.returncode, created.stdout) == (0, "Created the administrator ada@example.org.\n")
    assert (again.returncode, again.stdout) == (
        0,
        "Made ada@example.org an administrator; the password stays as it is.\n",
    )
    answer = post(f"{embedded.url}/api/auth/login", {"email": "ada@example.org", "password": PASSWORD})
    assert answer["user"]["role"] == "ADMIN"


def test_a_registered_account_is_promoted_and_keeps_its_password(embedded: ServiceProcess, shared_dir: Path):
    embedded.start()
    account = {"name": "Grace", "email": "grace@example.org", "password": PASSWORD}
    post(f"{embedded.url}/api/auth/register", account)

    promoted = run_command(
        "create-admin", "--email", account["email"], "--name", "G", environ={"AURORA_DATA_DIR": str(shared_dir)}
    )

    assert promoted.returncode == 0
    answer = post(f"{embedded.url}/api/auth/login", {"email": account["email"], "password": PASSWORD})
    assert (answer["user"]["role"], answer["user"]["name"]) == ("ADMIN", "Grace")


def test_buyers_made_while_it_serves_can_book(embedded: ServiceProcess, shared_dir: Path, tmp_path: Path):
    embedded.start()
    out = tmp_path / "buyers"

    made = run_command("make-buyers", "--count", "7", "--out", str(out), environ={"AURORA_DATA_DIR": str(shared_dir)})

    assert (made.returncode, made.stdout) == (0, f"Wrote 7 buyers to {out}.\n")
    assert oct(out.stat().st_mode & 0o777) == "0o600"
    lines = out.read_text().splitlines()
    assert len(lines) == 7
    assert all(re.fullmatch(r"\d+ [\w.-]+", line) for line in lines)
    wait_for("Ctrl-C stops it all.", embedded)
    event = get(f"{embedded.url}/api/events/view")[0]
    token = lines[0].split()[1]
    request = urllib.request.Request(
        f"{embedded.url}/api/bookings/{event['id']}/book", method="POST", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 202
