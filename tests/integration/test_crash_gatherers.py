"""The journal and the committers crash under load: callers learn at once, and nothing is lost."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors import crew
from aurora_atlan.actors.commit import Committing, Verdict
from aurora_atlan.actors.committer import CommitterActor
from aurora_atlan.actors.journal import JournalActor
from aurora_atlan.actors.messages import AcceptJob, Batch, BookTickets, Flush, HandIn
from aurora_atlan.config import Settings
from aurora_atlan.persistence.errors import NoConnectionFreeError
from aurora_atlan.persistence.jobs import JobStore
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
    watched_answers,
)


@pytest.fixture
def default_times(settings: Settings) -> Settings:
    """The settings with the times of supervision that a user gets."""
    defaults = Settings()
    names = ("sweep_s", "backoff_min_s", "backoff_max_s", "accept_timeout_s")
    return replace(settings, **{name: getattr(defaults, name) for name in names})


@pytest.fixture
def locked_event(database_url: str) -> Iterator[Callable[[int], psycopg.Connection[Any]]]:
    """Locks an event's inventory row as a foreign transaction does, until the connection is rolled back."""
    connections = []

    def lock(event_id: int) -> psycopg.Connection[Any]:
        connection = psycopg.connect(database_url)
        connections.append(connection)
        connection.execute("SELECT FROM event_inventory WHERE event_id = %s FOR UPDATE", (event_id,))
        return connection

    yield lock
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("moment", "error"), [("before Redis", ValueError), ("after Redis", SystemExit), ("before gathering", ValueError)]
)
def test_callers_of_a_crashing_journal_fail_fast_and_may_repeat(
    default_times: Settings, monkeypatch: pytest.MonkeyPatch, moment: str, error: type[BaseException]
) -> None:
    """The journal crashes again and again; callers hear of it far within 1.2 s; repeated keys book once."""
    assert default_times.database_url is not None
    counter = itertools.count(1)
    crashes = []

    def crash() -> None:
        # As many as are not all restarted at once between two sweeps.
        if len(crashes) < 8:
            crashes.append(moment)
            raise error("as the test wants")

    class Crashing(JournalActor):
        def handle(self, message: Any) -> None:
            if moment == "before gathering" and isinstance(message, AcceptJob) and next(counter) % 50 == 0:
                crash()
            super().handle(message)

        def round_trip(self, gathered: Sequence[AcceptJob]) -> None:
            turn = next(counter) if gathered and moment != "before gathering" else 1
            if moment == "before Redis" and turn % 5 == 0:
                crash()
            super().round_trip(gathered)

        def _enqueue(self, gathered: Sequence[AcceptJob]) -> Any:
            answers = super()._enqueue(gathered)
            if moment == "after Redis" and next(counter) % 5 == 0:
                crash()
            return answers

    monkeypatch.setattr(crew, "JournalActor", Crashing)
    with running(default_times) as supervisor:
        events = [make_event(supervisor, 50) for _ in range(3)]
        buyers = make_buyers(default_times.database_url, 300)
        rush = Rush(supervisor, attempts(events, buyers), threads=16).run()
        assert len(rush.accepted) == 300
        assert rush.refusals
        assert rush.slowest_refusal_s < 0.6
        check_sale(default_times, rush)
        assert [sold(default_times.database_url, event) for event in events] == [50] * 3
        assert supervisor.health().ready
    assert len(crashes) > 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_journal_that_dies_silently_is_replaced(default_times: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal whose thread is gone while it calls itself alive holds nobody longer than 1.2 s, and is replaced."""
    assert default_times.database_url is not None
    dead: list[threading.Thread] = []

    def broken(*_: Any) -> None:
        raise RuntimeError("the loop itself fails")

    class Zombie(JournalActor):
        def handle(self, message: Any) -> None:
            if isinstance(message, Flush) and not dead:
                dead.append(threading.current_thread())
                self._handle_failure = broken  # type: ignore[method-assign]
                raise ValueError("as the test wants")
            super().handle(message)

    monkeypatch.setattr(crew, "JournalActor", Zombie)
    with running(default_times) as supervisor:
        event = make_event(supervisor, 50)
        rush = Rush(supervisor, attempts([event], make_buyers(default_times.database_url, 50)), threads=8).run()
        assert len(rush.accepted) == 50
        assert rush.slowest_refusal_s < 1.4
        check_sale(default_times, rush)


@pytest.mark.parametrize(
    ("moment", "error"),
    [("before the transaction", ValueError), ("after COMMIT", SystemExit), ("after finishing", ValueError)],
)
def test_a_crashing_committer_loses_nothing(
    default_times: Settings, monkeypatch: pytest.MonkeyPatch, moment: str, error: type[BaseException]
) -> None:
    """Every fourth round trip crashes the committer; every job is decided once, in order, and soon."""
    assert default_times.database_url is not None
    counter = itertools.count(1)
    crashes = []

    def crash(of: str) -> None:
        if of == moment and next(counter) % 4 == 0:
            crashes.append(moment)
            raise error("as the test wants")

    class Crashing(CommitterActor):
        def _commit(self, batches: Sequence[Batch], *, waiting: bool = False) -> None:
            crash("before the transaction")
            super()._commit(batches, waiting=waiting)

        def _finish(self) -> None:
            if self._unfinished:
                crash("after COMMIT")
            super()._finish()

    finish = JobStore.finish

    def finish_and_crash(self: JobStore, finishes: Any) -> None:
        finish(self, finishes)
        crash("after finishing")

    monkeypatch.setattr(crew, "CommitterActor", Crashing)
    monkeypatch.setattr(JobStore, "finish", finish_and_crash)
    with running(default_times) as supervisor:
        events = [make_event(supervisor, 30) for _ in range(4)]
        buyers = make_buyers(default_times.database_url, 240)
        rush = Rush(supervisor, attempts(events, buyers))
        with watched_answers(rush):
            rush.run()
            assert not rush.refusals
            check_sale(default_times, rush)
        assert [sold(default_times.database_url, event) for event in events] == [30] * 4
    assert crashes


@pytest.mark.parametrize("moment", ["before the transaction", "after COMMIT"])
def test_a_crashing_patient_committer_loses_nothing(
    default_times: Settings,
    monkeypatch: pytest.MonkeyPatch,
    locked_event: Callable[[int], psycopg.Connection[Any]],
    moment: str,
) -> None:
    """Batches of rows that somebody else holds are decided although the patient committer crashes on them."""
    assert default_times.database_url is not None
    shots = [ValueError("as the test wants") for _ in range(2)]
    asked = threading.Event()

    class Crashing(CommitterActor):
        def _commit(self, batches: Sequence[Batch], *, waiting: bool = False) -> None:
            if self._patient:
                asked.set()
                if shots and moment == "before the transaction":
                    raise shots.pop()
            super()._commit(batches, waiting=waiting)

        def _finish(self) -> None:
            if self._patient and self._unfinished and shots and moment == "after COMMIT":
                raise shots.pop()
            super()._finish()

    monkeypatch.setattr(crew, "CommitterActor", Crashing)
    with running(default_times) as supervisor:
        event = make_event(supervisor, 10)
        # A second event keeps the committer busy with what was handed in twice.
        other = make_event(supervisor, 10)
        locks = [locked_event(event)]
        buyers = make_buyers(default_times.database_url, 40)
        rush = Rush(supervisor, attempts([event, other], buyers)).run()
        assert asked.wait(5.0)
        locks.pop().rollback()
        check_sale(default_times, rush)
    assert len(shots) < 2


def test_a_patient_batch_outlives_a_full_pool(
    settings: Settings, locked_event: Callable[[int], psycopg.Connection[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A held row, then a full pool, then the held row again: the event is decided once the row is free."""
    assert settings.database_url is not None
    tries: list[str] = []
    commit = Committing.commit

    def sometimes_full(self: Committing, batches: Sequence[Batch], *, patient: bool) -> list[Verdict]:
        if not patient:
            return commit(self, batches, patient=patient)
        tries.append("full" if not tries else "held")
        if tries == ["full"]:
            raise NoConnectionFreeError("as the test wants")
        return commit(self, batches, patient=patient)

    monkeypatch.setattr(Committing, "commit", sometimes_full)
    with running(replace(settings, lock_timeout_s=0.1)) as supervisor:
        event = make_event(supervisor, 10)
        lock = locked_event(event)
        [buyer] = make_buyers(settings.database_url, 1)
        receipt = supervisor.submit(BookTickets(event, buyer))
        # The third begins when the second has waited for the row in vain; or nothing begins any more.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: len(tries) > 2, 1.0, "the row is asked for again")
        assert tries[:2] == ["full", "held"]
        lock.rollback()
        wait_decided(settings.database_url, [receipt.job_id], timeout_s=2.0)


def test_a_batch_handed_in_twice_is_decided_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch reaches the committer three times, as after crashes, and every job has one outcome."""
    assert settings.database_url is not None

    seen: set[int] = set()

    class Twice(CommitterActor):
        def handle(self, message: Any) -> None:
            super().handle(message)
            if isinstance(message, HandIn) and message.batch.batch_id not in seen:
                seen.add(message.batch.batch_id)
                super().handle(message)
                # And once more, later: it is committed by then.
                self._switchboard.scheduler.after(0.05, self.actor_ref, message)

    monkeypatch.setattr(crew, "CommitterActor", Twice)
    with running(settings) as supervisor:
        events = [make_event(supervisor, 20) for _ in range(2)]
        rush = Rush(supervisor, attempts(events, make_buyers(settings.database_url, 100))).run()
        check_sale(settings, rush)
        assert [sold(settings.database_url, event) for event in events] == [20, 20]
