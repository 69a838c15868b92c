"""What every answer has in common, whatever was asked and whatever went wrong."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from falcon.testing import Result, TestClient, create_environ

from aurora_atlan.http.app import create_ops_app
from aurora_atlan.http.application import Application
from http_fakes import Service, make_service

pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return make_service(monkeypatch)


def assert_problem(result: Result, status: int) -> dict[str, Any]:
    assert result.status_code == status
    assert result.headers["content-type"] == "application/problem+json"
    assert result.headers["x-content-type-options"] == "nosniff"
    assert result.headers["cache-control"] == "private, no-store"
    problem: dict[str, Any] = result.json
    assert {"type", "title", "status", "detail", "instance", "requestId", "error"} <= problem.keys()
    assert problem["status"] == status
    assert problem["requestId"] == result.headers["x-request-id"]
    assert problem["error"] == problem["detail"]
    assert problem["error"][-1] == "."
    return problem


def test_an_unknown_address_is_a_404_problem(service: Service):
    problem = assert_problem(service.client.simulate_get("/nowhere"), 404)
    assert problem["type"] == "about:blank"
    assert problem["instance"] == "/nowhere"


def test_a_wrong_method_is_a_405_problem_with_allow(service: Service):
    result = service.client.simulate_delete("/api/events/view")
    assert_problem(result, 405)
    assert result.headers["allow"] == "GET, HEAD, OPTIONS"
    assert service.client.simulate_get("/api/auth/login").headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("method", ["FOO", "TRACE", "CONNECT", "WEBSOCKET"])
def test_a_strange_method_is_a_problem(service: Service, method: str):
    result = service.client.simulate_request(method, "/api/events/view")
    assert result.status_code in (400, 405)
    assert_problem(result, result.status_code)


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/xml, text/*", "nonsense"])
def test_a_client_that_wants_no_json_gets_a_406_problem_before_anything_is_done(service: Service, accept: str):
    service.event()
    headers = {**service.bearer(), "Accept": accept}
    assert_problem(service.client.simulate_post("/api/bookings/1/book", headers=headers), 406)
    assert not service.supervisor.attempts


@pytest.mark.parametrize("accept", ["*/*", "application/json, text/plain, */*", "application/*", "text/html,*/*;q=0.1"])
def test_a_client_that_takes_json_gets_it(service: Service, accept: str):
    result = service.client.simulate_get("/api/events/view", headers={"Accept": accept})
    assert result.status_code == 200
    assert result.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/api/events/view", "/api/events/1/view", "/livez", "/readyz"])
def test_head_answers_like_get_without_a_body(service: Service, path: str):
    service.event()
    head, get = service.client.simulate_head(path), service.client.simulate_get(path)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(get.content))
    assert head.headers["content-type"] == "application/json"


def test_head_of_an_error_has_no_body_either(service: Service):
    result = service.client.simulate_head("/nowhere")
    assert result.status_code == 404
    assert result.content == b""


def test_options_tells_the_methods(service: Service):
    result = service.client.simulate_options("/api/bookings/1/book")
    assert result.status_code == 200
    assert result.headers["allow"] == "POST"
    assert result.content == b""


def test_no_other_origin_is_allowed(service: Service):
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    result = service.client.simulate_options("/api/bookings/1/book", headers=headers)
    assert not [name for name in result.headers if name.startswith("access-control")]


@pytest.mark.parametrize("sent", ["abc-123", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x" * 128])
def test_a_proper_request_id_comes_back(service: Service, sent: str):
    result = service.client.simulate_get("/nowhere", headers={"X-Request-Id": sent})
    assert result.headers["x-request-id"] == sent
    assert result.json["requestId"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "<script>", 'a"b', "a\tb", "id,id", "-a"])
def test_an_improper_request_id_is_replaced(service: Service, sent: str):
    result = service.client.simulate_get("/nowhere", headers={"X-Request-Id": sent})
    assert result.headers["x-request-id"] != sent
    assert len(result.headers["x-request-id"]) == 32


def test_request_ids_differ(service: Service):
    ids = {service.client.simulate_get("/livez").headers["x-request-id"] for _ in range(10)}
    assert len(ids) == 10


class Failing:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def on_get(self, _req: Any, resp: Any) -> None:
        resp.set_header("Cache-Control", "public")
        raise self._error


SECRET_ERROR = "SELECT password_hash FROM users -- /home/somebody"


@pytest.mark.parametrize("error", [RuntimeError(SECRET_ERROR), KeyError(SECRET_ERROR), OSError(SECRET_ERROR)])
def test_an_unexpected_error_is_a_500_problem_that_tells_nothing(error: Exception, caplog: pytest.LogCaptureFixture):
    app = Application()
    app.add_route("/failing", Failing(error))
    with caplog.at_level(logging.ERROR):
        result = TestClient(app).simulate_get("/failing")
    assert result.status_code == 500
    assert result.headers["content-type"] == "application/problem+json"
    assert "SELECT" not in result.text
    assert "Traceback" not in result.text
    # The log has what the client does not get, and the id to find it by.
    assert SECRET_ERROR in caplog.text
    assert result.json["requestId"] in caplog.text


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_the_thread_is_a_500_problem(error: BaseException, caplog: pytest.LogCaptureFixture):
    app = Application()
    app.add_route("/failing", Failing(error))
    with caplog.at_level(logging.ERROR):
        result = TestClient(app).simulate_get("/failing")
    problem = json.loads(result.content)
    assert result.status_code == 500
    assert result.headers["content-type"] == "application/problem+json"
    assert problem["requestId"] == result.headers["x-request-id"]
    assert problem["requestId"] in caplog.text


def test_a_failing_error_handler_is_a_500_problem_too():
    class HandledError(Exception):
        pass

    def handler(_req: Any, _resp: Any, _error: HandledError, _params: Any) -> None:
        raise RuntimeError(SECRET_ERROR)

    app = Application()
    app.add_error_handler(HandledError, handler)
    app.add_route("/failing", Failing(HandledError()))
    result = TestClient(app).simulate_get("/failing")
    assert result.status_code == 500
    assert "SELECT" not in result.text


def test_a_path_that_is_no_utf_8_is_a_problem(service: Service):
    environ = create_environ("/")
    environ["PATH_INFO"] = "/api/events/\xff\xfe/view"
    started: list[Any] = []
    body = b"".join(service.client.app(environ, lambda *call: started.append(call)))
    assert started[0][0] == "400 Bad Request"
    assert json.loads(body)["instance"].isascii()


def test_liveness_ignores_everything_else(service: Service):
    service.supervisor.ready = False
    assert service.client.simulate_get("/livez").status_code == 200


def test_readiness_tells_each_component(service: Service):
    ready = service.client.simulate_get("/readyz")
    assert ready.status_code == 200
    assert ready.json == {
        "status": "ready",
        "degraded": False,
        "components": {
            "redis": {"ok": True, "detail": "answers", "rollbacks": 1, "lostAtMost": 5},
            "actors": {
                "ok": True,
                "detail": "running",
                "alive": 3,
                "waiting": 2,
                "quarantined": 1,
                "restarts": 4,
            },
        },
    }
    service.supervisor.ready = False
    not_ready = service.client.simulate_get("/readyz")
    assert not_ready.status_code == 503
    assert not_ready.json["status"] == "not ready"
    assert not_ready.json["components"]["redis"]["ok"] is False


def test_a_draining_server_is_not_ready(service: Service):
    draining = False
    client = TestClient(create_ops_app(service.supervisor, lambda: draining))  # type: ignore[arg-type]
    assert client.simulate_get("/readyz").status_code == 200
    draining = True
    assert client.simulate_get("/readyz").status_code == 503
    assert client.simulate_get("/readyz").json["status"] == "draining"
    assert client.simulate_get("/livez").status_code == 200


def test_startup_is_over_once_and_for_all(service: Service):
    client = TestClient(create_ops_app(service.supervisor))  # type: ignore[arg-type]
    service.supervisor.ready = False
    assert client.simulate_get("/startupz").status_code == 503
    service.supervisor.ready = True
    assert client.simulate_get("/startupz").status_code == 200
    service.supervisor.ready = False
    assert client.simulate_get("/startupz").status_code == 200


def test_the_operators_listener_has_no_api(service: Service):
    client = TestClient(create_ops_app(service.supervisor))  # type: ignore[arg-type]
    assert client.simulate_get("/api/events/view").status_code == 404
