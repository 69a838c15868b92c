"""One listening socket with its connections, its loop and its workers."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import waitress
from waitress import wasyncore

from aurora_atlan.http.bodies import BODY_BYTES_MAX
from aurora_atlan.http.channel import Channel
from aurora_atlan.http.polling import Sockets, WakeUp
from aurora_atlan.http.tasks import IDENT
from aurora_atlan.http.workers import Workers

_HEADER_BYTES_MAX = 16 * 1024
# Below 1,024 descriptors, the usual limit of a process, with room for the stores' connections.
_CONNECTIONS_MAX = 800
_CHANNEL_TIMEOUT_S = 30
_CLEANUP_INTERVAL_S = 5
_BACKLOG = 1024
# When stopping, a connection with nothing to answer is closed once it was quiet for so long: a request that
# is on its way still counts as asked.
_IDLE_GRACE_S = 0.3
_HALF_SENT_GRACE_S = 2.0
_POLL_S = 1.0
_STOPPING_POLL_S = 0.02

log = logging.getLogger(__name__)


class Listener:
    """Serves one WSGI application on one bound socket from :meth:`start` to :meth:`stop`, each called once.

    ``apart`` are the requests that have threads of their own; see :class:`Workers`. Of ``proxy``, an address or ``*``,
    and so many proxies behind it, X-Forwarded-For is believed.
    """

    def __init__(
        self,
        name: str,
        app: Callable[[dict[str, Any], Any], Iterable[bytes]],
        bound: socket.socket,
        threads: int,
        *,
        apart: tuple[Callable[[str, str], bool], int] | None = None,
        proxy: tuple[str, int] | None = None,
    ) -> None:
        self._name = name
        self.port: int = bound.getsockname()[1]
        self._app = app
        self._bound = bound
        self._threads = threads
        self._apart = apart
        self._proxy = proxy
        self._sockets = Sockets()
        self._stop_began_at = 0.0
        self._stop_at: float | None = None
        # No connection is left, or the time for them is over; the loop goes on to take the workers' wake-ups.
        self._drained = threading.Event()
        self._may_end = threading.Event()
        self._loop = threading.Thread(target=self._run, name=f"{name}-io", daemon=True)

    def start(self) -> None:
        """Listen, and serve in threads of our own."""
        self._workers = Workers(self._name, self._threads, self._apart)
        # Without a proxy nobody reads what one would say, so it need not be taken out of every request.
        proxy: dict[str, Any] = {"clear_untrusted_proxy_headers": self._proxy is not None}
        if self._proxy is not None:
            proxy["trusted_proxy"], proxy["trusted_proxy_count"] = self._proxy
            proxy["trusted_proxy_headers"] = {"x-forwarded-for"}
        self._server = waitress.create_server(
            self._app,
            map=self._sockets,
            _dispatcher=self._workers,
            sockets=[self._bound],
            backlog=_BACKLOG,
            connection_limit=_CONNECTIONS_MAX,
            channel_timeout=_CHANNEL_TIMEOUT_S,
            cleanup_interval=_CLEANUP_INTERVAL_S,
            # waitress refuses at the limit itself, too.
            max_request_body_size=BODY_BYTES_MAX + 1,
            max_request_header_size=_HEADER_BYTES_MAX,
            log_socket_errors=False,
            ident=IDENT,
            **proxy,
        )
        self._server.channel_class = Channel
        self._server.trigger.close()
        self._server.trigger = WakeUp(self._sockets)
        self._loop.start()

    def stop(self, timeout_s: float) -> None:
        """Stop listening, answer what was asked, close everything; returns with no thread or descriptor left.

        Requests still unanswered after ``timeout_s`` are cut off.
        """
        deadline = time.monotonic() + timeout_s
        self._stop_began_at = time.monotonic()
        self._stop_at = deadline
        self._server.pull_trigger()
        self._drained.wait(timeout_s + 1.0)
        # Workers pull the trigger after an answer, so it outlives them.
        self._workers.join(max(0.1, deadline - time.monotonic()))
        self._may_end.set()
        self._loop.join(5.0)

    def abandon(self) -> None:
        """Close the socket of a listener that was never started."""
        self._bound.close()

    def _run(self) -> None:
        listening = True
        while not self._may_end.is_set():
            stopping = self._stop_at is not None
            try:
                if stopping:
                    self._sockets.changed(None)
                # The trigger wakes the loop up to stop, but must not be touched any more once it may end.
                self._sockets.turn(_STOPPING_POLL_S if stopping else _POLL_S)
                if stopping and listening:
                    listening = False
                    self._stop_listening()
                if stopping and not self._drained.is_set():
                    self._drain()
            except BaseException:
                # Without this loop no request is answered, nor the stop.
                log.exception("%s: the I/O loop goes on after an error", self._name)
                time.sleep(0.01)
        wasyncore.close_all(self._sockets)

    def _stop_listening(self) -> None:
        # Connections that the kernel has accepted already would be reset with the socket.
        connections = -1
        while connections != len(self._server.active_channels):
            connections = len(self._server.active_channels)
            self._server.handle_accept()
        wasyncore.dispatcher.close(self._server)

    def _drain(self) -> None:
        assert self._stop_at is not None
        now = time.monotonic()
        for channel in list(self._server.active_channels.values()):
            channel.closing_after_answer = True
            quiet_s = now - max(channel.heard_at, self._stop_began_at)
            grace_s = _IDLE_GRACE_S if channel.request is None else _HALF_SENT_GRACE_S
            if now >= self._stop_at or (channel.nothing_to_answer and quiet_s >= grace_s):
                channel.handle_close()
        if not self._server.active_channels:
            self._drained.set()
