"""Webhooks as an administrator sets them up, and a service that is killed while it sends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import psycopg
import trustme
from standardwebhooks import Webhook as Verifier

from harness.command_line import run_command
from harness.receiver import Received, Receiver, with_status
from harness.service import ServiceProcess
from harness_http import Client
from harness_sales import wait_until

PATH = "/api/admin/webhooks"
PASSWORD = "a long enough password"
JWT_SECRET = "a secret of tests, known to everybody and long enough"


def administrator(service: ServiceProcess, folder: Path) -> Client:
    """Make an administrator, and log in."""
    file = folder / "password"
    file.write_text(PASSWORD, encoding="utf-8")
    file.chmod(0o600)
    arguments = ("create-admin", "--email", "ada@example.org", "--name", "Ada", "--password-file", str(file))
    made = run_command(*arguments, environ=service.environ)
    assert made.returncode == 0, made.stderr
    client = Client(service.url)
    client.token = client.post("/api/auth/login", {"email": "ada@example.org", "password": PASSWORD}).body["token"]
    return client


def test_what_a_killed_service_was_about_to_send_is_sent_after_its_restart(
    make_service: Callable[..., ServiceProcess], database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Killed with a message under way and two behind it: all come, in order, signed, and none is lost."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    service = make_service(
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        JWT_SECRET=JWT_SECRET,
        AURORA_DATABASE_ROLE="aurora_app",
        AURORA_MIGRATOR_DATABASE_URL=database_url,
        AURORA_WEBHOOK_PRIVATE_ADDRESSES="on",
        SSL_CERT_FILE=str(tmp_path / "authority.pem"),
    )
    service.start()
    came, over = threading.Event(), threading.Event()

    def stall(_handler: BaseHTTPRequestHandler, _received: Received) -> None:
        came.set()
        over.wait(60)

    with (
        Receiver(authority).running() as receiver,
        administrator(service, tmp_path) as admin,
        psycopg.connect(database_url, autocommit=True) as sql,
    ):
        receiver.answer = stall
        created = admin.post(PATH, {"url": receiver.url, "types": ["booking.confirmed", "booking.rejected"]})
        assert created.status == 201, created
        event = {"name": "Concert", "venue": "Hall", "time": "2027-06-01T20:00:00Z", "capacity": 2}
        event_id = admin.post("/api/events/create", event).body["id"]
        for _ in range(3):
            with Client(service.url) as buyer:
                buyer.register()
                assert buyer.book(event_id).status == 202
        assert came.wait(10)
        wait_until(lambda: admin.get(f"{PATH}/{created.body['id']}").body["waiting"] == 3, 10, "all three wait")

        service.kill()
        admin.close()
        over.set()
        receiver.answer = with_status(204)
        # As if the minute were over for which the killed one had claimed them.
        sql.execute("UPDATE webhook_deliveries SET next_at = now()")
        service.start()

        wait_until(lambda: admin.get(f"{PATH}/{created.body['id']}").body["waiting"] == 0, 10, "nothing waits")
        assert receiver.entries == [(event_id, number) for number in (2, 2, 3, 4)]
        verifier = Verifier(created.body["secret"])
        messages = [verifier.verify(received.body, received.headers) for received in receiver.received]
        assert [message["type"] for message in messages] == ["booking.confirmed"] * 3 + ["booking.rejected"]
        assert len({received.headers["webhook-id"] for received in receiver.received}) == 3
        assert created.body["secret"] not in service.log_text()
