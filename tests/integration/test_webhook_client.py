"""Posting to a stranger: to an address that was checked, for a while, reading a little. Real TLS over real sockets."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import trustme

from aurora_atlan.actors import webhook_client
from aurora_atlan.actors.webhook_addresses import WebhookUrl
from aurora_atlan.actors.webhook_client import PostError, WebhookClient
from harness.receiver import Received, Receiver, with_status

Connect = Callable[..., WebhookClient]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who is trusted here."""
    return trustme.CA()


@pytest.fixture
def receiver(authority: trustme.CA) -> Iterator[Receiver]:
    """A receiver at https://localhost."""
    with Receiver(authority).running() as receiver:
        yield receiver


@pytest.fixture
def connect(authority: trustme.CA) -> Iterator[Connect]:
    """Makes clients that trust the authority."""
    clients: list[WebhookClient] = []

    def make(url: str, *, private: bool = True, trust: ssl.SSLContext | None = None) -> WebhookClient:
        if trust is None:
            trust = ssl.create_default_context()
            authority.configure_trust(trust)
        parsed = WebhookUrl.parse(url, private=True)
        clients.append(WebhookClient(parsed, trust, private=private))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> float:
    """The time for an answer is short; returns it."""
    monkeypatch.setattr(webhook_client, "POST_WITHIN_S", 0.2)
    return 0.2


def test_a_message_is_posted_and_the_status_returned(receiver: Receiver, connect: Connect) -> None:
    """Body and headers arrive as they were given."""
    client = connect(f"{receiver.url}?a=b")

    assert client.post(b'{"a": 1}', {"webhook-id": "msg_1", "Content-Type": "application/json"}) == 204

    [received] = receiver.received
    assert (received.path, received.body) == ("/hook?a=b", b'{"a": 1}')
    assert received.headers["webhook-id"] == "msg_1"
    assert received.headers["Host"] == receiver.url.split("/")[2]


def test_one_connection_serves_while_the_other_side_keeps_it(receiver: Receiver, connect: Connect) -> None:
    """And when it does not, another one does."""
    client = connect(receiver.url)
    for _ in range(3):
        client.post(b"{}", {})
    assert len({received.peer for received in receiver.received}) == 1

    receiver.answer = with_status(200, Connection="close")
    client.post(b"{}", {})
    assert client.post(b"{}", {}) == 200

    assert len({received.peer for received in receiver.received}) == 2


def test_a_redirect_is_not_followed(receiver: Receiver, connect: Connect) -> None:
    """Wherever it leads, it is an answer, and not a good one."""
    receiver.answer = with_status(307, Location=receiver.url.replace("/hook", "/elsewhere"))

    assert connect(receiver.url).post(b"{}", {}) == 307

    assert [received.path for received in receiver.received] == ["/hook"]


def test_a_private_address_is_not_connected_to(receiver: Receiver, connect: Connect) -> None:
    """Not even to learn that somebody listens there."""
    with pytest.raises(PostError, match=r"is not a public address"):
        connect(receiver.url, private=False).post(b"{}", {})

    assert receiver.received == []


