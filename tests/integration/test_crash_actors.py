"""An event's actor that crashes, in every way there is: the sale goes on, and nothing is lost."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pykka
import pytest

from aurora_atlan.actors import crew
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.messages import BatchDecided, BookTickets, Flush
from aurora_atlan.actors.supervised import SupervisedActor
from aurora_atlan.config import Settings
from harness_sales import (
    Rush,
    attempts,
    check_sale,
    make_buyers,
    make_event,
    running,
    sold,
    wait_decided,
    wait_until,
)


class HostActor(pykka.ThreadingActor):
    """Somebody else's actor in the same process."""

    def on_receive(self, message: Any) -> Any:
        return message


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[BookingActor, Any], None]], None]:
    """Lets the test look at every message before the event's actor does, and raise what it likes."""

    def install(before: Callable[[BookingActor, Any], None]) -> None:
        class Crashing(BookingActor):
            def handle(self, message: Any) -> None:
                before(self, message)
                super().handle(message)

        monkeypatch.setattr(crew, "BookingActor", Crashing)

    return install


@pytest.mark.parametrize(
    ("message_type", "error"),
    [(Flush, ValueError), (BatchDecided, SystemExit)],
    ids=["before handing in", "after the commit"],
)
def test_a_sale_survives_actors_that_crash_on_every_fifth_batch(
    settings: Settings,
    crashing: Callable[..., None],
    message_type: type[Any],
    error: type[BaseException],
) -> None:
    """Four events sell out in order and every job is answered once, although their actors keep crashing."""
    assert settings.database_url is not None
    counter = itertools.count(1)
    crashes = []

    def before(_actor: BookingActor, message: Any) -> None:
        if isinstance(message, message_type) and next(counter) % 5 == 0:
            crashes.append(message)
            raise error("as the test wants")

    crashing(before)
    host = HostActor.start()
    try:
        with running(settings) as supervisor:
            events = [make_event(supervisor, 40) for _ in range(4)]
            buyers = make_buyers(settings.database_url, 400)
            rush = Rush(supervisor, attempts(events, buyers)).run()
            assert not rush.refusals
            check_sale(settings, rush)
            assert [sold(settings.database_url, event) for event in events] == [40] * 4
        assert crashes
        assert host.ask("alive?", timeout=1) == "alive?"
    finally:
        host.stop()


def test_a_crashed_actor_is_back_within_a_second(settings: Settings, crashing: Callable[..., None]) -> None:
    """With the default times, a job whose actor crashed on it is decided within a second all the same."""
    assert settings.database_url is not None
    shots = [ValueError("as the test wants")]

    def before(_actor: BookingActor, message: Any) -> None:
        if isinstance(message, Flush) and armed.is_set() and shots:
            raise shots.pop()

    armed = threading.Event()
    crashing(before)
    defaults = Settings()
    times = {name: getattr(defaults, name) for name in ("sweep_s", "backoff_min_s", "backoff_max_s", "quarantine_s")}
    with running(replace(settings, **times)) as supervisor:
        event = make_event(supervisor, 10)
        first, second = make_buyers(settings.database_url, 2)
        receipt = supervisor.submit(BookTickets(event, first))
        wait_decided(settings.database_url, [receipt.job_id])
        armed.set()
        receipt = supervisor.submit(BookTickets(event, second))
        wait_decided(settings.database_url, [receipt.job_id], timeout_s=1.0)
    assert not shots


def test_the_hosts_broadcast_and_stop_all_do_not_reach_our_actors(settings: Settings) -> None:
    """Whatever a host does to all actors of the process, ours are not among them."""
    assert settings.database_url is not None
    with running(settings) as supervisor:
        event = make_event(supervisor, 10)
        first, second = make_buyers(settings.database_url, 2)
        wait_decided(settings.database_url, [supervisor.submit(BookTickets(event, first)).job_id])
        assert pykka.ActorRegistry.get_all() == []
        pykka.ActorRegistry.broadcast("a message of the host's")
        pykka.ActorRegistry.stop_all()
        wait_decided(settings.database_url, [supervisor.submit(BookTickets(event, second)).job_id])
        assert supervisor.health().components["actors"].values["restarts"] == 0


@pytest.mark.parametrize("error", [OSError, SystemExit])
def test_an_actor_that_fails_to_start_is_started_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """A failing ``prepare`` costs a pause, and no job."""
    assert settings.database_url is not None
    shots = [error("as the test wants") for _ in range(3)]

    class Failing(BookingActor):
        def prepare(self) -> None:
            if shots:
                raise shots.pop()

    monkeypatch.setattr(crew, "BookingActor", Failing)
    host = HostActor.start()
    try:
        with running(settings) as supervisor:
            event = make_event(supervisor, 10)
            rush = Rush(supervisor, attempts([event], make_buyers(settings.database_url, 20))).run()
            wait_decided(settings.database_url, rush.jobs, timeout_s=3.0)
            check_sale(settings, rush)
        assert not shots
        assert host.ask("alive?", timeout=1) == "alive?"
    finally:
        host.stop()


def test_an_event_whose_actor_got_no_thread_is_started_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the system refuses a thread, the event gets its actor a moment later."""
    assert settings.database_url is not None
    shots = [RuntimeError("can't start new thread")]
    start = BookingActor.start_hidden.__func__  # type: ignore[attr-defined]

    def start_hidden(cls: type[BookingActor], *args: Any, **kwargs: Any) -> Any:
        if shots:
            raise shots.pop()
        return start(cls, *args, **kwargs)

    monkeypatch.setattr(BookingActor, "start_hidden", classmethod(start_hidden))
    with running(settings) as supervisor:
        event = make_event(supervisor, 10)
        rush = Rush(supervisor, attempts([event], make_buyers(settings.database_url, 20))).run()
        wait_decided(settings.database_url, rush.jobs, timeout_s=3.0)
        check_sale(settings, rush)
    assert not shots


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_zombie_is_found_and_replaced(settings: Settings, crashing: Callable[..., None]) -> None:
    """An actor whose thread is gone while it calls itself alive is replaced within a second of the sweep."""
    assert settings.database_url is not None
    killed: list[SupervisedActor] = []

    def before(actor: BookingActor, message: Any) -> None:
        if isinstance(message, Flush) and not killed:
            killed.append(actor)
            become_a_zombie(actor)

    crashing(before)
    with running(settings) as supervisor:
        event = make_event(supervisor, 10)
        [buyer] = make_buyers(settings.database_url, 1)
        receipt = supervisor.submit(BookTickets(event, buyer))
        wait_until(lambda: killed and killed[0].ended, 3.0, "the actor's loop has ended")
        wait_decided(settings.database_url, [receipt.job_id], timeout_s=2.0)


def become_a_zombie(actor: SupervisedActor) -> None:
    """End the actor's thread behind pykka's back: its loop dies of an error in its own error handling."""

    def broken(*_: Any) -> None:
        raise RuntimeError("the loop itself fails")

    actor._handle_failure = broken  # type: ignore[method-assign]
    raise ValueError("as the test wants")
