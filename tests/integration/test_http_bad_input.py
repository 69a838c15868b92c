"""Everything that a client should not send, sent to every route: a documented refusal, and nothing changes.

A new route is a new line of the table; a route without one fails the test. Each kind of bad input is one rule,
which says what it sends to a route and what that route must answer.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import falcon.inspect
import psycopg
import pytest
from psycopg import sql as psycopg_sql

from aurora_atlan.http import schemas
from aurora_atlan.http.app import create_app
from aurora_atlan.http.bodies import BODY_BYTES_MAX
from aurora_atlan.http.server import Server
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.supervisor import Supervisor
from harness_sales import wait_until

USER, ADMIN, OPS = "USER", "ADMIN", "OPS"
ID_MAX = 2**53 - 1
NO_JOB = "2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1"

ACCOUNT = {"name": "Eve", "email": "eve@example.com", "password": "correct horse"}
EVENT = {
    "name": "Concert",
    "venue": "Hall",
    "time": "2027-06-01T20:00:00+02:00",
    "capacity": 2,
    "capPerUser": 1,
    "opensAt": "2026-01-01T00:00:00Z",
    "closesAt": "2027-06-01T00:00:00Z",
}
RECEIPT = {
    "jobId": NO_JOB,
    "eventId": 1,
    "quantity": 1,
    "queueNumber": 1,
    "acceptedAt": "2026-11-22T19:30:15Z",
    "signature": "nobody's",
}
WEBHOOK = {"url": "https://example.com/hook", "types": ["booking.confirmed"]}
# Members that are of the right type, and wrong all the same.
WRONG_EVENT = [
    {"capacity": 0},
    {"capacity": -1},
    {"capacity": 10**30},
    {"capPerUser": 101},
    {"name": " "},
    {"name": "x" * 201},
    {"venue": ""},
    {"time": "yesterday"},
    {"time": "2027-06-01T20:00:00"},
    {"time": "2027-02-30T20:00:00Z"},
    {"opensAt": "2027-06-02T00:00:00Z"},
]
PAGES = ["limit=-1", "limit=0", "limit=201", f"limit={10**20}", "limit=1.0", "limit=%D9%A3", "cursor=nonsense"]
PAGES += ["limit=1&limit=2", "cursor=%00", "cursor=aWQ6LTE"]


@dataclass(frozen=True)
class Route:
    """A method of a route, and what it takes."""

    method: str
    template: str
    # Who may; None: anybody.
    roles: frozenset[str] | None = None
    # A bad token is refused where none is needed, too.
    token_read: bool = False
    # The problem that an id of nobody's gives; None without an id in the path.
    unknown: str | None = None
    # Whether others' is as good as unknown.
    owned: bool = False
    schema: dict[str, Any] | None = None
    body: dict[str, Any] | None = None
    body_optional: bool = False
    body_refused: bool = False
    wrong: list[dict[str, Any]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    # The query parameter that is an event's id, and whether it must be one that exists.
    event_parameter: bool = False
    event_must_exist: bool = False
    # Headers that are refused, each with its problem.
    headers: dict[str, tuple[list[str], str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The route as it is told when it fails."""
        return f"{self.method} {self.template}"


ADMINS, OPERATORS, BUYERS = frozenset({ADMIN}), frozenset({ADMIN, OPS}), frozenset({USER, ADMIN})
EVERY_ROLE = frozenset({USER, ADMIN, OPS})

