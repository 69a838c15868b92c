"""The HTTP server: the API on one listener, the operators' endpoints on another that is never full."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from aurora_atlan.config import Settings
from aurora_atlan.http.app import create_app, create_ops_app
from aurora_atlan.http.bookings import is_booking
from aurora_atlan.http.listener import Listener
from aurora_atlan.http.listening import ListenError, bind
from aurora_atlan.http.metrics import RequestMetrics

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor

__all__ = ["ListenError", "Server"]

_OPS_THREADS = 2
_OPS_STOP_S = 1.0


class Server:
    """Serves a supervisor over HTTP, in threads of its own; touches no signal, no logger and no global state.

    The supervisor is started and stopped by the caller: before this starts, after this stopped.
    """

    def __init__(self, supervisor: Supervisor, settings: Settings) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._main: Listener | None = None
        self._ops: Listener | None = None
        self._started = False
        self._stopped = False
        self._draining = threading.Event()
        # One of bind, start and stop at a time; a second stop waits for the first.
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """The API's port, the real one when 0 was asked for; once bound."""
        if self._main is None:
            raise RuntimeError("the server is not bound")
        return self._main.port

    @property
    def ops_port(self) -> int | None:
        """The operators' port, None when it is switched off; once bound."""
        return None if self._ops is None else self._ops.port

    def bind(self) -> None:
        """Take the ports, without listening yet; raises :class:`ListenError` when one cannot be had.

        Called by :meth:`start`, unless one wants to know before starting anything else.
        """
        with self._lock:
            self._bind()

    def start(self) -> None:
        """Bind, if that is not done yet, and serve; returns at once. Raises :class:`ListenError`."""
        with self._lock:
            if self._started or self._stopped:
                raise RuntimeError("a server is started once")
            self._bind()
            self._started = True
            for listener in self._listeners():
                listener.start()

    def stop(self, timeout_s: float = 20.0) -> None:
        """Stop serving; idempotent, and safe to call from several threads.

        ``/readyz`` turns to 503, no new connection is taken, requests already sent are answered and their
        connections closed; those unanswered after ``timeout_s`` are cut off. The operators' listener goes last.
        """
        self._draining.set()
        # Whoever waits for an outcome is told how it stands.
        self._supervisor.notices.ring_all()
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            for listener in self._listeners():
                if self._started:
                    listener.stop(timeout_s if listener is self._main else _OPS_STOP_S)
                else:
                    listener.abandon()

    def _bind(self) -> None:
        if self._main is not None:
            return
        settings = self._settings
        # The applications first: what is wrong with the settings shows before a port is taken.
        requests = RequestMetrics() if settings.metrics else None
        app = create_app(self._supervisor, self._draining.is_set, requests)
        bound = bind(settings.host, settings.port, setting="PORT")
        proxy = None if settings.trusted_proxy is None else (settings.trusted_proxy, settings.trusted_proxy_count)
        bookings = (is_booking, settings.booking_threads)
        main = Listener("aurora-http", app, bound, settings.threads, apart=bookings, proxy=proxy)
        if settings.ops_port is not None:
            try:
                bound = bind(settings.ops_host, settings.ops_port, setting="AURORA_OPS_PORT")
            except ListenError:
                main.abandon()
                raise
            app = create_ops_app(self._supervisor, self._draining.is_set, requests)
            self._ops = Listener("aurora-ops", app, bound, _OPS_THREADS)
        self._main = main

    def _listeners(self) -> list[Listener]:
        return [listener for listener in (self._main, self._ops) if listener is not None]
