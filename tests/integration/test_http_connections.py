"""A connection: what a client may do while its request is answered, and how answers are sent."""

from __future__ import annotations

import io
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from aurora_atlan.http import polling
from aurora_atlan.http.channel import Channel
from aurora_atlan.http.listener import Listener
from aurora_atlan.http.listening import bind
from aurora_atlan.http.workers import Workers
from harness_sales import wait_until

_GET = b"GET /%d HTTP/1.1\r\nHost: here\r\n\r\n"
_LARGE_BYTES = 8 * 1024 * 1024

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class _Gated:
    """Answers with the path it was asked for, once it may."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.under_way = threading.Semaphore(0)
        self.seen: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.seen.append(environ["PATH_INFO"])
        self.under_way.release()
        assert self.go_on.wait(10)
        return _plain(environ["PATH_INFO"].encode(), start_response)


def _plain(body: bytes, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture(autouse=True)
def never_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked just because time has passed: that would hide a wake-up that is missing."""
    monkeypatch.setattr(polling, "_ASK_ALL_S", 3600.0)


@pytest.fixture
def listen() -> Iterator[Callable[[Application], int]]:
    """Serve an application, and return the port."""
    listeners: list[Listener] = []

    def serve(app: Application) -> int:
        listener = Listener("test", app, bind("127.0.0.1", 0, setting="PORT"), 4)
        listener.start()
        listeners.append(listener)
        return listener.port

    yield serve
    for listener in listeners:
        listener.stop(5)


@pytest.fixture
def gated(listen: Callable[[Application], int]) -> Iterator[tuple[_Gated, socket.socket]]:
    """A client of an application that waits."""
    app = _Gated()
    with socket.create_connection(("127.0.0.1", listen(app)), timeout=10) as client:
        yield app, client
        app.go_on.set()


def _read_answers(client: socket.socket, count: int) -> list[bytes]:
    # The bodies, in order. No more than them is there to be read.
    bodies = []
    with client.makefile("rb") as answers:
        for _ in range(count):
            assert answers.readline() == b"HTTP/1.1 200 OK\r\n", f"the connection ended after {len(bodies)} answers"
            headers = [line.lower() for line in iter(answers.readline, b"\r\n")]
            [length] = [int(line.partition(b":")[2]) for line in headers if line.startswith(b"content-length:")]
            bodies.append(answers.read(length))
    return bodies


def test_what_is_sent_ahead_is_answered_in_its_turn(gated: tuple[_Gated, socket.socket]) -> None:
    """Requests that come while an earlier one is answered wait for it, whether they come with it or behind it."""
    app, client = gated
    client.sendall(_GET % 1 + _GET % 2)
    assert app.under_way.acquire(timeout=10)
    client.sendall(_GET % 3)
    client.sendall(_GET % 4)
    app.go_on.set()

    assert _read_answers(client, 4) == [b"/1", b"/2", b"/3", b"/4"]
    assert app.seen == ["/1", "/2", "/3", "/4"]


def test_a_client_may_end_its_side_and_wait_for_the_answer(gated: tuple[_Gated, socket.socket]) -> None:
    """As ``nc -N`` does. The connection ends with the answer."""
    app, client = gated
    client.sendall(_GET % 1)
    assert app.under_way.acquire(timeout=10)
    client.shutdown(socket.SHUT_WR)
    # The loop has had time to hear of it.
    time.sleep(0.05)
    app.go_on.set()

    assert _read_answers(client, 1) == [b"/1"]
    assert client.recv(1) == b""


def test_the_loop_does_not_spin_while_something_was_sent_ahead(gated: tuple[_Gated, socket.socket]) -> None:
    """Bytes that may not be read yet are not waited for, or they would wake the loop over and over."""
    app, client = gated
    client.sendall(_GET % 1)
    assert app.under_way.acquire(timeout=10)
    client.sendall(_GET % 2)
    time.sleep(0.05)

    spent = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - spent < 0.1

    app.go_on.set()
    assert _read_answers(client, 2) == [b"/1", b"/2"]