ROUTES = [
    Route(
        "POST",
        "/api/auth/register",
        schema=schemas.REGISTER,
        body=ACCOUNT,
        wrong=[{"email": "nobody"}, {"password": "short"}, {"password": "x" * 129}, {"name": " "}],
    ),
    Route("POST", "/api/auth/login", schema=schemas.LOGIN, body={"email": "eve@example.com", "password": "wrong"}),
    Route("POST", "/api/auth/refresh", schema=schemas.REFRESH, body={"refreshToken": "nobody's"}),
    Route("POST", "/api/auth/logout", EVERY_ROLE),
    Route(
        "POST",
        "/api/auth/password",
        EVERY_ROLE,
        schema=schemas.CHANGE_PASSWORD,
        body={"currentPassword": "wrong horse", "newPassword": "battery staple"},
        wrong=[{"newPassword": "short"}],
    ),
    Route(
        "GET",
        "/api/events/view",
        queries=[*PAGES, "q=%00", "q=%FF", f"q={'x' * 101}", "q=a&q=b", "from=yesterday", "to=2027-01-01"],
    ),
    Route("GET", "/api/events/{event_id}/view", unknown="unknown-event"),
    Route("POST", "/api/events/create", ADMINS, schema=schemas.CREATE_EVENT, body=EVENT, wrong=WRONG_EVENT),
    Route(
        "PUT",
        "/api/events/{event_id}/update",
        ADMINS,
        unknown="unknown-event",
        schema=schemas.UPDATE_EVENT,
        body=EVENT,
        wrong=WRONG_EVENT,
        headers={"If-Match": (["1", '"1', "nonsense", '""x'], "malformed-if-match")},
    ),
    Route(
        "DELETE",
        "/api/events/{event_id}/delete",
        ADMINS,
        unknown="unknown-event",
        queries=["force=maybe", "force=1", "force=TRUE", "force=true&force=true"],
    ),
    Route("GET", "/api/events/{event_id}/availability", unknown="unknown-event"),
    Route("GET", "/api/events/{event_id}/audit", OPERATORS, unknown="unknown-event"),
    Route(
        "POST",
        "/api/bookings/{event_id}/book",
        BUYERS,
        unknown="unknown-event",
        schema=schemas.BOOK,
        body={"quantity": 1},
        body_optional=True,
        wrong=[{"quantity": 0}, {"quantity": -1}, {"quantity": 11}, {"quantity": 10**30}],
        headers={"Idempotency-Key": (["", "a b", "x" * 256, "\xe9"], "malformed-idempotency-key")},
    ),
    Route("GET", "/api/bookings/status/{job_id}", token_read=True, unknown="unknown-job"),
    Route("DELETE", "/api/bookings/jobs/{job_id}", BUYERS, unknown="unknown-job", owned=True),
    # The segment is a booking's id.
    Route("DELETE", "/api/bookings/{event_id}/cancel", BUYERS, unknown="unknown-booking", owned=True),
    Route("GET", "/api/bookings/history", BUYERS, queries=PAGES),
    Route(
        "POST",
        "/api/bookings/receipts/verify",
        schema=schemas.RECEIPT,
        body=RECEIPT,
        wrong=[
            {"jobId": NO_JOB.upper()},
            {"jobId": "nonsense"},
            {"eventId": 0},
            {"eventId": 2**53},
            {"queueNumber": -1},
            {"quantity": 0},
            {"acceptedAt": "2026-11-22"},
            {"signature": "x" * 257},
        ],
    ),
    Route("GET", "/api/admin/analytics", ADMINS),
    Route("GET", "/api/admin/queue/stats", OPERATORS),
    Route("GET", "/api/admin/queue/details", OPERATORS, queries=PAGES, event_parameter=True),
    Route(
        "POST",
        "/api/admin/queue/clean",
        OPERATORS,
        body_refused=True,
        queries=[
            "state=waiting",
            "state=completed&state=failed",
            "olderThan=-1",
            "olderThan=1.5",
            "olderThan=31536001",
            "limit=0",
            "limit=10001",
            f"limit={10**20}",
        ],
    ),
    Route("GET", "/api/admin/queue/failed", OPERATORS, queries=PAGES),
    Route("POST", "/api/admin/queue/retry/{job_id}", OPERATORS, unknown="unknown-job", body_refused=True),
    Route("POST", "/api/admin/queue/pause", OPERATORS, event_parameter=True, event_must_exist=True, body_refused=True),
    Route("POST", "/api/admin/queue/resume", OPERATORS, event_parameter=True, event_must_exist=True, body_refused=True),
    Route("GET", "/api/admin/users/{user_id}", ADMINS, unknown="unknown-user"),
    Route(
        "PUT",
        "/api/admin/users/{user_id}/role",
        ADMINS,
        unknown="unknown-user",
        schema=schemas.CHANGE_ROLE,
        body={"role": "OPS"},
        wrong=[{"role": "KING"}, {"role": "ops"}, {"role": ""}],
    ),
    Route("GET", "/api/admin/audit", ADMINS, queries=PAGES),
    Route(
        "POST",
        "/api/admin/webhooks",
        ADMINS,
        schema=schemas.CREATE_WEBHOOK,
        body=WEBHOOK,
        wrong=[
            {"url": ""},
            {"url": "nonsense"},
            {"url": "http://example.com/"},
            {"url": "https://user@example.com/"},
            {"url": "https://example.com:22/"},
            {"url": "https://127.0.0.1/"},
            {"url": "https://[::1]/"},
            {"url": f"https://example.com/{'x' * 1000}"},
            {"types": []},
            {"types": "booking.confirmed"},
            {"types": ["booking.lost"]},
            {"types": [1]},
            {"types": ["booking.failed", "booking.failed"]},
        ],
    ),
    Route("GET", "/api/admin/webhooks", ADMINS),
    Route("GET", "/api/admin/webhooks/{webhook_id}", ADMINS, unknown="unknown-webhook"),
    Route(
        "PATCH",
        "/api/admin/webhooks/{webhook_id}",
        ADMINS,
        unknown="unknown-webhook",
        schema=schemas.CHANGE_WEBHOOK,
        body={"enabled": True},
        wrong=[{"enabled": value} for value in (None, 1, 0, "true", [], {})],
    ),
    Route("DELETE", "/api/admin/webhooks/{webhook_id}", ADMINS, unknown="unknown-webhook"),
    Route("POST", "/api/admin/webhooks/{webhook_id}/test", ADMINS, unknown="unknown-webhook", body_refused=True),
    Route(
        "POST", "/api/admin/webhooks/{webhook_id}/rotate-secret", ADMINS, unknown="unknown-webhook", body_refused=True
    ),
    Route("GET", "/livez"),
    Route("GET", "/readyz"),
]


