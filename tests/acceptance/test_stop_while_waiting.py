"""SIGTERM while clients wait for outcomes."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg

from aurora_atlan.config import Settings
from harness.service import ServiceProcess
from harness_http import Client, make_buyers
from harness_sales import create_event


def test_a_stop_does_not_wait_for_those_who_wait(
    service: ServiceProcess, settings: Settings, database_url: str, tmp_path: Path
) -> None:
    """Their requests are answered, and the process is gone in a moment, not in twenty seconds."""
    [buyer] = make_buyers(service.environ, 1, tmp_path / "buyers")
    event_id = create_event(settings, 10)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE event_inventory SET paused = true")
    with Client(service.url, buyer.token) as client:
        job_id = client.book(event_id).body["jobId"]
    path = f"/api/bookings/status/{job_id}"
    told: list[tuple[int, str]] = []
    sent = threading.Barrier(5)

    def poll() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
            connection.request("GET", path, headers={"Prefer": "wait=20"})
            sent.wait(10)
            response = connection.getresponse()
            told.append((response.status, json.loads(response.read())["status"]))

    polls = [threading.Thread(target=poll) for _ in range(4)]
    for thread in polls:
        thread.start()
    sent.wait(10)
    # Read after theirs, and answered: theirs are being worked on.
    with Client(service.url) as client:
        assert client.get(path).body["status"] == "queued"
    assert told == []

    began_at = time.monotonic()
    assert service.terminate() == 0
    assert time.monotonic() - began_at < 8
    for thread in polls:
        thread.join(10)
    assert told == [(200, "queued")] * 4
