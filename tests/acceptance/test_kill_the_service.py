"""kill -9 and SIGTERM amid a rush: whoever got a 202 gets an answer, once, and it stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg

from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded.data_dir import DataDirectory
from harness.command_line import run_command
from harness.service import ServiceProcess
from harness_http import Client, HttpRush, Wish, make_buyers
from harness_sales import (
    check_rows,
    create_event,
    undecided,
    wait_decided,
    wait_until,
)


def settings_of(service: ServiceProcess) -> Settings:
    """Return settings that lead to the servers that a service has embedded."""
    directory = DataDirectory(Path(service.environ["AURORA_DATA_DIR"]))
    running = directory.told()
    assert running is not None
    return directory.settings(Settings(data_dir=directory.path), running)


def statuses(service: ServiceProcess, jobs: list[str]) -> dict[str, tuple[str, str | None]]:
    """Return what each job's status says."""
    told = {}
    with Client(service.url) as client:
        for job_id in jobs:
            answer = client.status(job_id)
            assert answer.status == 200, answer
            told[job_id] = (answer.body["status"], answer.body["reason"])
    return told


def test_sigkill_amid_a_rush_and_a_restart_answer_everything_accepted(
    own_service: Callable[[], ServiceProcess], tmp_path: Path
) -> None:
    """Two kills: every 202 is answered once, repeated keys book once, answers stay, and the audit is clean."""
    service = own_service()
    service.start()
    settings = settings_of(service)
    events = [create_event(settings, 150) for _ in range(3)]
    buyers = make_buyers(service.environ, 1000, tmp_path / "buyers")
    wishes = [Wish(buyer, events[number % 3], "mine") for number, buyer in enumerate(buyers)]
    rush = HttpRush(service.url, wishes, connections=16, persistent=True).start()
    for kill in (1, 2):
        wait_until(lambda kill=kill: len(rush.accepted) >= 300 * kill, 20.0, "bookings are accepted")
        service.kill()
        killed_at = time.monotonic()
        service.start()
        assert time.monotonic() - killed_at < 10.0
    rush.join()
    assert len(rush.accepted) == 1000

    url = settings_of(service).database_url
    assert url is not None
    wait_decided(url, rush.jobs, timeout_s=10.0)
    before = statuses(service, list(rush.accepted.values()))
    assert {told for told, _ in before.values()} == {"completed", "failed"}
    check_rows(url, accepted=rush.jobs)

    audit = run_command("audit", environ=service.environ)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    service.restart(kill=True)
    sample = list(before)[::10]
    assert statuses(service, sample) == {job_id: before[job_id] for job_id in sample}


def test_the_first_commit_comes_within_three_seconds_of_a_restart(
    own_service: Callable[[], ServiceProcess], tmp_path: Path
) -> None:
    """Jobs that were waiting when the service was killed are decided soon, without anybody asking."""
    service = own_service()
    service.start()
    settings = settings_of(service)
    event = create_event(settings, 100)
    buyers = make_buyers(service.environ, 600, tmp_path / "buyers")
    rush = HttpRush(service.url, [Wish(buyer, event) for buyer in buyers], connections=16).start()
    wait_until(lambda: len(rush.accepted) >= 200, 10.0, "bookings are accepted")
    service.kill()
    rush.give_up()
    rush.join()
    service.start()
    url = settings_of(service).database_url
    assert url is not None
    wait_decided(url, rush.jobs, timeout_s=3.0)
    check_rows(url, accepted=rush.jobs, others_allowed=True)


def test_sigterm_under_load_aborts_no_request_and_leaves_nothing_running(
    own_service: Callable[[], ServiceProcess], tmp_path: Path
) -> None:
    """Every request sent is answered; exit code 0 within 20 s; no server is left; the next start decides the rest."""
    service = own_service()
    service.start()
    settings = settings_of(service)
    events = [create_event(settings, 100) for _ in range(4)]
    buyers = make_buyers(service.environ, 4000, tmp_path / "buyers")
    wishes = [Wish(buyer, events[number % 4]) for number, buyer in enumerate(buyers)]
    children = psutil.Process(service.pid).children(recursive=True)
    assert children
    rush = HttpRush(service.url, wishes, connections=32).start()
    wait_until(lambda: len(rush.accepted) >= 500, 20.0, "bookings are accepted")
    started_at = time.monotonic()
    code = service.terminate(timeout_s=25.0)
    took_s = time.monotonic() - started_at
    rush.give_up()
    rush.join()
    assert code == 0, service.log_text()
    assert took_s < 20.0
    assert not rush.aborted, (len(rush.aborted), rush.aborted[:3])
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert "Traceback" not in service.log_text()

    service.start()
    url = settings_of(service).database_url
    assert url is not None
    wait_decided(url, rush.jobs, timeout_s=5.0)
    check_rows(url, accepted=rush.jobs, perhaps=rush.perhaps)
    audit = run_command("audit", environ=service.environ)
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_embedded_servers_that_are_killed_are_started_again(
    own_service: Callable[[], ServiceProcess], tmp_path: Path
) -> None:
    """Kill -9 of the embedded Redis, then of PostgreSQL, amid a rush: all keys are accepted and decided once."""
    service = own_service()
    service.start()
    settings = settings_of(service)
    event = create_event(settings, 200)
    buyers = make_buyers(service.environ, 900, tmp_path / "buyers")
    rush = HttpRush(
        service.url, [Wish(buyer, event, "mine") for buyer in buyers], connections=16, persistent=True
    ).start()
    for number, name in ((1, "redis-server"), (2, "postgres")):
        wait_until(lambda number=number: len(rush.accepted) >= 200 * number, 20.0, "bookings are accepted")
        for child in psutil.Process(service.pid).children(recursive=True):
            if child.name().startswith(name):
                child.kill()
    rush.join()
    assert len(rush.accepted) == 900
    assert not rush.aborted
    assert all(took_s < 1.5 for _, took_s in rush.refused)
    url = settings.database_url
    assert url is not None
    wait_until(lambda: reachable(url), 10.0, "PostgreSQL is back")
    wait_decided(url, rush.jobs, timeout_s=10.0)
    check_rows(url, accepted=rush.jobs, perhaps=rush.perhaps)
    assert service.probe("/readyz") == 200


def reachable(url: str) -> bool:
    """Return whether the database takes connections."""
    try:
        undecided(url, [])
    except psycopg.Error:
        return False
    return True