@dataclass(frozen=True)
class World:
    """A running service; what is there belongs to ``owner``, and nothing to ``other``."""

    supervisor: Supervisor
    server: Server
    issuer: TokenIssuer
    owner: int
    other: int
    event_id: int
    booking_id: int
    # Undecided: its event is paused.
    job_id: str
    # Switched off, so that nothing is sent.
    webhook_id: int

    def path(self, route: Route) -> str:
        """An address of the route at which there is something."""
        first = self.booking_id if route.unknown == "unknown-booking" else self.event_id
        return route.template.format(event_id=first, job_id=self.job_id, user_id=self.owner, webhook_id=self.webhook_id)

    def bearer(self, role: str, user_id: int | None = None) -> dict[str, str]:
        """The header of a user with this role."""
        return {"Authorization": f"Bearer {self.issuer.issue(user_id or self.owner, role, 1)}"}

    def admitted(self, route: Route) -> dict[str, str]:
        """The header of one who may use the route."""
        return {} if route.roles is None else self.bearer(min(route.roles))


@dataclass(frozen=True)
class Sent:
    """A request, and the refusal that it must get."""

    status: int
    problem: str
    path: str
    headers: dict[str, str]
    body: bytes | None = None


Rule = Callable[[World, Route], Iterator[Sent]]
JSON = {"Content-Type": "application/json"}


def _valid_body(route: Route) -> bytes | None:
    return None if route.body is None else json.dumps(route.body).encode()


def _otherwise_right(
    world: World, route: Route, status: int, problem: str, *, path: str | None = None, **headers: str
) -> Sent:
    """A request that only what is given is wrong with."""
    body = _valid_body(route)
    sent = {**world.admitted(route), **({} if body is None else JSON)}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent(status, problem, path or world.path(route), sent, body)


