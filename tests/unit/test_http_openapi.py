"""What the API says of itself is so: every route, every problem, every answer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import falcon.inspect
import jsonschema
import orjson
import pytest
from falcon.testing import Result
from openapi_spec_validator import OpenAPIV31SpecValidator

from aurora_atlan.actors import errors
from aurora_atlan.actors.messages import JobState
from aurora_atlan.http import problems as problems_module
from aurora_atlan.http import schemas
from aurora_atlan.http.app import create_app
from aurora_atlan.http.openapi import OPERATIONS, openapi_document
from aurora_atlan.http.operations import Operation
from aurora_atlan.http.problem_types import PROBLEM_TYPES
from aurora_atlan.http.problems import TYPE_PREFIX
from aurora_atlan.persistence.audit_report import Violation
from aurora_atlan.persistence.bookings import HistoryEntry
from aurora_atlan.persistence.dead_letters import DeadLetter
from aurora_atlan.persistence.errors import StoreTimeoutError
from aurora_atlan.persistence.records import Booking, Reason
from http_fakes import NOW, Service, make_service
from unit import test_http_roles as roles

HTTP = Path(problems_module.__file__).parent
API_PAGE = (HTTP.parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
DOCUMENT = orjson.loads(orjson.dumps(openapi_document()))
# What docs/api.md says of every route at once.
SAID_ONCE = {"unauthenticated", "invalid-token", "body-too-large", "unsupported-media-type", "not-acceptable"}

service = roles.service


def shape(path: str) -> str:
    """A path without the names of its parameters, which are the router's on one side and for people on the other."""
    return re.sub(r"{\w+}", "{}", path)


def operation_of(method: str, template: str) -> dict[str, Any]:
    [path] = [path for path in DOCUMENT["paths"] if shape(path) == shape(template)]
    operation: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return operation


def check(method: str, template: str, result: Result) -> None:
    """An answer is one of those that are described for its route."""
    response = operation_of(method, template)["responses"][str(result.status_code)]
    required = set(response["headers"]) & {"X-Request-Id", "WWW-Authenticate", "ETag", "Location"}
    assert {name for name in required if name not in result.headers} == set()
    if "content" not in response:
        assert result.content == b""
        return
    [(media_type, content)] = response["content"].items()
    if media_type.startswith("text/"):
        assert result.headers["Content-Type"].startswith(media_type.rstrip("*"))
        return
    assert result.headers["Content-Type"] == media_type
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(result.json)


def described(operation: Operation) -> Iterator[tuple[int, str]]:
    """The problems that the document has for an operation, with their status."""
    responses = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
    for status, response in responses.items():
        content = response.get("content", {}).get("application/problem+json")
        if content is not None:
            for kind in content["schema"]["allOf"][1]["properties"]["type"]["enum"]:
                yield int(status), kind.removeprefix(TYPE_PREFIX)


def test_the_document_is_openapi_3_1():
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_the_document_has_every_route_and_no_other(service: Service):
    supervisor: Any = service.supervisor
    served = {
        (method.method, shape(route.path))
        for route in falcon.inspect.inspect_routes(create_app(supervisor))
        for method in route.methods
        if not method.internal and method.method != "HEAD"
    }

    assert served == {(operation.method, shape(operation.path)) for operation in OPERATIONS}
    assert len(OPERATIONS) == len(served)
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)


def test_every_schema_of_a_request_is_in_the_document():
    constants = {name for name, value in vars(schemas).items() if name.isupper() and isinstance(value, dict)}
    constants = {name for name in constants if not name.startswith("_")}

    assert {operation.schema for operation in OPERATIONS if operation.schema is not None} == constants
    for operation in OPERATIONS:
        if operation.schema is not None:
            body = operation_of(operation.method, operation.path)["requestBody"]
            name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert DOCUMENT["components"]["schemas"][name] == getattr(schemas, operation.schema)


def test_every_response_schema_is_used():
    used = set(re.findall(r'"#/components/schemas/(\w+)"', orjson.dumps(DOCUMENT).decode()))

    assert used == set(DOCUMENT["components"]["schemas"])


def raised() -> set[str]:
    """The types of problems that the code names."""
    calls = (
        node
        for file in HTTP.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem"
    )
    return {call.args[1].value for call in calls if isinstance(call.args[1], ast.Constant)}


def listed() -> dict[str, int]:
    """The types of problems in the table of docs/api.md, with their status."""
    table = API_PAGE.partition("\n## Problems\n")[2].partition("`about:blank`:")[0]
    return {
        slug: int(status) for slug, status in re.findall(r"^\| `([\w-]+)` \| (\d{3}) \|", table, flags=re.MULTILINE)
    }


