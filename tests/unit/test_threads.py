"""Threads that are used again."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from aurora_atlan.actors import threads as module
from aurora_atlan.actors.threads import Threads
from harness_sales import wait_until

_PATIENCE_S = 5.0


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Threads, closed in the end."""
    made = Threads("tested")
    yield made
    made.close(time.monotonic() + _PATIENCE_S)
    assert not _alive()


def test_a_thread_that_fell_idle_is_used_again(threads: Threads) -> None:
    """And calls that overlap have one each."""
    ran: list[threading.Thread] = []
    for _ in range(20):
        _run(threads, ran)
        wait_until(lambda: len(threads._idle) == 1, _PATIENCE_S, "it is idle")
    assert len(set(ran)) == 1

    overlapping: list[threading.Thread] = []
    barrier = threading.Barrier(9)

    def overlap() -> None:
        overlapping.append(threading.current_thread())
        barrier.wait(_PATIENCE_S)

    for _ in range(8):
        threads.run(overlap)
    barrier.wait(_PATIENCE_S)
    assert len(set(overlapping)) == 8


def test_a_call_that_fails_leaves_a_thread_that_goes_on(threads: Threads, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever was raised is logged."""
    ran: list[threading.Thread] = []

    def fail() -> None:
        ran.append(threading.current_thread())
        raise SystemExit("no")

    threads.run(fail)
    wait_until(lambda: threads._idle, _PATIENCE_S, "it is idle")
    _run(threads, ran)

    assert ran[0] is ran[1]
    assert "SystemExit: no" in caplog.text


def test_an_idle_thread_keeps_nothing_alive(threads: Threads) -> None:
    """What it ran may be large."""

    class Large:
        def run(self) -> None:
            pass

    large = Large()
    gone = weakref.ref(large)
    threads.run(large.run)
    wait_until(lambda: threads._idle, _PATIENCE_S, "it is idle")
    del large

    wait_until(lambda: gone() is None, _PATIENCE_S, "nobody holds it")


def test_a_thread_that_is_idle_for_long_ends(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next call has another."""
    monkeypatch.setattr(module, "_IDLE_S", 0.01)
    ran: list[threading.Thread] = []
    _run(threads, ran)
    wait_until(lambda: not _alive(), _PATIENCE_S, "it has ended")

    _run(threads, ran)

    assert ran[0] is not ran[1]


def test_a_call_that_comes_when_its_thread_gives_up_is_not_lost(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread has waited for long enough, and is given a call before it says so."""
    monkeypatch.setattr(module, "_IDLE_S", 0.001)
    gives_up = threads._waited_long
    late: list[threading.Thread] = []
    done = threading.Event()

    def waited_long(thread: module._Thread) -> bool:
        if not late:
            late.append(thread)
            threads.run(done.set)
        return gives_up(thread)

    monkeypatch.setattr(threads, "_waited_long", waited_long)
    _run(threads, [])

    assert done.wait(_PATIENCE_S)
    assert late


def test_closing_waits_for_what_runs() -> None:
    """Up to a time."""
    threads = Threads("tested")
    go, done = threading.Event(), threading.Event()

    def call() -> None:
        go.wait(_PATIENCE_S)
        done.set()

    threads.run(call)
    threads.close(time.monotonic() + 0.01)
    assert not done.is_set()
    go.set()
    threads.close(time.monotonic() + _PATIENCE_S)

    assert done.is_set()
    assert not _alive()


def test_after_closing_nothing_runs() -> None:
    """Nobody would wait for it."""
    threads = Threads("tested")
    threads.close(time.monotonic())

    with pytest.raises(RuntimeError, match="no thread"):
        threads.run(lambda: None)


def test_an_idle_thread_that_somebody_ended_takes_no_call_along(threads: Threads) -> None:
    """A host can throw an exception into any thread."""
    ended = module._Thread("tested-0", lambda: None, lambda _: True, lambda _: True)
    threads._idle.append(ended)
    ran: list[threading.Thread] = []

    _run(threads, ran)

    assert ran
    assert ran != [ended]


def test_where_no_thread_is_to_be_had_the_caller_hears_it(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what could not run is not held to be running."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.run(lambda: None)
    ran: list[threading.Thread] = []
    _run(threads, ran)

    assert len(ran) == 1


def _run(threads: Threads, ran: list[threading.Thread]) -> None:
    done = threading.Event()

    def call() -> None:
        ran.append(threading.current_thread())
        done.set()

    threads.run(call)
    assert done.wait(_PATIENCE_S)


def _alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("tested-")]