def _with_body(world: World, route: Route, status: int, problem: str, body: Any, **headers: str) -> Sent:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {**world.admitted(route), **JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent(status, problem, world.path(route), sent, raw)


def _properties(route: Route, kind: str) -> Iterator[tuple[str, bool]]:
    """The members of a type, and whether null is one of their values."""
    if route.schema is not None:
        for name, schema in route.schema["properties"].items():
            types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
            if kind in types:
                yield name, "null" in types


def no_token(world: World, route: Route) -> Iterator[Sent]:
    if route.roles is not None:
        sent = _otherwise_right(world, route, 401, "unauthenticated")
        yield Sent(401, "unauthenticated", sent.path, {**(JSON if sent.body else {})}, sent.body)
        yield _otherwise_right(world, route, 401, "unauthenticated", Authorization="Basic ZXZlOmV2ZQ==")


def broken_token(world: World, route: Route) -> Iterator[Sent]:
    if route.roles is not None or route.token_read:
        good = world.issuer.issue(world.owner, ADMIN, 1)
        header, claims, signature = good.split(".")
        for token in ("", "nonsense", f"{good}x", f"{header}.{claims}.", f"{header}.{claims}x.{signature}", "a.b.c"):
            yield _otherwise_right(world, route, 401, "invalid-token", Authorization=f"Bearer {token}")


def wrong_role(world: World, route: Route) -> Iterator[Sent]:
    for role in sorted(EVERY_ROLE - (route.roles or EVERY_ROLE)):
        yield _otherwise_right(world, route, 403, "forbidden", **world.bearer(role))


def id_of_somebody_else(world: World, route: Route) -> Iterator[Sent]:
    if route.owned:
        assert route.unknown is not None
        yield _otherwise_right(world, route, 404, route.unknown, **world.bearer(USER, world.other))


def unknown_id(world: World, route: Route) -> Iterator[Sent]:
    if route.unknown is not None:
        path = route.template.format(event_id=ID_MAX, user_id=ID_MAX, webhook_id=ID_MAX, job_id=NO_JOB)
        yield _otherwise_right(world, route, 404, route.unknown, path=path)
    if route.event_must_exist:
        yield _otherwise_right(world, route, 404, "unknown-event", path=f"{route.template}?eventId={ID_MAX}")


def malformed_id(world: World, route: Route) -> Iterator[Sent]:
    numbers = ["0", "-1", "+1", "01", "1_0", "1.0", "1e1", "\u0663", "9" * 20, str(2**53), "x", " 1", "1\n", "1\0"]
    jobs = ["1", NO_JOB.upper(), NO_JOB.replace("-", ""), f"{{{NO_JOB}}}", f"{NO_JOB}\n", f"{NO_JOB}0", "\u0663" * 36]
    spellings = [quote(text) for text in (jobs if "{job_id}" in route.template else numbers)]
    encoded = f"%{ord(NO_JOB[0]):x}{NO_JOB[1:]}" if "{job_id}" in route.template else "%31"
    if route.unknown is not None:
        for spelling in (*spellings, encoded):
            path = route.template.format(event_id=spelling, user_id=spelling, webhook_id=spelling, job_id=spelling)
            yield _otherwise_right(world, route, 400, "malformed-id", path=path)
    if route.event_parameter:
        for spelling in (*spellings, "", f"{world.event_id}&eventId={world.event_id}"):
            yield _otherwise_right(world, route, 400, "malformed-id", path=f"{route.template}?eventId={spelling}")


def oversized_body(world: World, route: Route) -> Iterator[Sent]:
    # The server itself refuses it, for routes that take no body too.
    yield _with_body(world, route, 413, "", b" " * (BODY_BYTES_MAX + 1))


def body_that_is_no_strict_json(world: World, route: Route) -> Iterator[Sent]:
    if route.schema is None and not route.body_refused:
        return
    bodies = [
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 1}',
        b"[" * 20 + b"]" * 20,
    ]
    bodies += [
        b'{"a": "\\u0000"}',
        b'{"a": "\\ud800"}',
        b'{"\\u0000": 1}',
        b"{}{}",
        b"'a'",
        b"{'a': 1}",
        b"\xef\xbb\xbf{}",
    ]
    for body in bodies:
        yield _with_body(world, route, 400, "malformed-body", body)
    for kind in ("string", "integer"):
        for name, _ in _properties(route, kind):
            for value in ("a\0b", "a\n", "\ud800", float("nan"), float("inf")):
                yield _with_body(world, route, 400, "malformed-body", {**(route.body or {}), name: value})
            twice = json.dumps(route.body)[:-1] + f", {json.dumps(name)}: 1}}"
            yield _with_body(world, route, 400, "malformed-body", twice.encode())


def missing_body(world: World, route: Route) -> Iterator[Sent]:
    if route.schema is not None and not route.body_optional:
        yield _with_body(world, route, 400, "malformed-body", b"")


