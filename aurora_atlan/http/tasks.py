"""What a worker does for a request: has the application answer, and sends what it says.

waitress's way, shortened where it looks at everything twice: it was a third of what a booking cost the processor.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from waitress.task import ErrorTask, WSGITask
from waitress.utilities import build_http_date

from aurora_atlan.http.problems import MEDIA_TYPE, render
from aurora_atlan.http.request_ids import HEADER, new_request_id

if TYPE_CHECKING:
    from aurora_atlan.http.channel import Channel

# The Server header.
IDENT = "aurora-atlan"

# The names of a request's headers that have no prefix before them in WSGI.
_UNPREFIXED = frozenset({"CONTENT_LENGTH", "CONTENT_TYPE"})
# As falcon spells it, and as we do.
_CONTENT_LENGTH = frozenset({"content-length", "Content-Length"})

log = logging.getLogger(__name__)


@functools.cache
def _spelled(name: str) -> str:
    # Only our own names come here, so there are few.
    return "-".join(part.capitalize() for part in name.split("-"))


@functools.lru_cache(maxsize=4)
def _date(second: int) -> str:
    return f"Server: {IDENT}\r\nDate: {build_http_date(second)}"


class RequestTask(WSGITask):  # type: ignore[misc]
    """Answers a request; the last one of its connection when the server is stopping."""

    channel: Channel
    complete: bool
    content_length: int | None
    response_headers: list[tuple[str, str]]
    wrote_header: bool

    def start(self) -> None:
        """Begin to answer (waitress)."""
        super().start()
        if self.channel.closing_after_answer:
            self.set_close_on_finish()

    def execute(self) -> None:
        """Have the application answer (waitress)."""
        pieces = self.channel.server.application(self.get_environment(), self._start_response)
        try:
            for piece in pieces:
                self.write(piece)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
        said = self.content_length if self.has_body and self.request.command != "HEAD" else None
        if said is not None and said != self.content_bytes_written:
            # The client would wait for the rest.
            self.set_close_on_finish()

    def get_environment(self) -> dict[str, Any]:
        """Return what the application is told of the request (waitress): PEP 3333's keys, and the target as sent."""
        request = self.request
        environ: dict[str, Any] = self.channel.environ.copy()
        environ["REQUEST_METHOD"] = request.command
        # One slash at the beginning, however many were sent.
        environ["PATH_INFO"] = "/" + request.path.lstrip("/") if request.path.startswith("//") else request.path
        environ["REQUEST_URI"] = request.request_uri
        environ["QUERY_STRING"] = request.query
        environ["SERVER_PROTOCOL"] = "HTTP/" + self.version
        environ["wsgi.url_scheme"] = request.url_scheme
        environ["wsgi.input"] = request.get_body_stream()
        for name, value in request.headers.items():
            environ[name if name in _UNPREFIXED else "HTTP_" + name] = value
        return environ

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        # As PEP 3333 has it. That no header speaks of the connection, waitress would check; ours are our own.
        if exc_info is not None:
            if self.wrote_header:
                raise exc_info[1]
            self.response_headers = []
        elif self.complete:
            raise AssertionError("an answer was begun twice")
        said = status
        for name, value in headers:
            if name in _CONTENT_LENGTH:
                self.content_length = int(value)
            said += name + value
        if "\n" in said or "\r" in said:
            raise ValueError("the head of an answer has a line break in it")
        self.complete = True
        self.status = status
        self.response_headers += headers
        return self.write

    def build_response_header(self) -> bytes:
        """Return the head (waitress, which spells, sorts and dates every answer's headers anew).

        And which ends the connection after a 304, although its end is plain without a length (RFC 9112, section 6.3).
        """
        connection = self.request.headers.get("CONNECTION", "keep-alive")
        usual = self.version == "1.1" and connection.lower() == "keep-alive" and not self.close_on_finish
        if not usual or (self.content_length is None and self.has_body):
            head: bytes = super().build_response_header()
            return head
        lines = [f"{_spelled(name)}: {value}" for name, value in self.response_headers if name not in _CONTENT_LENGTH]
        if self.has_body:
            lines.append(f"Content-Length: {self.content_length}")
        lines += (_date(int(self.start_time)), "", "")
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
