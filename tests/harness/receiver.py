"""A receiver of webhooks: a real HTTPS server with a certificate of its own making."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    # Which connection it came over.
    peer: tuple[str, int]

    @property
    def message(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def entry(self) -> tuple[int, int]:
        """The ledger's entry that it tells of: event and number."""
        data = self.message["data"]
        return data["eventId"], data["entryNumber"]


Answer = Callable[[BaseHTTPRequestHandler, Received], None]


def with_status(status: int, **headers: str) -> Answer:
    """Answer with this status and an empty body."""

    def answer(handler: BaseHTTPRequestHandler, _received: Received) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


class Receiver:
    """Keeps what comes, and answers as :attr:`answer` says, 204 at first."""

    def __init__(self, authority: trustme.CA, *, tls: bool = True, name: str = "localhost") -> None:
        self.received: list[Received] = []
        self.answer = with_status(204)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
            # The handshake in the request's thread, or one who says nothing holds up all others.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"http{'s' if tls else ''}://localhost:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def entries(self) -> list[tuple[int, int]]:
        """The ledger's entries it was told of, as they came."""
        with self._lock:
            return [received.entry for received in self.received]

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        """Receive for the duration of the block."""
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                host, port = self.client_address[:2]
                received = Received(self.path, dict(self.headers), body, (str(host), int(port)))
                with receiver._lock:
                    receiver.received.append(received)
                receiver.answer(self, received)

            def handle(self) -> None:
                # Whoever is cut off, or does not trust us, hangs up.
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True

            def finish(self) -> None:
                try:
                    super().finish()
                except OSError:
                    self.close_connection = True

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        return Handler