def body_of_another_media_type(world: World, route: Route) -> Iterator[Sent]:
    if route.schema is not None or route.body_refused:
        body = _valid_body(route) or b'{"a": 1}'
        for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""):
            yield _with_body(world, route, 415, "unsupported-media-type", body, Content_Type=media_type)
        yield _with_body(world, route, 415, "unsupported-media-type", body, Content_Encoding="gzip")


def body_that_is_not_wanted(world: World, route: Route) -> Iterator[Sent]:
    if route.body_refused:
        for body in ([], None, 1, "text", {"state": "failed"}):
            yield _with_body(world, route, 400, "unexpected-body", body)


def mistyped_body(world: World, route: Route) -> Iterator[Sent]:
    if route.schema is None:
        return
    for body in ([], [route.body], None, 1, True, "text", {**(route.body or {}), "admin": True}):
        yield _with_body(world, route, 400, "validation-failed", body)
    if not route.body_optional:
        yield _with_body(world, route, 400, "validation-failed", {})
    for required in route.schema["required"]:
        incomplete = {name: value for name, value in (route.body or {}).items() if name != required}
        yield _with_body(world, route, 400, "validation-failed", incomplete)
    wrong: dict[str, list[Any]] = {
        "string": [1, 1.5, True, [], {}, ["text"]],
        "integer": ["1", 1.0, 1.5, True, False, [], {}, [1]],
    }
    for kind, values in wrong.items():
        for name, nullable in _properties(route, kind):
            for value in values if nullable else [*values, None]:
                yield _with_body(world, route, 400, "validation-failed", {**(route.body or {}), name: value})


def wrong_value(world: World, route: Route) -> Iterator[Sent]:
    for members in route.wrong:
        yield _with_body(world, route, 400, "validation-failed", {**(route.body or {}), **members})


def wrong_query(world: World, route: Route) -> Iterator[Sent]:
    for query in route.queries:
        yield _otherwise_right(world, route, 400, "invalid-query", path=f"{world.path(route)}?{query}")


def wrong_header(world: World, route: Route) -> Iterator[Sent]:
    for name, (values, problem) in route.headers.items():
        for value in values:
            yield _otherwise_right(world, route, 400, problem, **{name: value})


def answer_not_wanted(world: World, route: Route) -> Iterator[Sent]:
    for accept in ("text/html", "application/json;q=0", "nonsense"):
        yield _otherwise_right(world, route, 406, "not-acceptable", Accept=accept)


RULES: list[Rule] = [
    no_token,
    broken_token,
    wrong_role,
    id_of_somebody_else,
    unknown_id,
    malformed_id,
    oversized_body,
    body_that_is_no_strict_json,
    missing_body,
    body_of_another_media_type,
    body_that_is_not_wanted,
    mistyped_body,
    wrong_value,
    wrong_query,
    wrong_header,
    answer_not_wanted,
]
MEMBERS = {"type", "title", "status", "detail", "instance", "requestId", "error"}


def send(world: World, method: str, sent: Sent) -> tuple[int, str, Any, str]:
    """Send a request; return the answer's status, media type, document and request id."""
    with closing(http.client.HTTPConnection("127.0.0.1", world.server.port, timeout=10)) as connection:
        connection.request(method, sent.path, sent.body, sent.headers)
        response = connection.getresponse()
        text = response.read()
        media_type = response.headers["Content-Type"]
        return response.status, media_type, json.loads(text or b"null"), response.headers["X-Request-Id"]


def complaint(sent: Sent, answer: tuple[int, str, Any, str]) -> str | None:
    """Tell what is wrong with an answer; None when it is the refusal that it should be."""
    status, media_type, document, request_id = answer
    if status != sent.status:
        return f"status {status} instead of {sent.status}: {document}"
    # What the server refuses before the application sees it has no type or address of its own.
    kind, members = (
        (f"urn:problem-type:aurora-atlan:{sent.problem}", MEMBERS)
        if sent.problem
        else ("about:blank", MEMBERS - {"instance"})
    )
    if media_type != "application/problem+json" or document.keys() < members or document["type"] != kind:
        return f"not the document of {sent.problem}: {media_type} {document}"
    if (document["status"], document["requestId"]) != (status, request_id):
        return f"it contradicts its headers: {document}"
    if document["error"] != document["detail"] or not document["error"].endswith("."):
        return f"no sentence: {document}"
    return None


