"""The listener's loop: asks those that may have changed, and loses no wake-up."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from aurora_atlan.http import polling
from aurora_atlan.http.polling import Sockets, WakeUp


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class _Handler:
    """One end of a connection, as waitress has them: says what it waits for, and notes what happened to it."""

    accepting = False
    connected = True

    # As a worker left it.
    loop_is_due = True

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.descriptor = end.fileno()
        self.wants_to_write = False
        self.asked = 0
        self.events: list[str] = []

    def readable(self) -> bool:
        self.asked += 1
        return True

    def writable(self) -> bool:
        return self.wants_to_write

    def handle_read_event(self) -> None:
        self.events.append("read " + self.end.recv(100).decode())

    def handle_write_event(self) -> None:
        self.events.append("write")
        self.wants_to_write = False

    def handle_expt_event(self) -> None:
        self.events.append("urgent")

    def handle_close(self) -> None:
        self.events.append("close")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(polling, "time", clock)
    return clock


@pytest.fixture
def sockets(clock: _Clock) -> Sockets:
    return Sockets()


@pytest.fixture
def wake_up(sockets: Sockets) -> Iterator[WakeUp]:
    wake_up = WakeUp(sockets)
    yield wake_up
    wake_up.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def _handled(sockets: Sockets, ours: socket.socket) -> _Handler:
    handler = _Handler(ours)
    sockets[ours.fileno()] = handler
    return handler


def _in_a_thread(work: object) -> None:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    thread.join()


def test_a_listener_that_was_full_is_asked_when_a_connection_goes(
    sockets: Sockets, ends: tuple[socket.socket, socket.socket]
) -> None:
    """It takes the next one at once."""
    listening, (ours, _) = socket.create_server(("127.0.0.1", 0)), ends
    listener = _handled(sockets, listening)
    listener.accepting = True
    _handled(sockets, ours)
    sockets.turn(0.0)
    asked = listener.asked

    del sockets[ours.fileno()]
    sockets.turn(0.0)

    assert listener.asked == asked + 1
    listening.close()


def test_what_arrives_is_handled(sockets: Sockets, ends: tuple[socket.socket, socket.socket]) -> None:
    """A socket is waited for from the turn after it was added."""
    ours, theirs = ends
    handler = _handled(sockets, ours)
    theirs.send(b"hello")

    sockets.turn(5.0)

    assert handler.events == ["read hello"]


def test_a_socket_whose_state_is_the_same_is_not_asked_again(
    sockets: Sockets, ends: tuple[socket.socket, socket.socket], clock: _Clock
) -> None:
    """Not by turns in which nothing happens to it; but now and then all are asked, for what time alone changes."""
    handler = _handled(sockets, ends[0])
    sockets.turn(0.0)
    asked = handler.asked

    sockets.turn(0.0)
    assert handler.asked == asked
    clock.now += 1.0
    sockets.turn(0.0)
    assert handler.asked == asked + 1


def test_a_socket_that_something_happened_to_is_asked_again(
    sockets: Sockets, ends: tuple[socket.socket, socket.socket]
) -> None:
    """Handling may change what it waits for: here it wants to write, and once it has it does not."""
    ours, theirs = ends
    handler = _handled(sockets, ours)
    handler.wants_to_write = True

    sockets.turn(5.0)
    theirs.send(b"more")
    sockets.turn(5.0)
    sockets.turn(0.0)

    assert handler.events == ["write", "read more"]


def test_a_removed_socket_is_forgotten_even_if_its_number_comes_back(sockets: Sockets) -> None:
    """The system gives a closed descriptor's number to the next connection."""
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    _handled(sockets, ours).wants_to_write = True
    sockets.turn(0.0)
    del sockets[number]
    ours.close()
    theirs.close()
    # A closed descriptor that is still waited for would be reported at once, over and over.
    assert not sockets._poll.poll(0)

    first, second = socket.socketpair()
    assert first.fileno() == number
    handler = _handled(sockets, first)
    second.send(b"hello")
    sockets.turn(5.0)
    del sockets[number]
    first.close()
    second.close()

    assert handler.events == ["read hello"]


