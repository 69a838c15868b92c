"""A TCP proxy on the loopback interface that does to connections what networks and crashes do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from enum import Enum, auto
from pathlib import Path
from typing import Any, Self

_HOST = "127.0.0.1"
_CHUNK = 65_536
_START_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_S = 2.0
# Closing with pending data and no linger sends RST, as a crashed peer's kernel does.
_NO_LINGER = struct.pack("ii", 1, 0)


class Direction(Enum):
    """Which way bytes go."""

    # From the client to the server.
    REQUEST = auto()
    # From the server to the client.
    REPLY = auto()


class _Mode(Enum):
    PASS = auto()
    # Bytes are swallowed both ways; the connections are reset when this ends.
    BLACK_HOLE = auto()
    # Bytes wait, and arrive when this ends, as they do when a network heals.
    HOLD = auto()
    REFUSE = auto()


class Cut(ABC):
    """A place in the traffic at which a connection is reset, so many times; then traffic passes again."""

    def __init__(self, times: int = 1) -> None:
        self._left = times
        self._fired = threading.Condition()
        self.count = 0

    @abstractmethod
    def place(self, seen: dict[str, Any], direction: Direction, data: bytes) -> int | None:
        """Return how many of these bytes still pass before the reset; None: no reset here.

        ``seen`` is this cut's own memory of the connection, empty at first.
        """

    @property
    def spent(self) -> bool:
        """True when it has cut as often as it should."""
        return self.count >= self._left

    def fire(self) -> None:
        """Note that it has cut."""
        with self._fired:
            self.count += 1
            self._fired.notify_all()

    def wait(self, timeout_s: float, count: int = 1) -> bool:
        """Wait until it has cut so often; False when it has not within ``timeout_s`` seconds."""
        with self._fired:
            return self._fired.wait_for(lambda: self.count >= count, timeout_s)


class AfterBytes(Cut):
    """Lets so many bytes of a direction pass on a connection, counted from now on, and then cuts it."""

    def __init__(self, count: int, direction: Direction, times: int = 1) -> None:
        super().__init__(times)
        self._count = count
        self._direction = direction

    def place(self, seen: dict[str, Any], direction: Direction, data: bytes) -> int | None:
        """Count down."""
        if direction is not self._direction:
            return None
        left: int = seen.get("left", self._count)
        seen["left"] = left - len(data)
        return left if len(data) >= left else None


class NextReply(Cut):
    """Swallows the reply to the next request, or to the next one with these bytes in it, and cuts the connection."""

    def __init__(self, to: bytes = b"", times: int = 1) -> None:
        super().__init__(times)
        self._to = to

    def place(self, seen: dict[str, Any], direction: Direction, data: bytes) -> int | None:
        """Wait for the request, then for its reply."""
        if direction is Direction.REQUEST:
            window = seen.get("tail", b"") + data
            seen["asked"] = seen.get("asked", False) or self._to in window
            seen["tail"] = window[-len(self._to) :] if self._to else b""
            return None
        return 0 if seen.get("asked", False) else None


class AtPattern(Cut):
    """Cuts just ahead of a pattern; with ``after``, only where that has come since the pattern came last."""

    def __init__(
        self, pattern: bytes, *, after: bytes = b"", direction: Direction = Direction.REPLY, times: int = 1
    ) -> None:
        super().__init__(times)
        self._pattern = pattern
        self._after = after
        self._direction = direction

    def place(self, seen: dict[str, Any], direction: Direction, data: bytes) -> int | None:
        """Look for both, also across two chunks."""
        if direction is not self._direction:
            return None
        tail: bytes = seen.get("tail", b"")
        window = tail + data
        start = 0
        while (found := window.find(self._pattern, start)) >= 0:
            if seen.get("after", False) or self._after in window[start:found]:
                return max(0, found - len(tail))
            start = found + len(self._pattern)
            seen["after"] = False
        seen["after"] = seen.get("after", False) or (bool(self._after) and self._after in window[start:])
        keep = max(len(self._pattern), len(self._after)) - 1
        seen["tail"] = window[start:][-keep:] if keep else b""
        return None


class _Link:
    """One connection of a client, and the one to the server behind it."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.seen: dict[Cut, dict[str, Any]] = {}
        self.swallowed = False

    def reset(self) -> None:
        for writer in self._writers:
            with contextlib.suppress(OSError):
                connection = writer.get_extra_info("socket")
                if connection is not None and connection.family == socket.AF_INET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()