def contents(sql: psycopg.Connection[Any]) -> dict[str, tuple[int, str | None]]:
    """Return of every table how many rows it has and a checksum of them."""
    tables = sql.execute(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name"
    ).fetchall()
    checksum = psycopg_sql.SQL(
        "SELECT count(*), md5(string_agg(line::text, chr(10) ORDER BY line::text)) FROM {} AS line"
    )
    found: dict[str, tuple[int, str | None]] = {}
    for (table,) in tables:
        row = sql.execute(checksum.format(psycopg_sql.Identifier(table))).fetchone()
        assert row is not None
        found[table] = row
    return found


@pytest.fixture
def world(
    supervise: Callable[..., Supervisor],
    make_event: Callable[..., int],
    buyers: list[int],
    sql: psycopg.Connection[Any],
) -> Iterator[World]:
    """A booking, a job that waits, and nothing that goes on by itself."""
    supervisor = supervise(rate_limits="off")
    server = Server(supervisor, supervisor.settings)
    server.start()
    issuer, event_id = TokenIssuer(supervisor.settings), make_event(capacity=10, cap_per_user=2)
    world = World(supervisor, server, issuer, buyers[0], buyers[1], event_id, 0, "", 0)

    def book() -> Any:
        sent = Sent(202, "", f"/api/bookings/{event_id}/book", world.bearer(USER))
        status, _, accepted, _ = send(world, "POST", sent)
        assert status == 202
        return accepted

    def told(job_id: str) -> Any:
        return send(world, "GET", Sent(200, "", f"/api/bookings/status/{job_id}", world.bearer(USER)))[2]

    try:
        first = book()["jobId"]
        wait_until(lambda: told(first)["status"] == "completed", 10, "the booking")
        # Noting it in Redis is all that is left to be done.
        wait_until(lambda: sql.execute("SELECT count(*) FROM outbox").fetchone() == (0,), 10, "the outbox")
        supervisor.pause(event_id)
        booking_id = told(first)["result"]["booking"]["id"]
        row = sql.execute(
            "INSERT INTO webhooks (url, types, secret, enabled)"
            " VALUES ('https://example.com/', '{booking.failed}', decode(repeat('00', 32), 'hex'), false) RETURNING id"
        ).fetchone()
        assert row is not None
        yield World(supervisor, server, issuer, buyers[0], buyers[1], event_id, booking_id, book()["jobId"], row[0])
    finally:
        server.stop(5)


def test_every_route_refuses_everything_bad_and_nothing_changes(
    world: World, sql: psycopg.Connection[Any], audit_clean: None
) -> None:
    before, waiting = contents(sql), world.supervisor.backlog()
    complaints, count = [], 0
    for route in ROUTES:
        for rule in RULES:
            for sent in rule(world, route):
                count += 1
                wrong = complaint(sent, send(world, route.method, sent))
                if wrong is not None:
                    shown = {name: value[:40] for name, value in sent.headers.items()}, (sent.body or b"")[:100]
                    complaints.append(f"{route.name}, {rule.__name__}, {sent.path} {shown}: {wrong}")
    assert not complaints, "\n".join([f"{len(complaints)} of {count} answers are wrong", *complaints[:20]])
    assert contents(sql) == before
    left = world.supervisor.backlog()
    assert waiting is not None
    assert left is not None
    assert (left.jobs, left.events) == (waiting.jobs, waiting.events) == (1, 1)


def test_every_rule_applies_to_some_route_and_every_route_to_some_rule(world: World) -> None:
    for rule in RULES:
        assert any(list(rule(world, route)) for route in ROUTES), rule.__name__
    for route in ROUTES:
        assert any(list(rule(world, route)) for rule in RULES), route.name


def test_no_route_is_missing_from_the_table(world: World) -> None:
    served = {
        (method.method, route.path)
        for route in falcon.inspect.inspect_routes(create_app(world.supervisor))
        for method in route.methods
        # Of its own falcon answers OPTIONS and methods that are not there.
        if not method.internal and method.method != "HEAD"
    }
    # These take nothing that could be bad; what they refuse is with the tests of the pages.
    pages = {("GET", "/openapi.json"), ("GET", "/docs"), ("GET", "/docs/{file}")}
    assert served - pages == {(route.method, route.template) for route in ROUTES}
    assert len(served - pages) == len(ROUTES)