def test_a_client_that_vanishes_meanwhile_harms_nobody(
    listen: Callable[[Application], int], caplog: pytest.LogCaptureFixture
) -> None:
    """Its answer goes nowhere, and its thread and its place are free again."""
    app = _Gated()
    port = listen(app)
    vanishing = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(4)]
    for client in vanishing:
        client.sendall(_GET % 1)
    for _ in vanishing:
        assert app.under_way.acquire(timeout=10)
    for client in vanishing:
        # A reset, instead of an orderly end.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    app.go_on.set()

    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(_GET % 2)
        assert _read_answers(client, 1) == [b"/2"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_large_answer_reaches_a_slow_reader_whole(listen: Callable[[Application], int]) -> None:
    """What does not fit into the socket goes later, behind what did; and the next request is answered as ever."""
    large = bytes(range(256)) * (_LARGE_BYTES // 256)

    def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        return _plain(large, start_response)

    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(("127.0.0.1", listen(app)))
        for _ in range(2):
            client.sendall(_GET % 1)
            assert _read_answers(client, 1) == [large]


def test_a_large_answer_reaches_a_client_that_has_ended_its_side(listen: Callable[[Application], int]) -> None:
    """Its end is read when all is sent: before, it would look as if nobody waited for the rest."""
    large, answering = bytes(_LARGE_BYTES), threading.Semaphore(0)
    go_on = threading.Event()

    def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        answering.release()
        assert go_on.wait(10)
        return _plain(large, start_response)

    port = listen(app)
    clients = [socket.socket() for _ in range(4)]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        client.sendall(_GET % 1)
    for _ in clients:
        assert answering.acquire(timeout=10)
    # At the same moment, for the loop to find the end while the rest of the answer waits.
    go_on.set()
    for client in clients:
        client.shutdown(socket.SHUT_WR)
    for client in clients:
        assert _read_answers(client, 1) == [large]
        client.close()


def test_the_end_is_not_read_before_the_answer_is_sent() -> None:
    """The same, by the loop's own steps: a worker is done and has left bytes behind when the end is reported."""

    class _Ended(Channel):
        def __init__(self) -> None:
            self.requests = []
            self.total_outbufs_len = 1

        def recv(self, _count: int) -> bytes:
            raise AssertionError("it was read")

    channel = _Ended()
    channel.handle_read()

    assert channel.loop_is_due
    assert not channel.readable()
    assert not channel.nothing_to_answer
    channel.total_outbufs_len = 0
    assert channel.readable()
    # A stop lets it be read first.
    assert not channel.nothing_to_answer


def test_urgent_bytes_do_not_keep_the_loop_busy(
    listen: Callable[[Application], int], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody reads them; the connection is as good as before."""
    app = _Gated()
    app.go_on.set()
    with socket.create_connection(("127.0.0.1", listen(app)), timeout=10) as client:
        client.sendall(_GET % 1)
        assert _read_answers(client, 1) == [b"/1"]
        client.send(b"!", socket.MSG_OOB)
        time.sleep(0.05)
        spent = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - spent < 0.1
        client.sendall(_GET % 2)
        assert _read_answers(client, 1) == [b"/2"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_connection_outlives_an_answer_without_a_body(listen: Callable[[Application], int], status: str) -> None:
    """Clients that ask whether something changed keep their connections."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/2":
            return _plain(b"there", start_response)
        start_response(status, [("ETag", '"1"')])
        return []

    with socket.create_connection(("127.0.0.1", listen(app)), timeout=10) as client:
        client.sendall(_GET % 1)
        head = client.recv(65536)
        assert head.startswith(f"HTTP/1.1 {status}\r\n".encode())
        assert head.endswith(b"\r\n\r\n")
        assert b"Content-Length" not in head
        assert b"Connection: close" not in head
        client.sendall(_GET % 2)
        assert _read_answers(client, 1) == [b"there"]


def test_an_answer_that_is_begun_twice_is_a_fault(listen: Callable[[Application], int]) -> None:
    """Of two statuses none is told."""

    def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        start_response("201 Created", [("Content-Length", "2")])
        return [b"ok"]

    with socket.create_connection(("127.0.0.1", listen(app)), timeout=10) as client:
        client.sendall(_GET % 1)
        received = b"".join(iter(lambda: client.recv(65536), b""))

    assert received.startswith(b"HTTP/1.1 500 ")


def test_pieces_without_a_length_are_sent_one_after_the_other(listen: Callable[[Application], int]) -> None:
    """In chunks (RFC 9112, section 7.1); the application's iterator is closed at the end."""
    closed = threading.Event()

    class _Pieces:
        def __iter__(self) -> Iterator[bytes]:
            yield from (b"one", b"", b"two")

        def close(self) -> None:
            closed.set()

    def app(_environ: dict[str, Any], start_response: Any) -> _Pieces:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _Pieces()

    with socket.create_connection(("127.0.0.1", listen(app)), timeout=10) as client:
        client.sendall(_GET % 1)
        received = b"".join(iter(lambda: client.recv(65536), b""))

    assert received.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert closed.is_set()


def test_an_answer_that_is_too_short_ends_the_connection(listen: Callable[[Application], int]) -> None:
    """Otherwise the client would wait for the rest for ever."""

    def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "10")])
        return [b"short"]

    with socket.create_connection(("127.0.0.1", listen(app)), timeout=10) as client:
        client.sendall(_GET % 1)
        received = b"".join(iter(lambda: client.recv(65536), b""))

    assert received.endswith(b"\r\n\r\nshort")


