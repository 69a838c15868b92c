"""The server on real sockets: its own refusals, its limits, and how it stops."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from aurora_atlan.config import Settings
from aurora_atlan.http import app as app_module
from aurora_atlan.http import channel
from aurora_atlan.http.server import ListenError, Server
from http_fakes import SECRET, FakeSupervisor


class GatedSupervisor(FakeSupervisor):
    """Holds every status request at a gate, so that a test can have requests in flight."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.gate = threading.Event()
        self.arrived = threading.Semaphore(0)

    def status(self, job_id: Any) -> Any:
        self.arrived.release()
        assert self.gate.wait(20)
        return super().status(job_id)


GATED = "/api/bookings/status/2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1"


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[GatedSupervisor]:
    fake = GatedSupervisor(Settings(jwt_secret=SECRET, port=0, ops_port=0, threads=4))
    monkeypatch.setattr(app_module, "UserStore", lambda _database: fake.users)
    yield fake
    fake.gate.set()


@pytest.fixture
def server(supervisor: GatedSupervisor) -> Iterator[Server]:
    server = Server(supervisor, supervisor.settings)  # type: ignore[arg-type]
    server.start()
    yield server
    supervisor.gate.set()
    server.stop(5)


@contextmanager
def connection(port: int | None) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as opened:
        yield opened


def get(port: int | None, path: str) -> tuple[int, Any]:
    with connection(port) as opened:
        opened.request("GET", path)
        response = opened.getresponse()
        return response.status, json.loads(response.read())


def raw(port: int, sent: bytes) -> tuple[bytes, bytes]:
    """Send bytes and return the head and the body of everything that comes back until the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(sent)
        received = b""
        while chunk := client.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def assert_problem(head: bytes, body: bytes, status: int) -> None:
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert lines[0].split(" ")[1] == str(status)
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["connection"] == "close"
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["requestId"] == headers["x-request-id"]
    assert problem["error"]
    assert b"waitress" not in head + body


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_both_listeners_answer_on_their_real_ports(server: Server):
    assert server.port != server.ops_port
    assert get(server.port, "/api/events/view") == (200, [])
    assert get(server.ops_port, "/livez") == (200, {"status": "alive"})
    assert get(server.ops_port, "/api/events/view")[0] == 404


def _looks(monkeypatch: pytest.MonkeyPatch, forwarded_for: list[str], **settings: Any) -> list[int]:
    """Let clients behind a proxy look at events, one a minute each, and return the answers' statuses."""
    fake = FakeSupervisor(
        Settings(jwt_secret=SECRET, port=0, ops_port=None, threads=2, rate_limit_read_ip="1/minute", **settings)
    )
    monkeypatch.setattr(app_module, "UserStore", lambda _database: fake.users)
    server = Server(fake, fake.settings)  # type: ignore[arg-type]
    server.start()
    statuses = []
    try:
        for addresses in forwarded_for:
            with connection(server.port) as opened:
                opened.request("GET", "/api/events/view", headers={"X-Forwarded-For": addresses})
                statuses.append(opened.getresponse().status)
    finally:
        server.stop(5)
    return statuses


def test_clients_of_a_trusted_proxy_are_told_apart_by_what_it_says(monkeypatch: pytest.MonkeyPatch):
    """Only its own word counts: what a client wrote before it is in front of that."""
    sent = ["192.0.2.1", "192.0.2.2", "198.51.100.9, 192.0.2.1"]

    assert _looks(monkeypatch, sent, trusted_proxy="127.0.0.1") == [200, 200, 429]


def test_behind_two_trusted_proxies_the_first_one_knows_the_client(monkeypatch: pytest.MonkeyPatch):
    sent = ["192.0.2.1, 10.0.0.1", "192.0.2.2, 10.0.0.1", "192.0.2.1, 10.0.0.1"]

    assert _looks(monkeypatch, sent, trusted_proxy="*", trusted_proxy_count=2) == [200, 200, 429]


@pytest.mark.parametrize("trusted_proxy", [None, "192.0.2.77"])
def test_nobody_else_can_say_where_they_come_from(monkeypatch: pytest.MonkeyPatch, trusted_proxy: str | None):
    assert _looks(monkeypatch, ["192.0.2.1", "192.0.2.2"], trusted_proxy=trusted_proxy) == [200, 429]


def test_a_connection_is_used_again(server: Server):
    with connection(server.port) as opened:
        for _ in range(3):
            opened.request("GET", "/livez")
            assert opened.getresponse().read()
            assert opened.sock is not None


@pytest.mark.parametrize("path", ["/api/events/%31/view", "/api/events/1%00/view", "/api/events/%D9%A1/view"])
def test_a_percent_encoded_id_is_refused_as_it_was_sent(server: Server, path: str):
    status, problem = get(server.port, path)
    assert status == 400
    assert problem["type"].endswith(":malformed-id")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_waitress_refuses_is_a_problem_too(server: Server, sent: bytes, status: int):
    head, body = raw(server.port, sent)
    assert_problem(head, body, status)


