"""The API over real PostgreSQL, Redis and actors, through real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from aurora_atlan.config import Settings
from aurora_atlan.http.server import Server
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.users import UserStore
from aurora_atlan.supervisor import Supervisor

EVENT = {"name": "Concert", "venue": "Hall", "time": "2027-06-01T20:00:00+02:00", "capacity": 2}
UNFINISHED = ("queued", "processing")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    json: Any


@dataclass
class Api:
    """A client of a running server."""

    supervisor: Supervisor
    server: Server
    issuer: TokenIssuer

    def call(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, json.loads(response.read() or b"null"))

    def buyers(self, count: int) -> list[str]:
        """Make buyers and return their tokens."""
        users = UserStore(self.supervisor.database)
        return [self.issuer.issue(user_id, "USER", 1) for user_id in users.create_synthetic(count)]

    def event(self, **changes: Any) -> int:
        """Create an event as an administrator and return its id."""
        created = self.call("POST", "/api/events/create", {**EVENT, **changes}, self.issuer.issue(1, "ADMIN", 1))
        assert created.status == 201
        event_id: int = created.json["id"]
        return event_id

    def outcome(self, accepted: Answer, token: str | None = None) -> Any:
        """Ask for a job's status until it has its outcome."""
        assert accepted.status == 202, accepted.json
        deadline = time.monotonic() + 10
        while True:
            answer = self.call("GET", accepted.json["statusEndpoint"], token=token)
            assert answer.status == 200
            if answer.json["status"] not in UNFINISHED:
                return answer.json
            assert answer.headers["retry-after"]
            assert time.monotonic() < deadline, answer.json
            time.sleep(0.01)


@contextmanager
def running(settings: Settings) -> Iterator[Api]:
    supervisor = Supervisor(settings)
    server = Server(supervisor, settings)
    supervisor.start()
    server.start()
    try:
        yield Api(supervisor, server, TokenIssuer(settings))
    finally:
        server.stop(5)
        supervisor.stop(10)


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with running(settings) as api:
        wait_until(lambda: api.supervisor.health().ready)
        yield api


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_from_registering_to_history(api: Api):
    ada = {"name": "Ada", "email": "Ada@example.com", "password": "correct horse"}
    registered = api.call("POST", "/api/auth/register", ada)
    assert registered.status == 200
    assert UserStore(api.supervisor.database).promote("ada@example.com", "ADMIN")
    logged_in = api.call("POST", "/api/auth/login", {"email": "ada@example.com", "password": "correct horse"})
    assert logged_in.json["user"]["role"] == "ADMIN"
    token = logged_in.json["token"]

    created = api.call("POST", "/api/events/create", EVENT, token)
    assert created.status == 201
    event_id = created.json["id"]
    accepted = api.call("POST", f"/api/bookings/{event_id}/book", token=token)
    outcome = api.outcome(accepted, token)

    assert outcome["status"] == "completed"
    assert outcome["reason"] is None
    assert outcome["queuePosition"] == 0
    assert outcome["result"]["booking"]["eventId"] == event_id
    assert outcome["result"]["booking"]["userId"] == registered.json["user"]["id"]
    [booked] = api.call("GET", "/api/bookings/history", token=token).json
    assert booked["id"] == outcome["result"]["booking"]["id"]
    assert booked["jobId"] == accepted.json["jobId"]
    assert booked["event"]["booked"] == 1
    shown = api.call("GET", created.headers["location"]).json
    assert (shown["booked"], shown["available"], shown["impressions"]) == (1, 1, 1)
    assert api.call("GET", "/api/events/view").json == [shown]


