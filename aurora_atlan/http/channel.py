"""waitress's side of a connection, changed where its answers would not be ours, or where it costs too much."""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import sys
import time
from typing import Any

from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.receiver import FixedStreamReceiver

from aurora_atlan.http.tasks import IDENT, RefusalTask, RequestTask

# After a refusal, what the client is still sending is read and thrown away for so long, and so much of it:
# closing with unread bytes resets the connection, and the client may never see why it was refused.
_LINGER_S = 5.0
_LINGER_BYTES_MAX = 16 * 1024 * 1024
_LINGER_READ_BYTES = 64 * 1024


# As most requests begin: an address without a query, and headers in a line each, of printable characters.
_PLAIN_HEAD = re.compile(
    rb"([A-Z]{1,20}) (/[\w.~/-]*) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9-]+: [!-~](?:[ -~]*[!-~])?\r\n)+)\r\n"
)
# Headers that change how the request is read.
_NOT_PLAIN = frozenset({"EXPECT", "TRANSFER_ENCODING"})


@functools.lru_cache(maxsize=500)
def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


class RequestParser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request."""

    expect_continue: bool = False

    def parse_header(self, header_plus: bytes) -> None:
        """Read the first line and the headers (waitress, which takes three times as long for what is plain)."""
        plain = _PLAIN_HEAD.fullmatch(header_plus)
        if plain is None or not self._parse_plain(*plain.groups()):
            self.headers.clear()
            super().parse_header(header_plus)

    def _parse_plain(self, command: bytes, target: bytes, lines: bytes) -> bool:
        headers = self.headers
        for line in lines.decode("ascii").splitlines():
            name, _, value = line.partition(": ")
            headers[_variable(name)] = value
        length = headers.get("CONTENT_LENGTH", "0")
        repeated = len(headers) < lines.count(b"\r\n")
        if repeated or not length.isdigit() or not headers.keys().isdisjoint(_NOT_PLAIN):
            return False
        self.command = command.decode("ascii")
        self.version = "1.1"
        self.request_uri = self.path = target.decode("ascii")
        self.proxy_scheme = self.proxy_netloc = self.query = self.fragment = ""
        self.url_scheme = self.adj.url_scheme
        self.connection_close = headers.get("CONNECTION", "").lower() == "close"
        self.content_length = int(length)
        if self.content_length > 0:
            self.body_rcv = FixedStreamReceiver(self.content_length, OverflowableBuffer(self.adj.inbuf_overflow))
        return True

    def received(self, data: bytes) -> int:
        """Take bytes of the request and return how many of them were its own (waitress)."""
        consumed: int = super().received(data)
        if self.error is not None:
            # waitress would tell the client to send the body all the same.
            self.expect_continue = False
        return consumed


class Channel(HTTPChannel):  # type: ignore[misc]
    """One client's connection."""

    parser_class = RequestParser
    task_class = RequestTask
    error_task_class = RefusalTask

    # Whether the next answer ends the connection.
    closing_after_answer = False
    # When the client was last heard of, by the monotonic clock.
    heard_at = 0.0
    # Whether the client is given time to read the last answer before the connection is closed.
    lingers = False

    # Whether more of what the client sent, or its end, was left unread for the time being.
    _sent_ahead = False
    _lingers_until: float | None = None
    _lingers_bytes_left = _LINGER_BYTES_MAX

    @functools.cached_property
    def environ(self) -> dict[str, Any]:
        """What the application is told of every request of this connection; to be copied."""
        return {
            "REMOTE_ADDR": self.addr[0],
            "REMOTE_HOST": self.addr[0],
            "REMOTE_PORT": str(self.addr[1]),
            "SERVER_PORT": str(self.server.effective_port),
            "SERVER_NAME": self.server.server_name,
            "SERVER_SOFTWARE": IDENT,
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }

    @property
    def nothing_to_answer(self) -> bool:
        """Whether no request waits for its answer or for being read, and no answer for being sent."""
        return not (self.requests or self.total_outbufs_len or self._sent_ahead)

    @property
    def descriptor(self) -> int | None:
        """The socket's descriptor; None once it is closed."""
        descriptor: int | None = self._fileno
        return descriptor

    @property
    def loop_is_due(self) -> bool:
        """Whether a worker left something for the loop to do."""
        return bool(self._sent_ahead or self.total_outbufs_len or self.will_close or self.close_when_flushed)

    def readable(self) -> bool:
        """Tell the loop whether to wait for bytes (waitress, which never does while a request is answered).

        Most clients send nothing before they have their answer, so the loop goes on waiting and need not be told of it.
        """
        if self._lingers_until is not None:
            return True
        ahead = self._sent_ahead and self.requests
        return not (ahead or self.total_outbufs_len or self.will_close or self.close_when_flushed)

    def writable(self) -> bool:
        """Tell the loop whether there is something to send, or to close (waitress)."""
        if self._lingers_until is not None:
            return time.monotonic() >= self._lingers_until or self._lingers_bytes_left <= 0
        return bool(super().writable())

    def service(self) -> None:
        """Answer the oldest request, in a worker (waitress)."""
        working_for = self.server.trigger.working_for
        working_for(self)
        try:
            super().service()
        finally:
            # An idle worker keeps no connection alive.
            working_for(None)

    def write_soon(self, data: Any) -> int:
        """Send a piece of an answer (waitress, which copies it into a buffer first)."""
        with self.outbuf_lock:
            if type(data) is bytes and self.connected and not self.total_outbufs_len:
                try:
                    sent: int = self.send(data, do_close=False)
                except OSError:
                    # Met again below, and dealt with there.
                    sent = 0
                if sent == len(data):
                    return sent
                data = data[sent:]
            written: int = super().write_soon(data)
            return written

    def handle_read(self) -> None:
        """Take bytes (waitress)."""
        self.heard_at = time.monotonic()
        if self._lingers_until is not None:
            self._lingers_bytes_left -= len(self.recv(_LINGER_READ_BYTES))
            return
        # Written by this thread alone. A worker that is done meanwhile either sees it or was seen to be done, when the
        # loop asks next. It buffers before it is done, so what is left of its answer is seen then, too: reading the
        # client's end would throw that away.
        self._sent_ahead = bool(self.requests or self.total_outbufs_len)
        if not self._sent_ahead:
            super().handle_read()

    def handle_write(self) -> None:
        """Send bytes, or close (waitress)."""
        if self._lingers_until is None:
            # A worker may be about to send "100 Continue".
            with self.outbuf_lock:
                super().handle_write()
        else:
            self.handle_close()

    def handle_close(self) -> None:
        """Close the connection, at once or after lingering (waitress)."""
        if self.lingers and self.connected and not self.total_outbufs_len:
            self.lingers = False
            self._lingers_until = time.monotonic() + _LINGER_S
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                return
        super().handle_close()
