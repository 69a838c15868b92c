"""A client of the earlier Aurora-Atlan, which knows its calls and fields and nothing else, meets this one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from harness.command_line import run_command
from harness.service import ServiceProcess
from harness_http import Answer, Client
from harness_sales import wait_until

PASSWORD = "correct horse battery"
CONCERT = {"name": "Night of lights", "venue": "Harbour", "time": "2027-03-01T20:00:00+01:00", "capacity": 2}
DECIDED_WITHIN_S = 10.0

# What the fields are, by name; every document may have more.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
USER = {"id": int, "name": str, "email": str, "role": str, "createdAt": TIME}
SESSION = {"user": USER, "token": str, "refreshToken": str, "expiresIn": int}
EVENT = {
    "id": int,
    "name": str,
    "venue": str,
    "time": TIME,
    "capacity": int,
    "booked": int,
    "available": int,
    "impressions": int,
    "createdAt": TIME,
    "updatedAt": TIME,
}
ACCEPTED = {"message": str, "jobId": str, "queuePosition": int, "estimatedWaitTime": float, "statusEndpoint": str}
BOOKING = {"id": int, "eventId": int, "userId": int, "status": str, "createdAt": TIME}
JOB = {"jobId": str, "eventId": int}
STATS = {
    "stats": dict.fromkeys(("waiting", "active", "completed", "failed", "total"), int),
    "health": {"status": str, "stalledJobs": int, "healthy": bool},
}
MESSAGE = {"message": str}


def check(document: Any, shape: Any) -> None:
    """The document has the fields of the shape, each of its type."""
    if isinstance(shape, dict):
        assert isinstance(document, dict), document
        for name, part in shape.items():
            assert name in document, f"{name} is missing: {document}"
            check(document[name], part)
    elif isinstance(shape, list):
        assert isinstance(document, list), document
        for entry in document:
            check(entry, shape[0])
    elif isinstance(shape, re.Pattern):
        assert isinstance(document, str), document
        assert shape.fullmatch(document), document
    else:
        assert type(document) is shape, document


def good(answer: Answer, status: int, shape: Any) -> Any:
    """The answer succeeded; return its document."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/json"
    check(answer.body, shape)
    return answer.body


def refused(answer: Answer, status: int) -> None:
    """The answer is an error, whose sentence is where such a client looks for it."""
    assert answer.status == status, answer
    assert re.fullmatch(r".+ .+\.", answer.body["error"]), answer


def outcome(client: Client, accepted: Any) -> Any:
    """Poll until the job is decided."""

    def decided() -> Any:
        answer = client.get(accepted["statusEndpoint"])
        shape = {"status": str, "queuePosition": int}
        told = good(answer, 200, shape)
        assert told["status"] in ("queued", "processing", "completed", "failed")
        return told if told["status"] in ("completed", "failed") else None

    return wait_until(decided, DECIDED_WITHIN_S, "an outcome")


def register(client: Client, name: str) -> Any:
    """Make an account and use its token from now on."""
    account = {"name": name, "email": f"{name.lower()}@example.com", "password": PASSWORD}
    session = good(client.post("/api/auth/register", account), 200, SESSION)
    client.token = session["token"]
    return session["user"]


def become_admin(service: ServiceProcess, client: Client, name: str) -> Any:
    """Make an account an administrator's on the command line, and log in to it again."""
    email = f"{name.lower()}@example.com"
    done = run_command("create-admin", "--email", email, "--name", name, environ=service.environ)
    assert done.returncode == 0, done.stderr
    client.token = None
    session = good(client.post("/api/auth/login", {"email": email, "password": PASSWORD}), 200, SESSION)
    client.token = session["token"]
    return session["user"]


def book(client: Client, event_id: int) -> Any:
    """Book as the earlier clients do: without a body or a key."""
    return good(client._send("POST", f"/api/bookings/{event_id}/book", None, {}), 202, ACCEPTED)


@pytest.fixture
def admin(service: ServiceProcess) -> Iterator[Client]:
    """An administrator."""
    with Client(service.url) as client:
        registered = register(client, "Ada")
        promoted = become_admin(service, client, "Ada")
        assert (registered["role"], promoted) == ("USER", {**registered, "role": "ADMIN"})
        yield client


@pytest.fixture
def buyer(service: ServiceProcess) -> Iterator[Client]:
    """A user."""
    with Client(service.url) as client:
        register(client, "Grace")
        yield client