def test_an_event_is_sold_out_and_nobody_books_twice(api: Api):
    event_id = api.event(capacity=2)
    first, second, third = api.buyers(3)

    def book(token: str) -> Any:
        return api.outcome(api.call("POST", f"/api/bookings/{event_id}/book", token=token), token)

    assert book(first)["status"] == "completed"
    again = book(first)
    assert (again["status"], again["reason"], again["result"]) == ("failed", "already_booked", None)
    assert book(second)["status"] == "completed"
    late = book(third)
    assert (late["status"], late["reason"]) == ("failed", "sold_out")
    assert api.call("GET", "/api/bookings/history", token=third).json == []


def test_all_of_a_quantity_or_none(api: Api):
    event_id = api.event(capacity=5)
    first, second = api.buyers(2)
    path = f"/api/bookings/{event_id}/book"
    assert api.outcome(api.call("POST", path, {"quantity": 3}, first))["status"] == "completed"
    assert api.outcome(api.call("POST", path, {"quantity": 3}, second))["reason"] == "sold_out"
    assert api.call("GET", f"/api/events/{event_id}/view").json["available"] == 2


def test_the_same_key_is_the_same_job(api: Api):
    event_id = api.event()
    [token] = api.buyers(1)
    path = f"/api/bookings/{event_id}/book"
    first = api.call("POST", path, token=token, Idempotency_Key="one")
    again = api.call("POST", path, token=token, Idempotency_Key="one")
    assert (first.status, again.status) == (202, 202)
    assert again.json["jobId"] == first.json["jobId"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"

    other = api.call("POST", path, {"quantity": 2}, token, Idempotency_Key="one")
    assert other.status == 422
    assert other.json["type"].endswith(":idempotency-key-reused")
    assert api.outcome(first)["status"] == "completed"
    assert len(api.call("GET", "/api/bookings/history", token=token).json) == 1


def test_an_unknown_event_is_404_and_nothing_is_queued(api: Api):
    [token] = api.buyers(1)
    for event_id in (1, 2**53 - 1):
        answer = api.call("POST", f"/api/bookings/{event_id}/book", token=token)
        assert answer.status == 404
        assert answer.json["type"].endswith(":unknown-event")
        assert api.call("GET", f"/api/events/{event_id}/view").status == 404


def test_a_job_that_never_existed_is_404(api: Api):
    answer = api.call("GET", "/api/bookings/status/2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1")
    assert answer.status == 404
    assert answer.json["type"].endswith(":unknown-job")


def test_the_result_is_the_owners(api: Api):
    event_id = api.event()
    owner, other = api.buyers(2)
    accepted = api.call("POST", f"/api/bookings/{event_id}/book", token=owner)
    assert api.outcome(accepted, owner)["result"]["booking"]
    assert api.outcome(accepted, other)["result"] is None
    assert api.outcome(accepted)["result"] is None
    assert api.call("GET", accepted.json["statusEndpoint"], token="nonsense").status == 401


def test_a_token_of_another_installation_is_refused(api: Api, settings: Settings):
    event_id = api.event()
    foreign = TokenIssuer(replace(settings, jwt_secret="another secret of thirty-two bytes!!"))
    answer = api.call("POST", f"/api/bookings/{event_id}/book", token=foreign.issue(1, "ADMIN", 1))
    assert answer.status == 401


def test_one_seat_and_many_buyers_at_once(api: Api):
    event_id = api.event(capacity=1)
    tokens = api.buyers(16)
    barrier, outcomes = threading.Barrier(len(tokens)), []

    def book(token: str) -> None:
        barrier.wait(10)
        outcomes.append(api.outcome(api.call("POST", f"/api/bookings/{event_id}/book", token=token)))

    threads = [threading.Thread(target=book, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcome["reason"] or "" for outcome in outcomes) == [""] + ["sold_out"] * 15


def test_a_view_never_waits_for_a_sale(api: Api, database_url: str):
    event_id = api.event()
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM event_inventory WHERE event_id = %s FOR UPDATE", (event_id,))
        began = time.perf_counter()
        assert api.call("GET", f"/api/events/{event_id}/view").status == 200
        assert time.perf_counter() - began < 0.5


def test_names_in_every_script_come_back_as_they_were(api: Api):
    name = "Zo\u00eb \u6771\u4eac \U0001f3ab \u0645\u0647\u0631\u062c\u0627\u0646"
    event_id = api.event(name=name)
    assert api.call("GET", f"/api/events/{event_id}/view").json["name"] == name


@pytest.mark.parametrize("time_sent", ["1900-01-01T00:00:00Z", "9998-12-31T23:59:59.999999Z"])
def test_the_earliest_and_the_latest_time_survive_the_database(api: Api, time_sent: str):
    event_id = api.event(time=time_sent)
    assert api.call("GET", f"/api/events/{event_id}/view").json["time"] == time_sent


def test_without_redis_it_lives_and_says_what_is_missing(settings: Settings, closed_port: int):
    with running(replace(settings, redis_url=f"redis://127.0.0.1:{closed_port}/0")) as api:
        event_id = api.event()
        [token] = api.buyers(1)
        answer = api.call("POST", f"/api/bookings/{event_id}/book", token=token)
        assert answer.status == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
        assert api.call("GET", "/livez").status == 200
        ready = api.call("GET", "/readyz")
        assert ready.status == 503
        assert not ready.json["components"]["redis"]["ok"]
        assert api.call("GET", "/api/events/view").status == 200


def test_without_postgresql_it_lives_and_says_what_is_missing(settings: Settings, closed_port: int):
    away = replace(settings, database_url=f"postgresql://nobody@127.0.0.1:{closed_port}/nothing", pool_timeout_s=0.2)
    with running(away) as api:
        login = api.call("POST", "/api/auth/login", {"email": "ada@example.com", "password": "correct horse"})
        assert login.status == 503
        assert login.headers["retry-after"]
        assert "127.0.0.1" not in json.dumps(login.json)
        assert api.call("GET", "/livez").status == 200
        ready = api.call("GET", "/readyz")
        assert ready.status == 503
        assert not all(component["ok"] for component in ready.json["components"].values())


def test_before_the_migrations_it_is_503_not_500(settings: Settings, database_url: str):
    with psycopg.connect(database_url, autocommit=True) as superuser:
        superuser.execute("ALTER TABLE users RENAME TO users_elsewhere")
    with running(settings) as api:
        login = api.call("POST", "/api/auth/login", {"email": "ada@example.com", "password": "correct horse"})
        assert login.status == 503
        assert "users" not in json.dumps(login.json)


def test_a_cancelled_seat_is_sold_again(api: Api):
    """Cancelling twice is one cancellation; nobody cancels somebody else's; the job stays completed."""
    first, second, third = api.buyers(3)
    event_id = api.event(capacity=1)
    booked = api.call("POST", f"/api/bookings/{event_id}/book", token=first)
    booking = api.outcome(booked, first)["result"]["booking"]
    path = f"/api/bookings/{booking['id']}/cancel"

    assert api.call("DELETE", path, token=second).status == 404
    cancelled = api.call("DELETE", path, token=first)
    assert cancelled.status == 200
    assert cancelled.json["booking"] == {**booking, "status": "cancelled"}
    assert api.call("DELETE", path, token=first).json == cancelled.json

    again = api.outcome(api.call("POST", f"/api/bookings/{event_id}/book", token=second), second)
    assert again["status"] == "completed"
    refused = api.outcome(api.call("POST", f"/api/bookings/{event_id}/book", token=third), third)
    assert (refused["status"], refused["reason"]) == ("failed", "sold_out")
    status = api.call("GET", booked.json["statusEndpoint"], token=first).json
    assert (status["status"], status["result"]["booking"]["status"]) == ("completed", "cancelled")
    assert api.call("DELETE", f"/api/bookings/{booking['id'] + 1000}/cancel", token=first).status == 404


def test_a_pause_holds_decisions_and_a_withdrawn_attempt_is_not_decided(api: Api):
    """What waits in a paused event can be withdrawn by its owner alone; the rest is decided after the resume."""
    first, second = api.buyers(2)
    operator = api.issuer.issue(1, "OPS", 1)
    event_id = api.event(capacity=1)
    assert api.call("POST", f"/api/admin/queue/pause?eventId={event_id}", token=operator).status == 200
    withdrawn = api.call("POST", f"/api/bookings/{event_id}/book", token=first)
    kept = api.call("POST", f"/api/bookings/{event_id}/book", token=second)
    path = f"/api/bookings/jobs/{withdrawn.json['jobId']}"

    assert api.call("DELETE", path, token=second).status == 404
    assert api.call("DELETE", path, token=first).status == 200
    assert api.call("DELETE", path, token=first).status == 200
    assert api.call("POST", f"/api/admin/queue/resume?eventId={event_id}", token=operator).status == 200

    assert api.outcome(kept, second)["status"] == "completed"
    told = api.outcome(withdrawn, first)
    assert (told["status"], told["reason"]) == ("failed", "cancelled")
    too_late = api.call("DELETE", f"/api/bookings/jobs/{kept.json['jobId']}", token=second)
    assert too_late.status == 409
    assert too_late.json["outcome"]["status"] == "completed"
    assert api.call("POST", "/api/admin/queue/pause?eventId=999999", token=operator).status == 404


def test_what_administrators_do_is_in_the_audit_log(api: Api):
    """Newest first, in pages; who did it, from where, in which request, and what changed."""
    ada = {"name": "Ada", "email": "ada@example.com", "password": "correct horse"}
    admin_id = api.call("POST", "/api/auth/register", ada).json["user"]["id"]
    assert UserStore(api.supervisor.database).promote("ada@example.com", "ADMIN")
    token = api.issuer.issue(admin_id, "ADMIN", 2)
    eve = api.call("POST", "/api/auth/register", {**ada, "email": "eve@example.com"}).json["user"]

    created = api.call("POST", "/api/events/create", EVENT, token, X_Request_Id="creation")
    event_id = created.json["id"]
    api.call("POST", f"/api/admin/queue/pause?eventId={event_id}", token=token)
    api.call("POST", "/api/admin/queue/resume", token=token)
    role = f"/api/admin/users/{eve['id']}/role"
    assert api.call("PUT", role, {"role": "OPS"}, token).json == {**eve, "role": "OPS"}
    assert api.call("PUT", role, {"role": "OPS"}, token).status == 200
    assert api.call("PUT", f"/api/admin/users/{admin_id}/role", {"role": "USER"}, token).status == 409

    first = api.call("GET", "/api/admin/audit?limit=3", token=token)
    rest = api.call("GET", first.headers["link"].partition("<")[2].partition(">")[0], token=token)
    assert "link" not in rest.headers
    entries = first.json + rest.json
    assert [(entry["action"], entry["subject"]) for entry in entries] == [
        ("user.role", f"user {eve['id']}"),
        ("queue.resume", "all events"),
        ("queue.pause", f"event {event_id}"),
        ("event.create", f"event {event_id}"),
    ]
    assert {(entry["actorId"], entry["ip"]) for entry in entries} == {(admin_id, "127.0.0.1")}
    assert (entries[0]["before"], entries[0]["after"]) == ({"role": "USER"}, {"role": "OPS"})
    assert (entries[3]["requestId"], entries[3]["before"], entries[3]["after"]) == ("creation", None, created.json)


def test_a_refresh_token_is_good_once(api: Api):
    """Used a second time it ends the login that it belongs to, the successor included."""
    ada = {"name": "Ada", "email": "ada@example.com", "password": "correct horse"}
    first = api.call("POST", "/api/auth/register", ada).json
    second = api.call("POST", "/api/auth/refresh", {"refreshToken": first["refreshToken"]})
    assert second.status == 200
    assert api.call("GET", "/api/bookings/history", token=second.json["token"]).status == 200

    reused = api.call("POST", "/api/auth/refresh", {"refreshToken": first["refreshToken"]})
    assert reused.status == 401
    assert reused.json["type"].endswith(":invalid-refresh-token")
    assert api.call("POST", "/api/auth/refresh", {"refreshToken": second.json["refreshToken"]}).status == 401


def test_operators_look_into_the_queue_clean_it_and_try_dead_letters_again(api: Api, database_url: str):
    """Every deed is in the audit log; what was cleaned away is answered as before."""
    first, second = api.buyers(2)
    # Nobody has this id: the booking's foreign key refuses it.
    nobody = api.issuer.issue(2**40, "USER", 1)
    operator = api.issuer.issue(1, "OPS", 1)
    event_id = api.event(capacity=1)
    api.call("POST", f"/api/admin/queue/pause?eventId={event_id}", token=operator)
    accepted = [api.call("POST", f"/api/bookings/{event_id}/book", token=token) for token in (nobody, first, second)]

    queued = api.call("GET", f"/api/admin/queue/details?eventId={event_id}&limit=2", token=operator)
    assert [job["jobId"] for job in queued.json["waiting"]] == [answer.json["jobId"] for answer in accepted[:2]]
    link = queued.headers["link"].partition("<")[2].partition(">")[0]
    rest = api.call("GET", link, token=operator)
    assert [job["jobId"] for job in rest.json["waiting"]] == [accepted[2].json["jobId"]]
    assert "link" not in rest.headers
    before = api.call("GET", "/api/admin/queue/stats", token=operator).json
    assert (before["stats"], before["health"]["status"]) == (
        {"waiting": 3, "active": 0, "completed": 0, "failed": 0, "total": 3},
        "healthy",
    )
    api.call("POST", f"/api/admin/queue/resume?eventId={event_id}", token=operator)
    told = [api.outcome(answer) for answer in accepted]
    assert [status["reason"] for status in told] == ["poison", None, "sold_out"]

    after = api.call("GET", "/api/admin/queue/stats", token=operator).json["stats"]
    assert after == {"waiting": 0, "active": 0, "completed": 1, "failed": 2, "total": 3}
    [letter] = api.call("GET", "/api/admin/queue/failed", token=operator).json
    assert (letter["jobId"], letter["userId"]) == (accepted[0].json["jobId"], 2**40)
    cleaned = api.call("POST", "/api/admin/queue/clean?state=failed", token=operator)
    assert cleaned.json["removed"] == 2
    assert [api.outcome(answer) for answer in accepted] == told
    again = api.call("POST", f"/api/admin/queue/retry/{letter['jobId']}", token=operator, X_Request_Id="again")
    assert (again.status, again.json["retryOf"]) == (202, letter["jobId"])
    # By now the event is sold out.
    assert api.outcome(again)["reason"] == "sold_out"
    refused = api.call("POST", f"/api/admin/queue/retry/{accepted[1].json['jobId']}", token=operator)
    assert refused.json["type"].endswith(":not-failed")
    verified = api.call("POST", "/api/bookings/receipts/verify", accepted[1].json["receipt"])
    assert verified.json == {
        "valid": True,
        "mismatch": None,
        "jobId": accepted[1].json["jobId"],
        "status": "completed",
        "reason": None,
    }

    with psycopg.connect(database_url) as connection:
        deeds = connection.execute(
            "SELECT actor_id, action, subject, request_id = 'again', after FROM audit_log"
            " WHERE action IN ('queue.clean', 'queue.retry') ORDER BY id"
        ).fetchall()
    assert deeds == [
        (1, "queue.clean", "finished jobs", False, {"state": ["failed"], "olderThan": 0, "limit": 1000}),
        (
            1,
            "queue.retry",
            f"job {letter['jobId']}",
            True,
            {"eventId": event_id, "userId": 2**40, "quantity": 1},
        ),
    ]
