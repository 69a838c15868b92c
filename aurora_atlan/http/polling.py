"""Waits for a listener's sockets, asking only those that may have changed their mind what they wait for.

waitress asks every connection twice in each turn of its loop, and registers all of them anew: with some dozens
of busy connections that is a tenth of a server's time.
"""

from __future__ import annotations

import select
import time
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Protocol

from waitress import wasyncore
from waitress.trigger import trigger

# All are asked this often, for what changes with time alone: connections that have been idle for too long.
_ASK_ALL_S = 0.5


class Sockets(dict[int, Any]):
    """A waitress map, from descriptors to what handles them, that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._poll = select.poll()
        # What is registered, by descriptor.
        self._watched: dict[int, int] = {}
        # To be asked again; None: all of them. Appended to by any thread.
        self._changed: deque[int | None] = deque()
        self._ask_all_at = 0.0
        # Whether it accepts more connections depends on how many there are.
        self._listening: int | None = None

    def __setitem__(self, descriptor: int, handler: Any) -> None:
        """Add a socket (waitress)."""
        super().__setitem__(descriptor, handler)
        self._changed.append(descriptor)

    def __delitem__(self, descriptor: int) -> None:
        """Remove a socket that is about to be closed (waitress)."""
        super().__delitem__(descriptor)
        self._unwatch(descriptor)
        if self._listening is not None:
            self._changed.append(self._listening)

    def changed(self, descriptor: int | None) -> None:
        """Have a socket asked again in the next turn, or with None all of them."""
        self._changed.append(descriptor)

    def turn(self, timeout_s: float) -> None:
        """Wait until something happens, for up to ``timeout_s``, and have it handled; called by one thread."""
        now = time.monotonic()
        if now >= self._ask_all_at:
            self._ask_all_at = now + _ASK_ALL_S
            self._changed.append(None)
        while self._changed:
            descriptor = self._changed.popleft()
            for each in list(self) if descriptor is None else (descriptor,):
                self._ask(each)
        for descriptor, events in self._poll.poll(min(timeout_s, _ASK_ALL_S) * 1000):
            handler = self.get(descriptor)
            if handler is None:
                # A worker removed it while it was being asked.
                self._unwatch(descriptor)
            else:
                wasyncore.readwrite(handler, events)
                self._changed.append(descriptor)

    def _ask(self, descriptor: int) -> None:
        handler = self.get(descriptor)
        if handler is not None:
            # Not for urgent bytes, as waitress does: nobody reads those, so they would wake the loop over and over.
            wanted = select.POLLIN if handler.readable() else 0
            if handler.accepting:
                self._listening = descriptor
            elif handler.writable():
                wanted |= select.POLLOUT
            self._watch(descriptor, wanted)

    def _watch(self, descriptor: int, wanted: int) -> None:
        if not wanted:
            self._unwatch(descriptor)
        elif wanted != self._watched.get(descriptor):
            self._watched[descriptor] = wanted
            self._poll.register(descriptor, wanted)

    def _unwatch(self, descriptor: int) -> None:
        self._watched.pop(descriptor, None)
        with suppress(KeyError):
            self._poll.unregister(descriptor)


class Served(Protocol):
    """A connection that a worker serves."""

    @property
    def descriptor(self) -> int | None:
        """Its descriptor; None once it is closed."""

    @property
    def loop_is_due(self) -> bool:
        """Whether the loop is to wait for something else than it does."""


class WakeUp(trigger):  # type: ignore[misc]
    """The pipe by which workers wake the loop; one byte is enough for all who write before it is read."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__(sockets)
        self._sockets = sockets
        self._pulled = False
        # The connection that a worker serves, in each thread its own.
        self._served: ContextVar[Served | None] = ContextVar("served", default=None)

    def working_for(self, served: Served | None) -> None:
        """Note whose state it is that this thread changes from now on; None: nobody's alone."""
        self._served.set(served)

    def pull_trigger(self, thunk: Any = None) -> None:
        """Have what this worker works for asked again, and wake the loop if need be (waitress, which always writes)."""
        served = self._served.get()
        if served is not None:
            if not served.loop_is_due:
                return
            self._sockets.changed(served.descriptor)
        else:
            self._sockets.changed(None)
        if thunk is not None or not self._pulled:
            self._pulled = True
            super().pull_trigger(thunk)

    def handle_read(self) -> None:
        """Take the byte (waitress)."""
        super().handle_read()
        # After reading, or a byte that came meanwhile would be read, too, and nobody write another. Whoever still
        # found it True has said before what changed, and the next turn asks.
        self._pulled = False