@pytest.mark.parametrize("header", [("X-Name", "a\r\nSet-Cookie: b"), ("X-Name", "a\nb"), ("X\rY", "a")])
def test_no_header_can_bring_another_one_along(listen: Callable[[Application], int], header: tuple[str, str]) -> None:
    """An answer with a line break in its head is a fault of ours: 500."""

    def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2"), header])
        return [b"ok"]

    with socket.create_connection(("127.0.0.1", listen(app)), timeout=10) as client:
        client.sendall(_GET % 1)
        received = b"".join(iter(lambda: client.recv(65536), b""))

    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"Set-Cookie" not in received


def test_the_application_is_asked_as_pep_3333_has_it(listen: Callable[[Application], int]) -> None:
    """The standard library's validator finds nothing, and every part of the request is where it belongs."""
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append({**environ, "body": environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))})
        body = b"ok"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    request = (
        b"POST //a%20b/c?d=e%20f HTTP/1.1\r\nHost: here:1\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n"
        b"X-Two: 1\r\nX-Two: 2\r\n\r\nbody"
    )
    with socket.create_connection(("127.0.0.1", listen(validator(app))), timeout=10) as client:
        client.sendall(request)
        assert _read_answers(client, 1) == [b"ok"]
        address = client.getsockname()

    [environ] = seen
    assert environ["body"] == b"body"
    assert {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "d=e%20f",
        "REQUEST_URI": "//a%20b/c?d=e%20f",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": address[0],
        "REMOTE_PORT": str(address[1]),
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "4",
        "HTTP_HOST": "here:1",
        "HTTP_X_TWO": "1, 2",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
    }.items() <= environ.items()


class _Connection:
    """What a pool of threads serves: notes by which thread, and waits if it is to."""

    def __init__(self, served_by: list[str], gate: threading.Event | None = None) -> None:
        self.requests = [io.BytesIO()]
        self.cancelled = False
        self._served_by = served_by
        self._gate = gate

    def service(self) -> None:
        self._served_by.append(threading.current_thread().name)
        if self._gate is not None:
            assert self._gate.wait(10)

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers("pool", 3)
    yield workers
    workers.join(5)


def test_no_more_requests_are_under_way_than_there_are_threads(workers: Workers) -> None:
    """The others are served in their order."""
    gate, served_by = threading.Event(), []  # type: ignore[var-annotated]
    order: list[int] = []

    class _Numbered(_Connection):
        def __init__(self, number: int) -> None:
            super().__init__(served_by)
            self._number = number

        def service(self) -> None:
            super().service()
            order.append(self._number)

    for _ in range(3):
        workers.add_task(_Connection(served_by, gate))  # type: ignore[arg-type]
    wait_until(lambda: len(served_by) == 3, 10, "all threads are busy")
    for number in range(5):
        workers.add_task(_Numbered(number))  # type: ignore[arg-type]
    assert order == []
    assert len(set(served_by)) == 3
    gate.set()
    wait_until(lambda: len(order) == 5, 10, "the others are served")

    assert sorted(order) == [0, 1, 2, 3, 4]


def test_the_thread_that_fell_idle_last_is_taken(workers: Workers) -> None:
    """One request after the other needs one thread."""
    served_by: list[str] = []
    for count in range(1, 20):
        workers.add_task(_Connection(served_by))  # type: ignore[arg-type]
        wait_until(lambda count=count: len(served_by) == count and len(workers._idle) == 3, 10, "it is idle again")

    assert len(set(served_by)) == 1


def test_a_pool_that_stops_drops_what_waits_and_lets_end_what_is_under_way() -> None:
    """With no thread left."""
    workers = Workers("pool", 1)
    gate, served_by = threading.Event(), []  # type: ignore[var-annotated]
    under_way, waiting = _Connection(served_by, gate), _Connection(served_by)
    workers.add_task(under_way)  # type: ignore[arg-type]
    workers.add_task(waiting)  # type: ignore[arg-type]
    stopping = threading.Thread(target=workers.join, args=(10,))
    stopping.start()
    wait_until(lambda: waiting.cancelled, 10, "what waits is dropped")
    assert stopping.is_alive()
    gate.set()
    stopping.join(10)

    assert not stopping.is_alive()
    assert len(served_by) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pool-")]


def test_no_request_is_lost_among_many_threads() -> None:
    """Added from eight threads at once, every one is served once."""
    workers, barrier = Workers("pool", 5), threading.Barrier(8)
    # Of each connection, by whom it was served.
    served: list[list[str]] = [[] for _ in range(4000)]

    def add(mine: list[list[str]]) -> None:
        barrier.wait()
        for served_by in mine:
            workers.add_task(_Connection(served_by))  # type: ignore[arg-type]

    adders = [threading.Thread(target=add, args=(served[first::8],)) for first in range(8)]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join()
    wait_until(lambda: all(served), 10, "all are served")
    workers.join(5)

    assert {len(served_by) for served_by in served} == {1}