def test_every_problem_is_described_at_some_route():
    known = {pair for operation in OPERATIONS for pair in described(operation)}

    assert raised() - {slug for _, slug in known} == set()
    assert {(status, slug) for slug, status in listed().items()} == {pair for pair in known if pair[1] != "about:blank"}
    assert listed() == {slug: status for slug, (status, _) in PROBLEM_TYPES.items()}


def test_every_route_has_the_problems_that_the_page_for_people_lists():
    sections = re.split(r"^## ", API_PAGE, flags=re.MULTILINE)
    checked = 0
    for operation in OPERATIONS:
        found = [
            text for text in sections if f"{operation.method} {operation.path}" in text.partition("\n")[0].split(", ")
        ]
        if not found or operation.path in ("/livez", "/readyz", "/docs", "/openapi.json"):
            continue
        [section] = found
        lines = [part for part in section.split("\n\n") if re.match(r"(304|40\d)\b.* ·", part)]
        assert len(lines) == 1, operation.path
        people = {word for word in re.findall(r"`([\w-]+)`", lines[0]) if word in PROBLEM_TYPES}
        statuses = {int(status) for status in re.findall(r"(?:^|· |·\n)(\d{3})\b", lines[0])}
        programs = {slug for _, slug in described(operation)} - {"about:blank"}
        assert people - SAID_ONCE == programs - SAID_ONCE, operation.path
        assert statuses - {304} == {PROBLEM_TYPES[slug][0] for slug in programs} - {406}, operation.path
        checked += 1

    assert checked == len(OPERATIONS) - 5


@pytest.mark.parametrize("caller", roles.CALLERS)
@pytest.mark.parametrize("route", roles.API, ids=lambda route: f"{route.method} {route.template}")
def test_every_route_answers_every_role_as_described(service: Service, route: roles.Route, caller: str):
    check(route.method, route.template, roles.ask(service, service.client, route, caller))


@pytest.mark.parametrize("route", roles.API, ids=lambda route: f"{route.method} {route.template}")
def test_who_may_call_a_route_is_described(route: roles.Route):
    allowed = {
        role
        for role, caller in (("USER", "owner"), ("OPS", "ops"), ("ADMIN", "admin"))
        if getattr(route.answers, caller) not in (401, 403)
    }
    operation = operation_of(route.method, route.template)

    if route.answers.nobody != 401 or not allowed:
        assert "x-roles" not in operation
    else:
        assert set(operation["x-roles"]) == allowed


