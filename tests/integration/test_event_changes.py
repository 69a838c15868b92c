"""Changing, deleting, auditing and adding up events over real servers and sockets."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from aurora_atlan.config import Settings
from aurora_atlan.http.server import Server
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.audit import Auditor
from aurora_atlan.persistence.audit_log import AuditLog
from aurora_atlan.persistence.users import UserStore
from aurora_atlan.supervisor import Supervisor
from harness_sales import check_audit, wait_until

EVENT = {"name": "Concert", "venue": "Hall", "time": "2027-06-01T20:00:00+02:00", "capacity": 10}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    json: Any


@dataclass
class Api:
    """A client of a running server, by default an administrator."""

    supervisor: Supervisor
    port: int
    issuer: TokenIssuer

    def call(self, method: str, path: str, body: Any = None, role: str | None = "ADMIN", **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            sent["Authorization"] = f"Bearer {self.issuer.issue(1, role, 1)}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, json.loads(response.read() or b"null"))

    def event(self, **changes: Any) -> int:
        """Create an event and return its id."""
        created = self.call("POST", "/api/events/create", {**EVENT, **changes})
        assert created.status == 201
        event_id: int = created.json["id"]
        return event_id

    def sell(self, event_id: int, quantity: int = 1) -> None:
        """Let somebody book, and wait until Redis has heard of it, too."""
        [buyer] = UserStore(self.supervisor.database).create_synthetic(1)
        token = self.issuer.issue(buyer, "USER", 1)
        path = f"/api/bookings/{event_id}/book"
        accepted = self.call("POST", path, {"quantity": quantity}, None, Authorization=f"Bearer {token}")
        assert accepted.status == 202, accepted
        wait_until(lambda: self.supervisor.queued(event_id) == 0, 10, "it is decided")
        assert self.call("GET", accepted.json["statusEndpoint"]).json["status"] == "completed"


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """A running server; whatever was done over it, the audit finds nothing afterwards."""
    supervisor = Supervisor(settings)
    server = Server(supervisor, settings)
    supervisor.start()
    server.start()
    try:
        wait_until(lambda: supervisor.health().ready, 10, "it is ready")
        yield Api(supervisor, server.port, TokenIssuer(settings))
    finally:
        server.stop(5)
        supervisor.stop(10)
    check_audit(settings)


def test_a_change_is_shown_at_once_under_the_tag_it_was_answered_with(api: Api) -> None:
    """In the view, in the list and in what is available."""
    event_id = api.event()
    api.sell(event_id, 2)
    view, availability = f"/api/events/{event_id}/view", f"/api/events/{event_id}/availability"
    before = api.call("GET", view)
    assert api.call("GET", availability).json["capacity"] == 10
    assert api.call("GET", "/api/events/view").json[0]["name"] == "Concert"

    changed = api.call("PUT", f"/api/events/{event_id}/update", {"name": "Gala", "capacity": 20})

    assert changed.status == 200
    assert changed.json["updatedAt"] > before.json["updatedAt"]
    assert changed.json == {
        **before.json,
        "name": "Gala",
        "capacity": 20,
        "available": 18,
        "updatedAt": changed.json["updatedAt"],
    }
    shown = api.call("GET", view)
    assert shown.headers["etag"] == changed.headers["etag"]
    assert shown.headers["etag"].startswith('"2.')
    assert api.call("GET", view, If_None_Match=changed.headers["etag"]).status == 304
    assert api.call("GET", "/api/events/view").json[0]["name"] == "Gala"
    assert api.call("GET", availability).json == {
        "eventId": event_id,
        "capacity": 20,
        "sold": 2,
        "available": 18,
        "queued": 0,
    }


def test_a_capacity_below_what_is_sold_is_409(api: Api) -> None:
    """The number that is sold comes with it, and nothing is changed."""
    event_id = api.event()
    api.sell(event_id, 3)

    refused = api.call("PUT", f"/api/events/{event_id}/update", {"name": "Gala", "capacity": 2})

    assert (refused.status, refused.json["sold"]) == (409, 3)
    assert refused.json["type"].endswith(":capacity-below-sold")
    assert api.call("GET", f"/api/events/{event_id}/view").json["name"] == "Concert"
    late = api.call("PUT", f"/api/events/{event_id}/update", {"capPerUser": 2})
    assert (late.status, late.json["type"].rpartition(":")[2]) == (409, "sale-has-begun")
    window = {"opensAt": "2027-01-02T00:00:00Z", "closesAt": "2027-01-01T00:00:00Z"}
    wrong = api.call("PUT", f"/api/events/{event_id}/update", window)
    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (400, "/closesAt")


def test_of_eight_with_the_same_tag_one_changes_the_event(api: Api) -> None:
    """Round after round; the others are told that it was changed, and sales do not disturb them."""
    event_id = api.event()
    path = f"/api/events/{event_id}/update"
    for turn in range(6):
        tag = api.call("GET", f"/api/events/{event_id}/view").headers["etag"]
        if turn == 3:
            # The tag is another then, the version is not.
            api.sell(event_id)
        barrier, answers = threading.Barrier(8), []

        def change(
            number: int, turn: int = turn, tag: str = tag, barrier: Any = barrier, answers: Any = answers
        ) -> None:
            barrier.wait(20)
            answers.append(api.call("PUT", path, {"name": f"{turn}-{number}"}, If_Match=tag))

        threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(answer.status for answer in answers) == [200] + [412] * 7
        [winner] = [answer for answer in answers if answer.status == 200]
        assert winner.headers["etag"].startswith(f'"{turn + 2}.')
        assert api.call("GET", f"/api/events/{event_id}/view").json["name"] == winner.json["name"]
        assert {a.json["type"].rpartition(":")[2] for a in answers if a.status == 412} == {"precondition-failed"}


def test_an_event_is_deleted_once_nobody_holds_it(api: Api) -> None:
    """409 with the counts, then with force; gone for everybody, and repeated it is the same."""
    event_id = api.event()
    api.sell(event_id, 2)
    path = f"/api/events/{event_id}/delete"
    assert api.call("GET", f"/api/events/{event_id}/view").status == 200

    refused = api.call("DELETE", path)
    assert (refused.status, refused.json["confirmed"], refused.json["queued"]) == (409, 2, 0)
    assert refused.json["type"].endswith(":event-in-use")
    deleted = api.call("DELETE", f"{path}?force=true")
    assert (deleted.status, deleted.json) == (200, {"message": f"Event {event_id} is deleted."})

    for again in (path, f"{path}?force=true", f"{path}?force=false"):
        assert api.call("DELETE", again).json == deleted.json
    for gone in ("view", "availability"):
        assert api.call("GET", f"/api/events/{event_id}/{gone}").status == 404
    assert api.call("PUT", f"/api/events/{event_id}/update", {"name": "Gala"}, If_Match="*").status == 404
    assert api.call("GET", "/api/events/view").json == []
    booked = api.call("POST", f"/api/bookings/{event_id}/book")
    assert (booked.status, booked.json["type"].rpartition(":")[2]) == (404, "unknown-event")
    assert api.call("DELETE", f"/api/events/{event_id + 1}/delete").status == 404


def test_what_administrators_do_is_noted(api: Api) -> None:
    """Who, from where, under which request id, and what was changed; refusals are not deeds."""
    event_id = api.event()
    api.sell(event_id, 2)
    path = f"/api/events/{event_id}"
    api.call("PUT", f"{path}/update", {"capacity": 1})
    api.call("PUT", f"{path}/update", {"name": "Concert"})
    api.call("PUT", f"{path}/update", {"name": "Gala", "closesAt": "2027-01-01T00:00:00+01:00"}, X_Request_Id="one")
    api.call("DELETE", f"{path}/delete")
    api.call("DELETE", f"{path}/delete?force=true", X_Request_Id="two")
    api.call("DELETE", f"{path}/delete?force=true")

    deeds = [deed for deed in AuditLog(api.supervisor.database).page(50) if deed.action.startswith("event.")]
    deleted, updated = [deed for deed in deeds if deed.action in ("event.update", "event.delete")]

    assert (updated.actor_id, updated.subject, updated.ip) == (1, f"event {event_id}", "127.0.0.1")
    assert (updated.action, updated.request_id) == ("event.update", "one")
    assert updated.before == {"name": "Concert", "closesAt": None}
    assert updated.after == {"name": "Gala", "closesAt": "2026-12-31T23:00:00Z"}
    assert (deleted.action, deleted.request_id) == ("event.delete", "two")
    assert deleted.before == {"gone": False, "confirmed": 2, "queued": 0}
    assert deleted.after == {"gone": True, "force": True}


def test_analytics_add_up_what_is_sold(api: Api) -> None:
    """Over all events that are not gone; who asks is not counted as a viewer."""
    first, second, gone = api.event(), api.event(capacity=30), api.event()
    api.sell(first)
    api.sell(second, 2)
    api.sell(gone)
    api.call("DELETE", f"/api/events/{gone}/delete?force=true")
    api.call("GET", f"/api/events/{second}/view")

    told = api.call("GET", "/api/admin/analytics").json

    assert (told["totalBookings"], [event["id"] for event in told["popularEvents"]]) == (2, [second, first])
    assert told["popularEvents"] == sorted(api.call("GET", "/api/events/view").json, key=lambda event: -event["id"])
    assert told["popularEvents"][0]["impressions"] == 1
    assert told["utilization"] == {"capacity": 40, "booked": 3, "rate": 0.075}
    assert api.call("GET", "/api/admin/analytics", role="OPS").status == 403


def test_the_audit_is_told_over_http_also_of_what_is_gone(api: Api, sql: psycopg.Connection[Any]) -> None:
    """Clean as long as nobody has meddled with the rows, then with the violation."""
    event_id = api.event()
    api.sell(event_id)
    clean = api.call("GET", f"/api/events/{event_id}/audit", role="OPS")
    assert (clean.status, clean.json["clean"], clean.json["sold"], clean.json["violations"]) == (200, True, 1, [])
    api.call("DELETE", f"/api/events/{event_id}/delete?force=true")
    assert api.call("GET", f"/api/events/{event_id}/audit").json["bookingsCancelled"] == 1
    assert api.call("GET", f"/api/events/{event_id + 1}/audit").status == 404

    sql.execute("UPDATE event_inventory SET bookings = 5 WHERE event_id = %s", (event_id,))
    violated = api.call("GET", f"/api/events/{event_id}/audit").json
    sql.execute("UPDATE event_inventory SET bookings = 0 WHERE event_id = %s", (event_id,))

    assert (violated["clean"], violated["violationsFound"]) == (False, 1)
    assert violated["violations"][0]["rule"] == "counter"
    assert violated["violations"][0]["sentence"] == (
        f"event {event_id}: the counter bookings says 5, but 0 bookings are confirmed"
    )


def test_reports_do_not_wait_for_a_sale(api: Api, hold_row: Callable[[int], psycopg.Connection[Any]]) -> None:
    """While somebody holds the sale's row, who only asks is answered at once; who changes is told to come again."""
    event_id = api.event()
    stranger = hold_row(event_id)
    for path in (
        f"/api/events/{event_id}/availability",
        "/api/admin/analytics",
        f"/api/events/{event_id}/audit",
        f"/api/events/{event_id}/view",
    ):
        began = time.monotonic()
        assert api.call("GET", path).status == 200
        assert time.monotonic() - began < 0.9, path
    refused = api.call("PUT", f"/api/events/{event_id}/update", {"name": "Gala"})
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    stranger.rollback()
    assert api.call("PUT", f"/api/events/{event_id}/update", {"name": "Gala"}).status == 200


def test_one_audit_at_a_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes during one is told to come again, and is then served."""
    event_id = api.event()
    path = f"/api/events/{event_id}/audit"
    run = Auditor.run
    begun, may_end = threading.Event(), threading.Event()

    def slow(auditor: Auditor, *arguments: Any) -> Any:
        begun.set()
        assert may_end.wait(20)
        return run(auditor, *arguments)

    monkeypatch.setattr(Auditor, "run", slow)
    first: list[Answer] = []
    thread = threading.Thread(target=lambda: first.append(api.call("GET", path)))
    thread.start()
    assert begun.wait(10)
    busy = api.call("GET", path)
    may_end.set()
    thread.join(20)

    assert (busy.status, busy.json["type"].rpartition(":")[2]) == (503, "busy")
    assert first[0].json["clean"] is True
    assert api.call("GET", path).status == 200