@pytest.mark.parametrize("size", [64 * 1024 + 1, 1024 * 1024, 8 * 1024 * 1024])
def test_a_client_that_sends_too_much_learns_why(server: Server, size: int):
    sent = b"POST /api/bookings/1/book HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    head, body = raw(server.port, sent)
    assert_problem(head, body, 413)


def test_a_client_that_never_stops_sending_is_dropped(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(channel, "_LINGER_S", 0.2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"nonsense\r\n\r\n")
        dropped = False
        for _ in range(800):
            try:
                client.sendall(b"x" * 1024)
            except OSError:
                dropped = True
                break
            time.sleep(0.01)
        assert dropped


def test_a_chunked_body_that_is_too_large_is_413(server: Server):
    chunks = b"10000\r\n" + b"x" * 0x10000 + b"\r\n1\r\nx\r\n0\r\n\r\n"
    sent = b"POST /api/bookings/1/book HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    head, body = raw(server.port, sent)
    assert_problem(head, body, 413)


def test_a_client_that_asks_first_is_refused_before_it_sends(server: Server):
    sent = b"POST /api/bookings/1/book HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"
    head, body = raw(server.port, sent)
    assert_problem(head, body, 413)


def test_a_client_that_announces_an_absurd_body_is_refused_at_once(server: Server):
    head, body = raw(server.port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    assert_problem(head, body, 413)


def test_a_body_of_64_kib_is_no_problem(server: Server):
    with connection(server.port) as opened:
        opened.request("POST", "/api/auth/login", b" " * (64 * 1024), {"Content-Type": "application/json"})
        assert opened.getresponse().status == 400


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), RuntimeError("boom")])
def test_a_resource_that_would_end_its_thread_answers_500_and_the_thread_lives(
    server: Server, supervisor: GatedSupervisor, error: BaseException
):
    supervisor.failure = error
    supervisor.gate.set()
    for _ in range(6):
        assert get(server.port, GATED)[0] == 500
    supervisor.failure = None
    assert get(server.port, GATED)[0] == 404


def test_a_full_house_does_not_starve_the_operators(server: Server, supervisor: GatedSupervisor):
    clients = [threading.Thread(target=get, args=(server.port, GATED)) for _ in range(8)]
    for client in clients:
        client.start()
    for _ in range(4):
        assert supervisor.arrived.acquire(timeout=10)
    began = time.perf_counter()
    assert get(server.ops_port, "/livez")[0] == 200
    assert time.perf_counter() - began < 0.5
    supervisor.gate.set()
    for client in clients:
        client.join(10)


def test_a_taken_port_is_one_sentence(server: Server, supervisor: GatedSupervisor):
    taken = Settings(jwt_secret=SECRET, port=server.port, ops_port=None)
    with pytest.raises(ListenError, match=rf"^Cannot listen on 127.0.0.1, port {server.port}: .* set PORT "):
        Server(supervisor, taken).start()  # type: ignore[arg-type]


def test_a_taken_operators_port_gives_the_other_back(server: Server, supervisor: GatedSupervisor):
    before = descriptors()
    taken = Settings(jwt_secret=SECRET, port=0, ops_port=server.ops_port)
    with pytest.raises(ListenError, match="AURORA_OPS_PORT"):
        Server(supervisor, taken).bind()  # type: ignore[arg-type]
    assert descriptors() == before


@pytest.mark.parametrize("host", ["198.51.100.1", "no-such-host.invalid"])
def test_a_foreign_address_is_one_sentence(supervisor: GatedSupervisor, host: str):
    with pytest.raises(ListenError, match=rf"^Cannot listen on {host}: "):
        Server(supervisor, Settings(jwt_secret=SECRET, host=host)).bind()  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0"])
def test_names_and_wildcards_are_listened_on(supervisor: GatedSupervisor, host: str):
    server = Server(supervisor, Settings(jwt_secret=SECRET, host=host, port=0, ops_port=None))  # type: ignore[arg-type]
    server.start()
    try:
        assert server.ops_port is None
        assert get(server.port, "/livez")[0] == 200
    finally:
        server.stop(5)


def test_a_server_that_was_only_bound_gives_its_ports_back(supervisor: GatedSupervisor):
    before = descriptors()
    server = Server(supervisor, supervisor.settings)  # type: ignore[arg-type]
    server.bind()
    with pytest.raises(ConnectionRefusedError):
        get(server.port, "/livez")
    server.stop()
    assert descriptors() == before


