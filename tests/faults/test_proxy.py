"""The proxy does what it is told, and only that."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from faults.proxy import AfterBytes, AtPattern, Direction, NextReply, Proxy, proxied

_TIMEOUT_S = 2.0
_SILENCE_S = 0.15


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends everything back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_echo, args=(client,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    """A proxy in front of it."""
    with proxied(echo) as proxy:
        yield proxy


def _echo(client: socket.socket) -> None:
    with client:
        try:
            while data := client.recv(65_536):
                client.sendall(data)
        except OSError:
            return


def connect(proxy: Proxy) -> socket.socket:
    """Connect through the proxy."""
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=_TIMEOUT_S)


def ask(client: socket.socket, data: bytes) -> bytes:
    """Send and return as many bytes, or those that came before the end."""
    client.sendall(data)
    received = b""
    while len(received) < len(data) and (part := client.recv(len(data) - len(received))):
        received += part
    return received


def read_until_reset(client: socket.socket) -> bytes:
    """Return what comes before the connection is reset; fails when it is not."""
    received = b""
    try:
        while part := client.recv(65_536):
            received += part
    except ConnectionResetError:
        return received
    pytest.fail("the connection was closed, not reset")


def test_passes_everything_both_ways(proxy: Proxy) -> None:
    data = b"x" * 1_000_000
    with connect(proxy) as client:
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        received = b""
        while len(received) < len(data) and (part := client.recv(65_536)):
            received += part
    assert received == data


def test_ends_with_its_client(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client, b"there") == b"there"
        assert proxy.connections == 1
    deadline = time.monotonic() + _TIMEOUT_S
    while proxy.connections and time.monotonic() < deadline:
        time.sleep(0.005)
    assert proxy.connections == 0


def test_delays_each_way(proxy: Proxy) -> None:
    with connect(proxy) as client:
        ask(client, b"warm")
        proxy.delay(0.1)
        asked_at = time.monotonic()
        assert ask(client, b"slow") == b"slow"
        assert 0.2 <= time.monotonic() - asked_at < 1.0
        proxy.pass_on()
        asked_at = time.monotonic()
        ask(client, b"fast")
        assert time.monotonic() - asked_at < 0.1


def test_black_hole_swallows_and_resets_when_it_ends(proxy: Proxy) -> None:
    with connect(proxy) as before:
        ask(before, b"warm")
        proxy.black_hole()
        with connect(proxy) as during:
            for client in (before, during):
                client.sendall(b"lost")
                client.settimeout(_SILENCE_S)
                with pytest.raises(TimeoutError):
                    client.recv(4)
                client.settimeout(_TIMEOUT_S)
            proxy.pass_on()
            assert read_until_reset(before) == b""
            assert read_until_reset(during) == b""
    with connect(proxy) as after:
        assert ask(after, b"again") == b"again"


def test_held_bytes_arrive_late(proxy: Proxy) -> None:
    with connect(proxy) as client:
        ask(client, b"warm")
        proxy.hold()
        client.sendall(b"late")
        client.settimeout(_SILENCE_S)
        with pytest.raises(TimeoutError):
            client.recv(4)
        client.settimeout(_TIMEOUT_S)
        proxy.pass_on()
        assert client.recv(4) == b"late"


def test_resets_what_is_connected_and_takes_new_ones(proxy: Proxy) -> None:
    with connect(proxy) as client:
        ask(client, b"warm")
        proxy.reset()
        assert read_until_reset(client) == b""
    with connect(proxy) as client:
        assert ask(client, b"again") == b"again"


def test_refuses_and_keeps_its_port(proxy: Proxy) -> None:
    with connect(proxy) as client:
        ask(client, b"warm")
        proxy.refuse()
        assert read_until_reset(client) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.pass_on()
    with connect(proxy) as client:
        assert ask(client, b"again") == b"again"


def test_a_server_that_is_gone_resets() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = listener.getsockname()

    def ask_once(through: Proxy) -> None:
        with connect(through) as client:
            client.recv(1)

    # At once, or while it is still connecting.
    with proxied(address) as proxy, pytest.raises(ConnectionResetError):
        ask_once(proxy)


@pytest.mark.parametrize("direction", list(Direction))
def test_cuts_after_so_many_bytes(proxy: Proxy, direction: Direction) -> None:
    with connect(proxy) as client:
        ask(client, b"warm")
        cut = proxy.arm(AfterBytes(6, direction))
        assert ask(client, b"four") == b"four"
        client.sendall(b"more")
        assert read_until_reset(client) in (b"", b"mo")
        assert cut.wait(_TIMEOUT_S)
    with connect(proxy) as client:
        assert ask(client, b"not cut again") == b"not cut again"
    assert cut.count == 1


def test_drops_the_next_reply(proxy: Proxy) -> None:
    with connect(proxy) as client:
        ask(client, b"warm")
        cut = proxy.arm(NextReply())
        client.sendall(b"done, and nobody is told")
        assert read_until_reset(client) == b""
        assert cut.wait(_TIMEOUT_S)


def test_drops_the_reply_to_certain_requests_alone(proxy: Proxy) -> None:
    cut = proxy.arm(NextReply(b"ENQUEUE"))
    with connect(proxy) as client, connect(proxy) as other:
        assert ask(other, b"PING") == b"PING"
        assert ask(client, b"PING") == b"PING"
        client.sendall(b"ENQ")
        assert client.recv(3) == b"ENQ"
        client.sendall(b"UEUE 1")
        assert read_until_reset(client) == b""
        assert ask(other, b"PING") == b"PING"
    assert cut.count == 1


def test_cuts_at_a_pattern_even_across_chunks(proxy: Proxy) -> None:
    cut = proxy.arm(AtPattern(b"COMMIT\0"))
    with connect(proxy) as client:
        assert ask(client, b"INSERT\0") == b"INSERT\0"
        assert ask(client, b"C....COM") == b"C....COM"
        client.sendall(b"MIT\0")
        assert read_until_reset(client) == b""
    assert cut.count == 1


def test_cuts_at_a_pattern_only_after_another(proxy: Proxy) -> None:
    cut = proxy.arm(AtPattern(b"COMMIT\0", after=b"UPDATE", times=2))
    for _ in range(2):
        with connect(proxy) as client:
            assert ask(client, b"SELECT\0COMMIT\0") == b"SELECT\0COMMIT\0"
            assert ask(client, b"UPDA") == b"UPDA"
            assert ask(client, b"TE 3\0") == b"TE 3\0"
            client.sendall(b"COMMIT\0")
            assert read_until_reset(client) == b""
    with connect(proxy) as client:
        assert ask(client, b"UPDATE\0COMMIT\0") == b"UPDATE\0COMMIT\0"
    assert cut.count == 2


def test_a_disarmed_cut_cuts_nothing(proxy: Proxy) -> None:
    cut = proxy.arm(NextReply())
    proxy.disarm(cut)
    with connect(proxy) as client:
        assert ask(client, b"there") == b"there"
    assert cut.count == 0