def test_a_worker_has_the_socket_asked_that_it_works_for(
    sockets: Sockets, wake_up: WakeUp, ends: tuple[socket.socket, socket.socket]
) -> None:
    """And the loop wakes up for it."""
    ours, _ = ends
    handler = _handled(sockets, ours)
    sockets.turn(0.0)
    asked = handler.asked

    def work() -> None:
        wake_up.working_for(handler)
        handler.wants_to_write = True
        wake_up.pull_trigger()

    _in_a_thread(work)
    sockets.turn(5.0)

    assert handler.asked > asked
    assert handler.events == ["write"]


def test_a_worker_that_left_nothing_to_do_lets_the_loop_sleep(
    sockets: Sockets, wake_up: WakeUp, ends: tuple[socket.socket, socket.socket]
) -> None:
    """Most answers are sent by the worker itself, and the loop waits for the next request all along."""
    handler = _handled(sockets, ends[0])
    handler.loop_is_due = False
    sockets.turn(0.0)
    asked = handler.asked

    def work() -> None:
        wake_up.working_for(handler)
        wake_up.pull_trigger()

    _in_a_thread(work)

    assert not select.select([wake_up.socket.fileno()], [], [], 0.0)[0]
    sockets.turn(0.0)
    assert handler.asked == asked


def test_whoever_works_for_none_has_all_of_them_asked(
    sockets: Sockets, wake_up: WakeUp, ends: tuple[socket.socket, socket.socket]
) -> None:
    """So a stop of the server reaches every connection."""
    handler = _handled(sockets, ends[0])
    sockets.turn(0.0)
    asked = handler.asked

    wake_up.pull_trigger()
    sockets.turn(0.0)

    assert handler.asked == asked + 1


def test_one_byte_wakes_the_loop_for_all_who_pull(sockets: Sockets, wake_up: WakeUp) -> None:
    """The next byte is written only when this one was read."""
    for _ in range(3):
        wake_up.pull_trigger()
    assert os.read(wake_up.socket.fileno(), 100) == b"x"
    wake_up.pull_trigger()

    assert not select.select([wake_up.socket.fileno()], [], [], 0.0)[0]


def test_whoever_pulls_while_the_byte_is_read_is_not_forgotten(
    sockets: Sockets,
    wake_up: WakeUp,
    ends: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between reading and noting it, another worker finds the loop as good as awake, and so it is."""
    ours, _ = ends
    handler = _handled(sockets, ours)
    read = wake_up.recv

    def work() -> None:
        wake_up.working_for(handler)
        handler.wants_to_write = True
        wake_up.pull_trigger()

    def read_and_lose_the_processor(count: int) -> bytes:
        _in_a_thread(work)
        data: bytes = read(count)
        _in_a_thread(work)
        return data

    monkeypatch.setattr(wake_up, "recv", read_and_lose_the_processor)
    sockets.turn(0.0)
    wake_up.pull_trigger()
    sockets.turn(5.0)
    monkeypatch.undo()
    sockets.turn(5.0)

    assert handler.events == ["write"]
    # And the next one writes a byte again.
    wake_up.pull_trigger()
    assert select.select([wake_up.socket.fileno()], [], [], 0.0)[0]


def test_no_wake_up_is_lost_among_many_workers(sockets: Sockets, wake_up: WakeUp) -> None:
    """Each of eight workers waits for the loop to ask its socket before it goes on, a thousand times."""
    rounds, pairs = 1000, [socket.socketpair() for _ in range(8)]
    handlers = [_handled(sockets, ours) for ours, _ in pairs]
    left = [rounds] * len(pairs)
    deadline = time.monotonic() + 20.0

    def work(which: int) -> None:
        wake_up.working_for(handlers[which])
        for _ in range(rounds):
            seen = handlers[which].asked
            wake_up.pull_trigger()
            while handlers[which].asked == seen and time.monotonic() < deadline:
                os.sched_yield()
            left[which] -= 1

    workers = [threading.Thread(target=work, args=(which,), daemon=True) for which in range(len(pairs))]
    for worker in workers:
        worker.start()
    # The clock stands still, so that nobody is asked just because time has passed.
    while any(left) and time.monotonic() < deadline:
        sockets.turn(5.0)
    for worker in workers:
        worker.join(5.0)
    for ours, theirs in pairs:
        del sockets[ours.fileno()]
        ours.close()
        theirs.close()

    assert left == [0] * len(pairs)