def test_a_name_that_leads_elsewhere_after_it_was_accepted_is_refused(
    receiver: Receiver, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are resolved once for each connection, and the address that was checked is the one connected to."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, *arguments: Any, **named: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    port = receiver.url.split(":")[2].split("/")[0]

    with pytest.raises(PostError, match=r"127\.0\.0\.1 is not a public address"):
        connect(f"https://example.com:{port}/", private=False).post(b"{}", {})

    assert asked == ["example.com"]
    assert receiver.received == []


def test_the_address_that_was_checked_is_the_one_connected_to(
    authority: trustme.CA, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is resolved once, so nobody can answer otherwise in between; the certificate is still the name's."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, *arguments: Any, **named: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *arguments, **named)

    with Receiver(authority, name="hooks.invalid").running() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        client = connect(receiver.url.replace("localhost", "hooks.invalid"))
        assert client.post(b"{}", {}) == 204
        assert client.post(b"{}", {}) == 204

    assert asked == ["hooks.invalid"]
    assert receiver.received[0].headers["Host"].startswith("hooks.invalid:")


def test_whose_certificate_is_not_good_is_told_nothing(
    receiver: Receiver, connect: Connect, authority: trustme.CA
) -> None:
    """Signed by nobody we know, or for another name."""
    with pytest.raises(PostError, match="certificate is not good"):
        connect(receiver.url, trust=ssl.create_default_context()).post(b"{}", {})
    with Receiver(authority, name="example.com").running() as other:
        with pytest.raises(PostError, match="certificate is not good"):
            connect(other.url).post(b"{}", {})
        assert other.received == receiver.received == []


def test_ones_own_machine_needs_no_tls_where_private_addresses_are_allowed(
    authority: trustme.CA, connect: Connect
) -> None:
    """For development."""
    with Receiver(authority, tls=False).running() as plain:
        assert connect(plain.url).post(b"{}", {}) == 204


def test_an_answer_too_long_is_not_read_to_its_end(receiver: Receiver, connect: Connect) -> None:
    """Its status counts; the line is given up, and the next post has a new one."""
    written = 0

    def flood(handler: BaseHTTPRequestHandler, _received: Received) -> None:
        nonlocal written
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        for _ in range(1 << 10):
            written += handler.wfile.write(b"x" * (1 << 20))

    receiver.answer = flood
    client = connect(receiver.url)
    began = time.monotonic()

    assert client.post(b"{}", {}) == 200
    assert time.monotonic() - began < 5
    assert written < 100 << 20
    receiver.answer = with_status(204)
    assert client.post(b"{}", {}) == 204


def test_endless_headers_are_no_answer(receiver: Receiver, connect: Connect) -> None:
    """Headers count as bytes, too."""

    def flood(handler: BaseHTTPRequestHandler, _received: Received) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000)

    receiver.answer = flood

    with pytest.raises(PostError, match="no valid HTTP"):
        connect(receiver.url).post(b"{}", {})


@pytest.mark.parametrize("talk", [b"", b"H", b"HTTP/1.1 200 OK\r\nContent-"])
def test_an_answer_that_takes_too_long_is_none(receiver: Receiver, connect: Connect, soon: float, talk: bytes) -> None:
    """Silence, and a byte now and then for ever, end at the same moment."""
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler, _received: Received) -> None:
        handler.wfile.write(talk)
        while not over.wait(soon / 10):
            if talk:
                handler.wfile.write(b"x")

    receiver.answer = drip
    began = time.monotonic()
    try:
        with pytest.raises(PostError, match="no answer in time"):
            connect(receiver.url).post(b"{}", {})
    finally:
        over.set()

    assert soon <= time.monotonic() - began < soon + 1


def test_a_body_that_takes_too_long_does_not_take_the_status_back(
    receiver: Receiver, connect: Connect, soon: float
) -> None:
    """It was taken in; sending it again would be of no use."""
    over = threading.Event()

    def stall(handler: BaseHTTPRequestHandler, _received: Received) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        over.wait(10)

    receiver.answer = stall
    try:
        assert connect(receiver.url).post(b"{}", {}) == 200
    finally:
        over.set()


def test_nobody_there_is_told_in_words(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is closed, or the name unknown."""

    def unknown(*_arguments: Any, **_named: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(PostError, match="Connection refused"):
        connect(f"https://localhost:{port}/").post(b"{}", {})
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(PostError, match="its name cannot be resolved"):
        connect("https://nobody.invalid/").post(b"{}", {})


def test_what_is_no_http_is_no_answer(receiver: Receiver, connect: Connect) -> None:
    """Its words are not repeated: they are a stranger's."""

    def babble(handler: BaseHTTPRequestHandler, _received: Received) -> None:
        handler.wfile.write(b"a secret of the network\r\n\r\n")
        handler.close_connection = True

    receiver.answer = babble

    with pytest.raises(PostError, match=r"^no valid HTTP \(BadStatusLine\)$"):
        connect(receiver.url).post(b"{}", {})


def test_a_post_is_cut_from_another_thread(receiver: Receiver, connect: Connect) -> None:
    """Whoever waits for the answer waits no longer."""
    came, over = threading.Event(), threading.Event()

    def stall(_handler: BaseHTTPRequestHandler, _received: Received) -> None:
        came.set()
        over.wait(10)

    receiver.answer = stall
    client = connect(receiver.url)
    failures: list[PostError] = []

    def post() -> None:
        try:
            client.post(b"{}", {})
        except PostError as error:
            failures.append(error)

    thread = threading.Thread(target=post)
    thread.start()
    try:
        assert came.wait(5)
        client.abort()
        thread.join(2)
        assert not thread.is_alive()
    finally:
        over.set()
        thread.join(15)
    assert len(failures) == 1