def test_accounts_and_events_are_as_ever(service: ServiceProcess, admin: Client, buyer: Client) -> None:
    with Client(service.url) as stranger:
        refused(
            stranger.post("/api/auth/register", {"name": "A", "email": "ada@example.com", "password": PASSWORD}), 400
        )
        wrong = stranger.post("/api/auth/login", {"email": "ada@example.com", "password": "wrong"})
        unknown = stranger.post("/api/auth/login", {"email": "nobody@example.com", "password": "wrong"})
        refused(wrong, 400)
        refused(unknown, 400)
        assert wrong.body["error"] == unknown.body["error"]
        refused(stranger.post("/api/events/create", CONCERT), 401)
    refused(buyer.post("/api/events/create", CONCERT), 403)
    refused(admin.post("/api/events/create", {**CONCERT, "capacity": "many"}), 400)

    created = admin.post("/api/events/create", CONCERT)
    event = good(created, 201, EVENT)
    assert created.headers["Location"] == f"/api/events/{event['id']}/view"
    assert (event["capacity"], event["booked"], event["available"], event["impressions"]) == (2, 0, 2, 0)
    assert event["time"] == "2027-03-01T19:00:00Z"
    [listed] = good(buyer.get("/api/events/view"), 200, [EVENT])
    assert listed["id"] == event["id"]
    assert good(buyer.get(f"/api/events/{event['id']}/view"), 200, EVENT)["name"] == CONCERT["name"]
    refused(buyer.get("/api/events/999999/view"), 404)
    changed = good(admin.put(f"/api/events/{event['id']}/update", {"venue": "Castle", "capacity": 3}), 200, EVENT)
    assert (changed["venue"], changed["capacity"], changed["name"]) == ("Castle", 3, CONCERT["name"])


def test_booking_and_cancelling_are_as_ever(service: ServiceProcess, admin: Client, buyer: Client) -> None:
    event = good(admin.post("/api/events/create", CONCERT), 201, EVENT)
    accepted = buyer._send("POST", f"/api/bookings/{event['id']}/book", None, {})
    first = good(accepted, 202, ACCEPTED)
    assert first["statusEndpoint"] == f"/api/bookings/status/{first['jobId']}" == accepted.headers["Location"]
    assert 1 <= int(accepted.headers["Retry-After"]) <= 60
    told = outcome(buyer, first)
    assert (told["status"], told["queuePosition"], told["reason"]) == ("completed", 0, None)
    check(told["result"]["booking"], BOOKING)
    refused(buyer._send("POST", "/api/bookings/999999/book", None, {}), 404)
    refused(buyer.get("/api/bookings/status/2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1"), 404)
    again = outcome(buyer, book(buyer, event["id"]))
    assert (again["status"], again["reason"], again["result"]) == ("failed", "already_booked", None)
    refused(admin.delete(f"/api/events/{event['id']}/delete"), 409)
    [entry] = good(buyer.get("/api/bookings/history"), 200, [{**BOOKING, "event": EVENT}])
    assert (entry["id"], entry["status"]) == (told["result"]["booking"]["id"], "confirmed")
    assert entry["event"]["id"] == event["id"]

    cancelled = good(buyer.delete(f"/api/bookings/{entry['id']}/cancel"), 200, {"message": str, "booking": BOOKING})
    assert (cancelled["booking"]["id"], cancelled["booking"]["status"]) == (entry["id"], "cancelled")
    assert good(buyer.delete(f"/api/bookings/{entry['id']}/cancel"), 200, {}) == cancelled
    second = outcome(buyer, book(buyer, event["id"]))
    assert second["status"] == "completed"
    with Client(service.url) as other:
        register(other, "Eve")
        refused(other.delete(f"/api/bookings/{second['result']['booking']['id']}/cancel"), 404)


