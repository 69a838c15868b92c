"""The programs of examples/ do what they say, against real servers."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.config import Settings
from harness.examples import FOLDER, run_example, running_example, wait_served
from harness.service import free_port
from harness_http import Client
from harness_sales import check_audit, create_event, make_buyers, running, sold, wait_decided, wait_until


@pytest.fixture
def environ(settings: Settings, database_url: str, redis_url: str) -> dict[str, str]:
    """What a reader exports, for this test's own stores."""
    assert settings.jwt_secret is not None
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "JWT_SECRET": settings.jwt_secret}


def test_each_example_is_in_the_list_of_them():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")

    listed = re.findall(r"^\| \[(\w+\.py)\]\(\1\)", page, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in FOLDER.glob("*.py"))


def test_a_script_sells_an_event_out(environ: dict[str, str], settings: Settings, database_url: str):
    done = run_example("sell_out.py", environ)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "40 of 100 got one of the 40 seats, 60 came too late.\nThe audit is clean.\n"
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT capacity, sold FROM event_inventory").fetchall() == [(40, 40)]
    check_audit(settings)


def test_a_script_makes_the_schema_of_an_empty_database(environ: dict[str, str], databases, redis_url: str):
    with databases.empty() as url:
        done = run_example("sell_out.py", environ | {"DATABASE_URL": url})

    assert done.returncode == 0, done.stdout + done.stderr


def test_flask_serves_the_api_beside_its_own_pages(
    environ: dict[str, str], settings: Settings, database_url: str, tmp_path: Path
):
    event_id = create_event(settings, 10)
    port, log = free_port(), tmp_path / "flask.log"
    site = f"http://127.0.0.1:{port}"

    with running_example("flask_host.py", environ | {"SITE_PORT": str(port)}, log) as process:
        wait_served(f"{site}/tickets/readyz", process, log)
        wait_served(site, process, log)
        with Client(site) as client:
            assert client.get("/box-office").body == {"waiting": 0}
            client.token = _registered(client, "/tickets")
            accepted = client.post(f"/tickets/api/bookings/{event_id}/book", {})
            assert accepted.status == 202, accepted
            where = accepted.headers["Location"]
            assert where == accepted.body["statusEndpoint"] == f"/tickets/api/bookings/status/{accepted.body['jobId']}"
            wait_decided(database_url, [accepted.body["jobId"]])
            assert client.get(where).body["status"] == "completed"
            # Nothing of the site's: what the API does not know, it answers itself.
            assert client.get("/tickets/nothing").headers["Content-Type"] == "application/problem+json"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, log.read_text(encoding="utf-8")

    assert sold(database_url, event_id) == 1


def _registered(client: Client, prefix: str) -> str:
    document = {"name": "Ada", "email": f"{uuid4()}@example.org", "password": "correct horse battery"}
    answer = client.post(f"{prefix}/api/auth/register", document)
    assert answer.status == 200, answer
    return str(answer.body["token"])


def test_fastapi_awaits_the_engine(environ: dict[str, str], settings: Settings, tmp_path: Path):
    port, log = free_port(), tmp_path / "fastapi.log"
    service = f"http://127.0.0.1:{port}"

    with running_example("fastapi_host.py", environ | {"SHOWS_PORT": str(port)}, log) as process:
        wait_served(f"{service}/openapi.json", process, log)
        with Client(service) as client:
            show = client.post("/shows", {"name": "Aurora", "venue": "Atlan", "time": "2027-06-01T20:00Z", "seats": 1})
            assert show.status == 200, show
            guests = [client.post("/guests", {"name": "Ada", "email": f"{uuid4()}@example.org"}).body for _ in range(2)]

            answers = [
                client.post(f"/shows/{show.body}/bookings", {"guest_id": guest, "key": "one wish"})
                for guest in (guests[0], guests[0], guests[1])
            ]
            again = client.post("/guests", {"name": "Ada", "email": "ada@example.org"})
            taken = client.post("/guests", {"name": "Ada", "email": "ada@example.org"})
            unknown = client.post("/shows/4711/bookings", {"guest_id": guests[0]})

        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, log.read_text(encoding="utf-8")

    assert [(answer.body["booked"], answer.body["reason"]) for answer in answers] == [
        (True, None),
        (True, None),
        (False, "sold_out"),
    ]
    assert answers[0].body == answers[1].body
    assert (again.status, taken.status, unknown.status) == (200, 409, 404)
    check_audit(settings)


def test_a_program_of_pykka_actors_hears_every_outcome(environ: dict[str, str], settings: Settings):
    done = run_example("pykka_host.py", environ)

    assert done.returncode == 0, done.stdout + done.stderr
    *guests, last = done.stdout.splitlines()
    assert [line.split(": ")[1] for line in guests] == ["confirmed"] * 3 + ["sold_out"] * 2
    assert last == "The supervisor goes on."
    check_audit(settings)


def test_a_worker_decides_what_others_have_left_and_stops_on_sigterm(
    environ: dict[str, str], settings: Settings, database_url: str, tmp_path: Path
):
    event_id = create_event(settings, 50)
    buyers = make_buyers(database_url, 80)
    with running(settings) as front:
        front.pause(event_id)
        jobs = [front.submit(BookTickets(event_id, user_id)).job_id for user_id in buyers]
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE event_inventory SET paused = false")
    log = tmp_path / "worker.log"

    with running_example("worker.py", environ, log) as process:
        wait_decided(database_url, jobs, timeout_s=20)
        wait_until(lambda: "worker: ready: " in log.read_text(encoding="utf-8"), 10, "it has said that it is ready")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text(encoding="utf-8")

    assert log.read_text(encoding="utf-8").endswith("worker: stopped\n")
    assert sold(database_url, event_id) == 50
    check_audit(settings)
