"""waitress's side of a connection, changed where its answers would not be ours."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import time

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import build_http_date

from aurora_atlan.http.problems import MEDIA_TYPE, render
from aurora_atlan.http.request_ids import HEADER, new_request_id

# The Server header.
IDENT = "aurora-atlan"

log = logging.getLogger(__name__)

# After a refusal, what the client is still sending is read and thrown away for so long, and so much of it:
# closing with unread bytes resets the connection, and the client may never see why it was refused.
_LINGER_S = 5.0
_LINGER_BYTES_MAX = 16 * 1024 * 1024
_LINGER_READ_BYTES = 64 * 1024


@functools.cache
def _spelled(name: str) -> str:
    # Only our own names come here, so there are few.
    return "-".join(part.capitalize() for part in name.split("-"))


@functools.lru_cache(maxsize=4)
def _date(second: int) -> str:
    return f"Server: {IDENT}\r\nDate: {build_http_date(second)}"


class RequestParser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request."""

    expect_continue: bool = False

    def received(self, data: bytes) -> int:
        """Take bytes of the request and return how many of them were its own (waitress)."""
        consumed: int = super().received(data)
        if self.error is not None:
            # waitress would tell the client to send the body all the same.
            self.expect_continue = False
        return consumed


class RequestTask(WSGITask):  # type: ignore[misc]
    """Answers a request; the last one of its connection when the server is stopping."""

    wrote_header: bool

    def start(self) -> None:
        """Begin to answer (waitress)."""
        super().start()
        if self.channel.closing_after_answer:
            self.set_close_on_finish()

    def build_response_header(self) -> bytes:
        """Return the head (waitress, which spells, sorts and dates every answer's headers anew)."""
        connection = self.request.headers.get("CONNECTION", "keep-alive")
        usual = self.version == "1.1" and connection.lower() == "keep-alive" and not self.close_on_finish
        if not usual or self.content_length is None or not self.has_body:
            head: bytes = super().build_response_header()
            return head
        headers = [(_spelled(name), value) for name, value in self.response_headers]
        lines = [f"{name}: {value}" for name, value in headers if name != "Content-Length"]
        lines += (f"Content-Length: {self.content_length}", _date(int(self.start_time)), "", "")
        return "\r\n".join((f"HTTP/1.1 {self.status}", *lines)).encode("latin-1")

    def write(self, data: bytes) -> None:
        """Write a piece of the body (waitress, which would send the head by itself, in a packet of its own)."""
        whole = self.complete and not self.wrote_header and self.has_body and self.content_length == len(data)
        if not whole:
            super().write(data)
            return
        head = self.build_response_header()
        self.wrote_header = True
        self.content_bytes_written = len(data)
        self.channel.write_soon(head + data)


class RefusalTask(ErrorTask):  # type: ignore[misc]
    """Answers what waitress refuses, or what escaped the application, with problem details."""

    def execute(self) -> None:
        """Write the answer (waitress)."""
        error = self.request.error
        request_id = new_request_id()
        log.info("%d for a request that never reached the application (%s)", error.code, request_id)
        body = render(error.code, request_id=request_id)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend(
            [
                ("Content-Type", MEDIA_TYPE),
                ("Cache-Control", "private, no-store"),
                ("X-Content-Type-Options", "nosniff"),
                (HEADER, request_id),
            ]
        )
        self.set_close_on_finish()
        self.channel.lingers = True
        self.content_length = len(body)
        self.write(body)


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

    _lingers_until: float | None = None
    _lingers_bytes_left = _LINGER_BYTES_MAX

    @property
    def nothing_to_answer(self) -> bool:
        """Whether no complete request waits for its answer, or an answer for being sent."""
        return not self.requests and not self.total_outbufs_len

    def readable(self) -> bool:
        """Tell the loop whether to wait for bytes (waitress)."""
        return self._lingers_until is not None or bool(super().readable())

    def writable(self) -> bool:
        """Tell the loop whether there is something to send, or to close (waitress)."""
        if self._lingers_until is not None:
            return time.monotonic() >= self._lingers_until or self._lingers_bytes_left <= 0
        return bool(super().writable())

    def service(self) -> None:
        """Answer the oldest request, in a worker (waitress)."""
        self.server.trigger.working_for(self._fileno)
        super().service()

    def handle_read(self) -> None:
        """Take bytes (waitress)."""
        self.heard_at = time.monotonic()
        if self._lingers_until is None:
            super().handle_read()
        else:
            self._lingers_bytes_left -= len(self.recv(_LINGER_READ_BYTES))

    def handle_write(self) -> None:
        """Send bytes, or close (waitress)."""
        if self._lingers_until is None:
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