def test_the_queue_the_figures_and_deleting_are_as_ever(admin: Client, buyer: Client) -> None:
    event = good(admin.post("/api/events/create", CONCERT), 201, EVENT)
    booked = outcome(buyer, book(buyer, event["id"]))["result"]["booking"]
    good(admin.post("/api/admin/queue/pause", {}), 200, MESSAGE)
    good(admin.post("/api/admin/queue/pause", {}), 200, MESSAGE)
    waiting = book(admin, event["id"])
    stats = good(admin.get("/api/admin/queue/stats"), 200, STATS)
    assert stats["stats"]["waiting"] == 1
    assert stats["stats"]["total"] == sum(count for name, count in stats["stats"].items() if name != "total")
    details = good(admin.get("/api/admin/queue/details"), 200, {"waiting": [JOB], "active": [JOB]})
    assert [job["jobId"] for job in details["waiting"]] == [waiting["jobId"]]
    assert good(admin.get(waiting["statusEndpoint"]), 200, {})["status"] == "queued"
    refused(buyer.get("/api/admin/queue/stats"), 403)
    good(admin.post("/api/admin/queue/resume", {}), 200, MESSAGE)
    assert outcome(admin, waiting)["status"] == "completed"
    refused(admin.put(f"/api/events/{event['id']}/update", {"capacity": 1}), 409)

    wait_until(lambda: admin.get("/api/admin/queue/stats").body["stats"]["waiting"] == 0, 5, "an empty queue")
    removed = good(admin.post("/api/admin/queue/clean", {}), 200, {"message": str, "removed": int})["removed"]
    assert 1 <= removed <= 2
    shape = {"totalBookings": int, "popularEvents": [EVENT], "utilization": dict}
    analytics = good(admin.get("/api/admin/analytics"), 200, shape)
    assert (analytics["totalBookings"], analytics["popularEvents"][0]["id"]) == (2, event["id"])

    refused(admin.delete(f"/api/events/{event['id']}/delete"), 409)
    good(admin.delete(f"/api/events/{event['id']}/delete?force=true"), 200, MESSAGE)
    assert good(buyer.get("/api/events/view"), 200, [EVENT]) == []
    [entry] = good(buyer.get("/api/bookings/history"), 200, [BOOKING])
    assert (entry["id"], entry["status"]) == (booked["id"], "cancelled")


def test_what_was_decided_is_told_whatever_the_queue_forgets(
    service: ServiceProcess, admin: Client, buyer: Client, redis_url: str
) -> None:
    """After cleaning and after Redis is emptied every status is what it was, and every key is the job it was."""
    event_id = good(admin.post("/api/events/create", {**CONCERT, "capacity": 1}), 201, EVENT)["id"]
    booked, late, missed = buyer.book(event_id, "mine"), buyer.book(event_id, "mine-too"), admin.book(event_id, "hers")
    asked = [(buyer, booked, "mine"), (buyer, late, "mine-too"), (admin, missed, "hers")]
    before = [outcome(client, good(answer, 202, ACCEPTED)) for client, answer, _ in asked]
    assert [told["reason"] for told in before] == [None, "already_booked", "sold_out"]

    def check_all_told() -> None:
        for (client, answer, _), told in zip(asked, before, strict=True):
            now = good(client.get(answer.body["statusEndpoint"]), 200, {})
            for name in ("status", "queuePosition", "reason", "result"):
                assert now[name] == told[name]

    def check_keys() -> None:
        for client, answer, key in asked:
            repeated = accepted_at_last(client, event_id, key)
            assert good(repeated, 202, ACCEPTED)["jobId"] == answer.body["jobId"]
        check_all_told()
        for (client, answer, _), told in zip(asked, before, strict=True):
            assert outcome(client, answer.body)["result"] == told["result"]
        assert good(admin.get(f"/api/events/{event_id}/view"), 200, EVENT)["booked"] == 1

    wait_until(lambda: admin.get("/api/admin/queue/stats").body["stats"]["waiting"] == 0, 5, "an empty queue")
    wait_until(lambda: forgotten(admin) == 0, 5, "a clean queue")
    check_all_told()
    check_keys()
    with redis.Redis.from_url(redis_url) as queue:
        queue.flushall()
    check_all_told()
    check_keys()


def forgotten(admin: Client) -> int:
    """Clean, and return how many finished jobs the queue still knows."""
    good(admin.post("/api/admin/queue/clean", {}), 200, {"message": str, "removed": int})
    stats = good(admin.get("/api/admin/queue/stats"), 200, STATS)["stats"]
    known: int = stats["completed"] + stats["failed"]
    return known


def accepted_at_last(client: Client, event_id: int, key: str) -> Answer:
    """Repeat a booking for as long as it is told to come back later."""
    answers: list[Answer] = []

    def accepted() -> bool:
        answers.append(client.book(event_id, key))
        assert answers[-1].status == 202 or "Retry-After" in answers[-1].headers, answers[-1]
        return answers[-1].status == 202

    wait_until(accepted, DECIDED_WITHIN_S, "an acceptance")
    return answers[-1]