def test_stopping_answers_what_is_in_flight(server: Server, supervisor: GatedSupervisor):
    idle = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    idle.request("GET", "/livez")
    idle.getresponse().read()
    busy = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(8)]
    for client in busy:
        client.request("GET", GATED)
    for _ in range(4):
        assert supervisor.arrived.acquire(timeout=10)
    stopping = threading.Thread(target=server.stop, args=(10,))
    stopping.start()
    # The idle connection is closed, and nobody else is let in, while the others still wait for their answers.
    assert idle.sock.recv(1) == b""
    with pytest.raises(OSError, match=r".*"):
        get(server.port, "/livez")
    status, body = get(server.ops_port, "/readyz")
    assert (status, body["status"]) == (503, "draining")
    assert get(server.ops_port, "/livez")[0] == 200
    assert stopping.is_alive()
    supervisor.gate.set()
    for client in busy:
        response = client.getresponse()
        assert response.status == 404
        assert response.read()
        client.close()
    idle.close()
    stopping.join(10)
    assert not stopping.is_alive()


def test_a_request_on_a_kept_connection_is_the_last_one_when_stopping(server: Server, supervisor: GatedSupervisor):
    with connection(server.port) as kept, connection(server.port) as busy:
        kept.request("GET", "/livez")
        kept.getresponse().read()
        busy.request("GET", GATED)
        assert supervisor.arrived.acquire(timeout=10)
        stopping = threading.Thread(target=server.stop, args=(10,))
        stopping.start()
        while get(server.ops_port, "/readyz")[0] == 200:
            pass
        time.sleep(0.05)
        kept.request("GET", "/livez")
        response = kept.getresponse()
        assert response.status == 200
        assert response.headers["connection"] == "close"
        supervisor.gate.set()
        assert busy.getresponse().status == 404
        stopping.join(10)


def test_stopping_leaves_nothing_behind(supervisor: GatedSupervisor):
    supervisor.gate.set()
    get_ready = Server(supervisor, supervisor.settings)  # type: ignore[arg-type]
    get_ready.start()
    get_ready.stop(5)
    threads, open_before = set(threading.enumerate()), descriptors()
    for _ in range(5):
        server = Server(supervisor, supervisor.settings)  # type: ignore[arg-type]
        server.start()
        assert get(server.port, "/livez")[0] == 200
        with connection(server.port) as kept:
            kept.request("GET", "/livez")
            kept.getresponse().read()
            stoppers = [threading.Thread(target=server.stop, args=(5,)) for _ in range(10)]
            for stopper in stoppers:
                stopper.start()
            for stopper in stoppers:
                stopper.join(10)
        server.stop()
        assert set(threading.enumerate()) == threads
        assert descriptors() == open_before


def test_a_request_that_never_ends_is_cut_off(server: Server, supervisor: GatedSupervisor):
    with connection(server.port) as busy:
        busy.request("GET", GATED)
        assert supervisor.arrived.acquire(timeout=10)
        began = time.perf_counter()
        server.stop(0.5)
        assert time.perf_counter() - began < 3.0
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            busy.getresponse()


def test_a_half_sent_request_does_not_hold_up_the_stop_for_long(server: Server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHo")
        # Answered after it, so the half request was read.
        assert get(server.port, "/livez")[0] == 200
        began = time.perf_counter()
        server.stop(15)
        assert time.perf_counter() - began < 8.0
        assert client.recv(1) == b""


def test_stopping_under_load_aborts_no_request(server: Server):
    aborted: list[Exception] = []
    answered = threading.Semaphore(0)

    def client() -> None:
        while True:
            try:
                opened = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
                opened.connect()
            except OSError:
                return
            with closing(opened):
                try:
                    while opened.sock is not None:
                        opened.request("GET", "/livez")
                        response = opened.getresponse()
                        response.read()
                        answered.release()
                except (OSError, http.client.HTTPException) as error:
                    aborted.append(error)
                    return

    clients = [threading.Thread(target=client) for _ in range(8)]
    for thread in clients:
        thread.start()
    for _ in range(200):
        assert answered.acquire(timeout=10)
    server.stop(10)
    for thread in clients:
        thread.join(10)
    assert aborted == []


def test_more_connections_than_allowed_wait_their_turn(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server._main._server.adj, "connection_limit", 5)
    first = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(5)]
    with connection(server.port) as waiting:
        waiting.request("GET", "/livez")
        for client in first:
            client.close()
        assert waiting.getresponse().status == 200


def test_stopping_answers_connections_that_were_not_let_in_yet(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server._main._server.adj, "connection_limit", 5)
    first = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(5)]
    with connection(server.port) as waiting:
        waiting.request("GET", "/livez")
        while len(server._main._server.active_channels) < 3:
            time.sleep(0.01)
        server.stop(10)
        assert waiting.getresponse().status == 200
    for client in first:
        client.close()


def test_waiting_requests_are_not_logged(server: Server, supervisor: GatedSupervisor, caplog: pytest.LogCaptureFixture):
    clients = [threading.Thread(target=get, args=(server.port, GATED)) for _ in range(20)]
    for client in clients:
        client.start()
    for _ in range(4):
        assert supervisor.arrived.acquire(timeout=10)
    supervisor.gate.set()
    for client in clients:
        client.join(10)
    # waitress would have warned about the depth of its queue sixteen times.
    assert not [record for record in caplog.records if record.name.startswith("waitress")]