FAILURES = [
    errors.UnknownEventError("no such event"),
    errors.IdempotencyConflictError("other quantity"),
    errors.TooManyInFlightError("20"),
    errors.QueueFullError("full"),
    errors.EventQuarantinedError("held back"),
    errors.DurabilityUnmetError("everysec"),
    errors.UnavailableError("away", job_id=roles.JOB_ID),
    StoreTimeoutError("slow"),
    RuntimeError("a fault of ours"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_what_booking_fails_with_is_described(service: Service, failure: Exception):
    service.supervisor.failure = failure

    result = service.client.simulate_post("/api/bookings/1/book", headers=service.bearer())

    check("POST", "/api/bookings/{event_id}/book", result)


@pytest.mark.parametrize(
    "failure",
    [
        errors.OutdatedVersionError("changed"),
        errors.CapacityBelowSoldError("2 tickets are sold", 2),
        errors.SaleHasBegunError("begun"),
        errors.EmptyWindowError("empty"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_changing_an_event_fails_with_is_described(service: Service, failure: Exception):
    service.supervisor.failure = failure

    result = service.client.simulate_put(
        "/api/events/1/update", json={"capacity": 3}, headers=service.bearer(10, "ADMIN")
    )

    check("PUT", "/api/events/{event_id}/update", result)


def test_what_deleting_an_event_fails_with_is_described(service: Service):
    service.supervisor.failure = errors.EventInUseError("in use", 2, 1)

    result = service.client.simulate_delete("/api/events/1/delete", headers=service.bearer(10, "ADMIN"))

    assert result.status_code == 409
    check("DELETE", "/api/events/{event_id}/delete", result)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"name": 1, "role": "ADMIN"}', "application/json"),
        (b"{", "application/json"),
        (b"", "application/json"),
        (b"{}", "text/plain"),
        (b" " * 70_000, "application/json"),
    ],
    ids=["invalid", "malformed", "missing", "text", "large"],
)
def test_what_is_wrong_with_a_body_is_described(service: Service, body: bytes, content_type: str):
    headers = {"Content-Type": content_type}
    for path in ("/api/auth/register", "/api/auth/login", "/api/auth/refresh", "/api/bookings/receipts/verify"):
        result = service.client.simulate_post(path, body=body, headers=headers)
        assert 400 <= result.status_code < 500
        check("POST", path, result)


@pytest.mark.parametrize("route", roles.API[:-3], ids=lambda route: f"{route.method} {route.template}")
def test_an_answer_that_nobody_would_read_is_described(service: Service, route: roles.Route):
    result = service.client.simulate_request(route.method, route.path, headers={"Accept": "text/html"})

    assert result.status_code == 406
    check(route.method, route.template, result)


def test_lists_with_something_in_them_are_described(service: Service):
    supervisor = service.supervisor
    booking = Booking(11, roles.JOB_ID, 1, roles.OWNER, 2, "cancelled", NOW, NOW)
    supervisor.bookings.entries.append(HistoryEntry(booking, supervisor.events.rows[1]))
    supervisor.dead_letters.letters.append(
        DeadLetter(
            job_id=roles.JOB_ID,
            event_id=1,
            user_id=roles.OWNER,
            quantity=2,
            reason=Reason.POISON,
            queue_number=None,
            accepted_at=NOW,
            failed_at=NOW,
            entry_number=3,
        )
    )
    for path, who in (
        ("/api/events/view", (7, "USER")),
        ("/api/bookings/history", (7, "USER")),
        ("/api/admin/queue/failed", (9, "OPS")),
    ):
        result = service.client.simulate_get(path, headers=service.bearer(*who))
        assert len(result.json) == 1
        check("GET", path, result)
    retried = service.client.simulate_post(f"/api/admin/queue/retry/{roles.JOB_ID}", headers=service.bearer(9, "OPS"))
    assert retried.status_code == 202
    check("POST", "/api/admin/queue/retry/{job_id}", retried)


@pytest.mark.parametrize("state", JobState)
def test_every_status_is_described(service: Service, state: JobState):
    supervisor = service.supervisor
    booking = Booking(11, roles.JOB_ID, 1, roles.OWNER, 2, "confirmed", NOW, None)
    supervisor.statuses[roles.JOB_ID] = replace(
        supervisor.statuses[roles.JOB_ID],
        status=state,
        booking=booking if state is JobState.COMPLETED else None,
        reason=Reason.SOLD_OUT if state is JobState.FAILED else None,
    )
    for headers in ({}, service.bearer(roles.OWNER)):
        result = service.client.simulate_get(f"/api/bookings/status/{roles.JOB_ID}", headers=headers)
        assert ("userId" in result.json) == bool(headers)
        check("GET", "/api/bookings/status/{job_id}", result)


def test_a_booking_that_is_decided_at_once_is_described(service: Service):
    service.supervisor.answer = service.supervisor.statuses[roles.JOB_ID]

    result = service.client.simulate_post("/api/bookings/1/book", headers=service.bearer())

    assert result.status_code == 200
    check("POST", "/api/bookings/{event_id}/book", result)


def test_a_violation_is_described():
    violation = Violation("oversold", 1, 3, "Event 1 has sold more than it has.", 11, str(UUID(int=1)))
    schema = {"$ref": "#/components/schemas/Violation", "components": DOCUMENT["components"]}

    jsonschema.Draft202012Validator(schema).validate(violation.document())


def test_a_service_that_is_not_ready_is_described(service: Service):
    service.supervisor.ready = False

    result = service.client.simulate_get("/readyz")

    assert result.status_code == 503
    check("GET", "/readyz", result)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/docs.js", "/api/events/view", "/api/events/1/view"])
def test_what_is_known_already_is_not_sent_again(service: Service, path: str):
    tag = service.client.simulate_get(path).headers["ETag"]

    result = service.client.simulate_get(path, headers={"If-None-Match": tag})

    assert (result.status_code, result.headers["ETag"], result.content) == (304, tag, b"")
    check("GET", path.replace("docs.js", "{file}").replace("1", "{}"), result)


def test_the_document_is_served_as_it_was_checked(service: Service):
    assert service.client.simulate_get("/openapi.json").json == DOCUMENT


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/docs.js"])
def test_the_description_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, path: str):
    service = make_service(monkeypatch, docs=False)

    assert service.client.simulate_get(path).status_code == 404
