"""Posts to a webhook's URL: to an address that was checked, for so long and no longer, reading only so much.

http.client speaks HTTP; what is here is the line that it speaks over.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from aurora_atlan.actors.webhook_addresses import IPAddress, RefusedAddressError, WebhookUrl

# One attempt, from connecting to the answer's status. Resolving the name has the limits of the system's resolver.
POST_WITHIN_S = 10.0
# Of that one address may take so much, so that there is time for the next.
_CONNECT_WITHIN_S = 3.0
# How often whoever waits looks whether he is cut.
_LOOK_S = 0.25
# Headers included; more is not read.
_ANSWER_BYTES_MAX = 65_536
_ERROR_LENGTH_MAX = 200

T = TypeVar("T")


class PostError(Exception):
    """There was no answer; the message says why, for administrators to read."""


class WebhookClient:
    """One after the other, posts to one URL, over one connection while the other side keeps it.

    A redirect is an answer like any other: it is not followed.
    """

    def __init__(self, url: WebhookUrl, trust: ssl.SSLContext, *, private: bool) -> None:
        self._line = _Line(url, trust, private=private)
        self._target = url.target

    def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Return the status of the answer; raises :class:`PostError`."""
        line = self._line
        line.deadline = time.monotonic() + POST_WITHIN_S
        try:
            line.request("POST", self._target, body, dict(headers))
            answer = line.getresponse()
            if not answer.will_close:
                _skip_body(line, answer)
            return answer.status
        except (RefusedAddressError, OSError, http.client.HTTPException) as error:
            line.close()
            raise PostError(_sentence(error)) from error

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def abort(self) -> None:
        """Make the post under way in another thread fail soon, and every other.

        While it resolves the name or connects, it fails when that is over.
        """
        self._line.is_cut = True


class _Line(http.client.HTTPConnection):
    """A connection of http.client's whose every step ends at ``deadline``, on the monotonic clock."""

    def __init__(self, url: WebhookUrl, trust: ssl.SSLContext, *, private: bool) -> None:
        super().__init__(url.host, url.port)
        # Left out of the Host header.
        self.default_port = 443 if url.tls else 80
        self._url = url
        self._trust = trust
        self._private = private
        self.deadline = 0.0
        # Looked at by the thread that waits: shutting its socket down from another is a race over descriptors.
        self.is_cut = False

    def connect(self) -> None:
        """Connect to the first address of the host that takes it; called by http.client when there is no line."""
        failed: OSError = OSError("the name has no address")
        for address in self._url.resolve(private=self._private):
            try:
                self.sock: Any = _LimitedSocket(self._connected(address), self)
                return
            except ssl.SSLError:
                # Whoever is there is not who was meant, or not to be spoken with.
                raise
            except OSError as error:
                failed = error
        raise failed

    def left_s(self) -> float:
        """Return how much time there is; raises TimeoutError when there is none."""
        left_s = self.deadline - time.monotonic()
        if left_s <= 0 or self.is_cut:
            raise TimeoutError
        return left_s

    def wait(self, line: socket.socket, step: Callable[[], T]) -> T:
        """Take a step that waits for the other side and may be taken again; raises TimeoutError when time is over."""
        while True:
            line.settimeout(min(_LOOK_S, self.left_s()))
            with suppress(TimeoutError):
                return step()

    def _connected(self, address: IPAddress) -> socket.socket:
        line = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.settimeout(min(_CONNECT_WITHIN_S, self.left_s()))
            line.connect((str(address), self._url.port))
            if not self._url.tls:
                return line
            line = secured = self._trust.wrap_socket(
                line, server_hostname=self._url.host, do_handshake_on_connect=False
            )
            self.wait(secured, secured.do_handshake)
            return secured
        except BaseException:
            line.close()
            raise


class _LimitedSocket:
    """What http.client needs of a socket, within the line's time."""

    def __init__(self, line: socket.socket, limits: _Line) -> None:
        self._line = line
        self._limits = limits

    def sendall(self, data: bytes) -> None:
        self._line.settimeout(self._limits.left_s())
        self._line.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Answer(self._line, self._limits))

    def close(self) -> None:
        self._line.close()


class _Answer(io.RawIOBase):
    """What comes over the line for one request, which ends after so many bytes."""

    def __init__(self, line: socket.socket, limits: _Line) -> None:
        super().__init__()
        self._line = line
        self._limits = limits
        self._bytes_left = _ANSWER_BYTES_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer)[: self._bytes_left]
        if not room:
            return 0
        read = self._limits.wait(self._line, lambda: self._line.recv_into(room))
        self._bytes_left -= read
        return read


def _skip_body(line: _Line, answer: http.client.HTTPResponse) -> None:
    # The status is the answer. A body that is too long, too slow or broken costs the line, no more.
    try:
        answer.read()
    except (OSError, http.client.HTTPException):
        line.close()


def _sentence(error: Exception) -> str:
    match error:
        case TimeoutError():
            sentence = "no answer in time"
        case ssl.SSLCertVerificationError():
            sentence = f"its certificate is not good: {error.verify_message}"
        case socket.gaierror():
            sentence = "its name cannot be resolved"
        case RefusedAddressError():
            sentence = str(error)
        case http.client.HTTPException():
            # Its words quote what the other side said.
            sentence = f"no valid HTTP ({type(error).__name__})"
        case OSError():
            sentence = error.strerror or type(error).__name__
        case _:
            sentence = type(error).__name__
    return sentence[:_ERROR_LENGTH_MAX]
