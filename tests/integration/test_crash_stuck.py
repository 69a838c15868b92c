"""Actors that hang: replaced, and what they do when they wake changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.commit import Committing
from aurora_atlan.actors.journal import JournalActor
from aurora_atlan.config import Settings
from harness_sales import Rush, attempts, check_sale, make_buyers, make_event, running, sold


class Hang:
    """Makes one call of a method, the next once it is armed, wait until it is released."""

    def __init__(self) -> None:
        self._armed = threading.Event()
        self._once = threading.Lock()
        self.hangs = threading.Event()
        self._released = threading.Event()
        self.woke = threading.Event()

    def arm(self) -> None:
        """Let the next call hang."""
        self._armed.set()

    def release(self) -> None:
        """Let it go on."""
        self._released.set()

    def __call__(self) -> None:
        if self._armed.is_set() and self._once.acquire(blocking=False):
            self.hangs.set()
            assert self._released.wait(30)
            self.woke.set()


@contextmanager
def hanging(monkeypatch: pytest.MonkeyPatch, owner: type, method: str) -> Iterator[Hang]:
    """Put a hang in front of a method."""
    hang = Hang()
    original = getattr(owner, method)

    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        hang()
        return original(self, *arguments, **named)

    monkeypatch.setattr(owner, method, wrapped)
    try:
        yield hang
    finally:
        hang.release()


@pytest.mark.parametrize(
    ("owner", "method"),
    [(BookingActor, "_hand_in"), (BookingActor, "_answered"), (Committing, "commit"), (JournalActor, "_enqueue")],
)
def test_an_actor_that_hangs_is_replaced_and_does_no_harm_when_it_wakes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    """While one thread hangs for good, everything accepted is decided; then it wakes amid the next rush."""
    url = settings.database_url
    assert url is not None
    with hanging(monkeypatch, owner, method) as hang, running(replace(settings, stuck_s=0.5)) as supervisor:
        events = [make_event(supervisor, 40), make_event(supervisor, 40)]
        buyers = make_buyers(url, 300)
        hang.arm()
        first = Rush(supervisor, attempts(events, buyers[:150])).start()
        assert hang.hangs.wait(10)
        first.join()
        check_sale(settings, first)
        assert supervisor.health().components["actors"].values["restarts"] == 1

        second = Rush(supervisor, attempts(events, buyers[150:])).start()
        hang.release()
        assert hang.woke.wait(10)
        second.join()
        second.accepted |= first.accepted
        second.perhaps |= first.perhaps
        check_sale(settings, second)
        assert [sold(url, event) for event in events] == [40, 40]
        assert supervisor.health().ready


def test_stopping_does_not_wait_for_an_actor_that_was_replaced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hang for ever, and all others have their time."""
    url = settings.database_url
    assert url is not None
    with hanging(monkeypatch, BookingActor, "_hand_in") as hang, running(replace(settings, stuck_s=0.5)) as supervisor:
        event = make_event(supervisor, 5)
        hang.arm()
        rush = Rush(supervisor, attempts([event], make_buyers(url, 20))).run()
        check_sale(settings, rush)
        assert hang.hangs.is_set()

        began_at = time.monotonic()
        supervisor.stop(timeout=20)

        assert not hang.woke.is_set()
        assert time.monotonic() - began_at < 10