class Proxy:
    """Listens on a port of its own and passes everything on to a server, until told otherwise by any thread."""

    def __init__(self, upstream: Path | tuple[str, int]) -> None:
        self._upstream = upstream
        self._mode = _Mode.PASS
        self._delay_s = 0.0
        self._cuts: list[Cut] = []
        self._links: set[_Link] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        # Bound for as long as the proxy lives, listening or not, so that the port stays its own.
        self._socket = _bound(0)
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen)
        self._open.set()
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_TIMEOUT_S)
        self._loop.close()
        self._socket.close()

    def pass_on(self) -> None:
        """Let everything through; connections that lost bytes are reset."""
        self._delay_s = 0.0
        self._switch(_Mode.PASS)

    def delay(self, seconds: float) -> None:
        """Hold every chunk of bytes back for so long, in both directions."""
        self._delay_s = seconds
        self._switch(_Mode.PASS)

    def black_hole(self) -> None:
        """Accept everything and answer nothing; what is sent meanwhile never arrives."""
        self._switch(_Mode.BLACK_HOLE)

    def hold(self) -> None:
        """Accept everything and answer nothing; what is sent meanwhile arrives when this ends."""
        self._switch(_Mode.HOLD)

    def refuse(self) -> None:
        """Reset all connections and refuse new ones, as the kernel of a server that is gone does."""
        self._switch(_Mode.REFUSE)

    def reset(self) -> None:
        """Reset all connections once; new ones pass."""
        self._run(self._reset_all)

    def arm(self, cut: Cut) -> Cut:
        """Look out for this in the traffic from now on."""
        self._run_now(lambda: self._cuts.append(cut))
        return cut

    def disarm(self, cut: Cut) -> None:
        """Look out for it no longer."""
        self._run_now(lambda: self._cuts.remove(cut) if cut in self._cuts else None)

    @property
    def connections(self) -> int:
        """How many connections go through it now."""
        return len(self._links)

    # From here on in the loop's thread.

    async def _change(self, mode: _Mode) -> None:
        before, self._mode = self._mode, mode
        if mode is _Mode.REFUSE:
            await self._reset_all()
            await self._close_listener()
        elif before is _Mode.REFUSE:
            await self._listen()
        if mode is _Mode.HOLD:
            self._open.clear()
        else:
            self._open.set()
        if before is _Mode.BLACK_HOLE:
            for link in [link for link in self._links if link.swallowed]:
                link.reset()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, sock=self._socket)

    async def _close_listener(self) -> None:
        if self._listener is None:
            return
        # A socket cannot stop listening: it is replaced by one that is bound to the same port.
        self._listener.close()
        self._listener = None
        self._socket.close()
        self._socket = _bound(self.port)

    async def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _end(self) -> None:
        self._mode = _Mode.REFUSE
        if self._listener is not None:
            self._listener.close()
        await self._reset_all()
        self._open.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:
            # The end of the proxy: nobody waits for this task but the proxy itself.
            _Link(writer).reset()
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.wait_for(self._dial(), _CONNECT_TIMEOUT_S)
        except (OSError, TimeoutError):
            _Link(writer).reset()
            return
        link = _Link(writer, server_writer)
        if self._mode is _Mode.REFUSE:
            link.reset()
            return
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(link, Direction.REQUEST, reader, server_writer),
                self._pump(link, Direction.REPLY, server_reader, writer),
            )
        except OSError:
            link.reset()
        finally:
            self._links.discard(link)
            for end in (writer, server_writer):
                end.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection(*self._upstream)

    async def _pump(
        self, link: _Link, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(_CHUNK):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._open.wait()
            if self._mode is _Mode.BLACK_HOLE:
                link.swallowed = True
                continue
            passing = self._until_cut(link, direction, data)
            writer.write(data if passing is None else data[:passing])
            await writer.drain()
            if passing is not None:
                link.reset()
                return
        # One end is gone: so is the other, whatever it had still to say.
        if not link.swallowed and self._mode is not _Mode.BLACK_HOLE:
            writer.close()

    def _until_cut(self, link: _Link, direction: Direction, data: bytes) -> int | None:
        for cut in list(self._cuts):
            passing = cut.place(link.seen.setdefault(cut, {}), direction, data)
            if passing is not None:
                cut.fire()
                if cut.spent:
                    self._cuts.remove(cut)
                return passing
        return None

    # From any thread.

    def _switch(self, mode: _Mode) -> None:
        self._run(lambda: self._change(mode))

    def _run(self, step: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(step(), self._loop).result(_START_TIMEOUT_S)

    def _run_now(self, step: Callable[[], Any]) -> None:
        async def run() -> None:
            step()

        self._run(run)


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((_HOST, port))
    bound.setblocking(False)
    return bound


@contextlib.contextmanager
def proxied(upstream: Path | tuple[str, int]) -> Iterator[Proxy]:
    """Run a proxy for the duration of the block."""
    with Proxy(upstream) as proxy:
        yield proxy
