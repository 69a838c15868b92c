"""Prefer: wait=N on a job's status: who waits, for how long, and who does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from falcon.testing import Result

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import JobState, JobStatus
from aurora_atlan.http import long_polls
from aurora_atlan.http.long_polls import LongPolls
from harness_sales import wait_until
from http_fakes import NOW, Service, make_service

JOB_ID = UUID("2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1")
STATUS = f"/api/bookings/status/{JOB_ID}"

WAITING = JobStatus(
    job_id=JOB_ID,
    status=JobState.QUEUED,
    queue_position=3,
    reason=None,
    event_id=1,
    user_id=7,
    quantity=1,
    queue_number=5,
    attempts=0,
    accepted_at=NOW,
    finished_at=None,
    booking=None,
    estimated_wait_s=1.5,
)
DECIDED = replace(WAITING, status=JobState.COMPLETED, queue_position=0, finished_at=NOW)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = make_service(monkeypatch, threads=8)
    service.supervisor.statuses[JOB_ID] = WAITING
    return service


class Asking:
    """Threads that ask for the status, and what they were told."""

    def __init__(self, ask: Callable[[], Any], count: int = 1) -> None:
        self.told: list[Any] = []
        self._ask = ask
        self._barrier = threading.Barrier(count + 1)
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        self._barrier.wait(10)

    def join(self) -> list[Any]:
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        return self.told

    def _run(self) -> None:
        self._barrier.wait(10)
        try:
            self.told.append(self._ask())
        except UnavailableError as error:
            self.told.append(error)


def waiting(service: Service) -> int:
    return sum(map(len, service.supervisor.notices._waiting.values()))


def await_waiting(service: Service, count: int) -> None:
    wait_until(lambda: waiting(service) == count, 10, f"{count} are waiting")


def ask(service: Service, prefer: str = "wait=20") -> Result:
    return service.client.simulate_get(STATUS, headers={"Prefer": prefer})


def decide(service: Service) -> None:
    service.supervisor.statuses[JOB_ID] = DECIDED
    service.supervisor.notices.ring_for(JOB_ID)


@pytest.fixture
def only_when_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks again by itself: what is told was rung for."""
    monkeypatch.setattr(long_polls, "_LOOK_AGAIN_S", 60.0)


@pytest.mark.usefixtures("only_when_rung")
def test_it_answers_when_the_job_is_decided(service: Service):
    asking = Asking(lambda: ask(service))
    await_waiting(service, 1)
    decide(service)
    [result] = asking.join()

    assert result.json["status"] == "completed"
    assert result.headers["preference-applied"] == "wait=20"
    assert "retry-after" not in result.headers
    assert waiting(service) == 0


@pytest.mark.usefixtures("only_when_rung")
def test_it_answers_when_the_time_is_over(service: Service):
    began_at = time.monotonic()
    result = ask(service, "wait=1")

    assert 1.0 <= time.monotonic() - began_at < 5.0
    assert result.json["status"] == "queued"
    assert result.headers["preference-applied"] == "wait=1"
    assert result.headers["retry-after"] == "2"
    assert waiting(service) == 0


def test_what_another_process_decides_is_seen_too(service: Service):
    """Nobody rings for that; the status is read again every half second."""
    asking = Asking(lambda: ask(service))
    await_waiting(service, 1)
    service.supervisor.statuses[JOB_ID] = DECIDED
    decided_at = time.monotonic()
    [result] = asking.join()

    assert time.monotonic() - decided_at < 5.0
    assert result.json["status"] == "completed"


@pytest.mark.usefixtures("only_when_rung")
def test_a_ring_that_brings_no_answer_is_waited_through(service: Service, monkeypatch: pytest.MonkeyPatch):
    """Each has the status read once more, and no oftener."""
    looks = 0
    look = service.supervisor.status

    def status(job_id: UUID) -> JobStatus | None:
        nonlocal looks
        looks += 1
        return look(job_id)

    monkeypatch.setattr(service.supervisor, "status", status)
    asking = Asking(lambda: ask(service))
    for rings in range(3):
        # Once before there is a place, once before waiting.
        wait_until(lambda rings=rings: looks == 2 + rings, 10, "it waits")  # type: ignore[misc]
        service.supervisor.notices.ring_for(uuid4())
        service.supervisor.notices.ring_for(JOB_ID)
    wait_until(lambda: looks == 5, 10, "it waits again")
    decide(service)
    [result] = asking.join()

    assert result.json["status"] == "completed"
    assert looks == 6


def test_a_decided_job_is_told_at_once(service: Service):
    service.supervisor.statuses[JOB_ID] = DECIDED
    result = ask(service)

    assert result.json["status"] == "completed"
    assert result.headers["preference-applied"] == "wait=20"


def test_a_longer_wait_is_cut(service: Service):
    service.supervisor.statuses[JOB_ID] = DECIDED

    assert ask(service, "wait=3600").headers["preference-applied"] == "wait=20"


@pytest.mark.parametrize("prefer", ["wait=0", "wait=x", "respond-async"])
def test_without_a_proper_wait_nobody_waits(service: Service, prefer: str):
    result = ask(service, prefer)

    assert result.json["status"] == "queued"
    assert "preference-applied" not in result.headers


def test_an_unknown_job_is_not_waited_for(service: Service):
    result = service.client.simulate_get(f"/api/bookings/status/{uuid4()}", headers={"Prefer": "wait=20"})

    assert result.status_code == 404
    assert "preference-applied" not in result.headers


@pytest.mark.usefixtures("only_when_rung")
def test_a_quarter_of_the_threads_waits_and_the_others_are_told_at_once(service: Service):
    """Two of eight; each place that becomes free can be had again."""
    for _ in range(3):
        service.supervisor.statuses[JOB_ID] = WAITING
        asking = Asking(lambda: ask(service), 2)
        await_waiting(service, 2)
        crowd = Asking(lambda: ask(service), 6).join()

        assert len(crowd) == 6
        assert all("preference-applied" not in result.headers for result in crowd)
        assert all(result.headers["retry-after"] for result in crowd)
        assert asking.told == []

        decide(service)
        assert [result.json["status"] for result in asking.join()] == ["completed", "completed"]


@pytest.mark.usefixtures("only_when_rung")
def test_with_few_threads_one_may_wait(monkeypatch: pytest.MonkeyPatch):
    service = make_service(monkeypatch, threads=1)
    service.supervisor.statuses[JOB_ID] = WAITING
    asking = Asking(lambda: ask(service))
    await_waiting(service, 1)

    assert "preference-applied" not in ask(service).headers

    decide(service)
    asking.join()


@pytest.fixture
def draining() -> threading.Event:
    return threading.Event()


@pytest.fixture
def polls(service: Service, draining: threading.Event) -> Iterator[LongPolls]:
    yield LongPolls(service.supervisor, draining.is_set, places=2)  # type: ignore[arg-type]
    assert waiting(service) == 0


@pytest.mark.usefixtures("only_when_rung")
def test_a_server_that_stops_waits_for_nobody(service: Service, polls: LongPolls, draining: threading.Event):
    """Those who wait are told how the job stands, and that they were not granted their wait; newcomers, too."""
    asking = Asking(lambda: polls.status(JOB_ID, 20.0), 2)
    await_waiting(service, 2)
    draining.set()
    service.supervisor.notices.ring_all()

    assert asking.join() == [(WAITING, False), (WAITING, False)]
    assert polls.status(JOB_ID, 20.0) == (WAITING, False)


@pytest.mark.usefixtures("only_when_rung")
def test_a_store_that_goes_away_meanwhile_is_told(service: Service, polls: LongPolls):
    asking = Asking(lambda: polls.status(JOB_ID, 20.0))
    await_waiting(service, 1)
    service.supervisor.failure = UnavailableError("Redis does not answer.")
    service.supervisor.notices.ring_all()

    [told] = asking.join()
    assert isinstance(told, UnavailableError)
    # Its place is free again.
    service.supervisor.failure = None
    service.supervisor.statuses[JOB_ID] = DECIDED
    assert polls.status(JOB_ID, 20.0) == (DECIDED, True)


@pytest.mark.usefixtures("only_when_rung")
def test_an_outcome_that_comes_between_looking_and_waiting_is_not_missed(
    service: Service, polls: LongPolls, monkeypatch: pytest.MonkeyPatch
):
    """It is decided right after each of the looks that come before the wait."""
    for decided_after_look in (1, 2):
        looks = 0
        service.supervisor.statuses[JOB_ID] = WAITING

        def status(job_id: UUID, decided_after_look: int = decided_after_look) -> JobStatus | None:
            nonlocal looks
            looks += 1
            seen = service.supervisor.statuses[job_id]
            if looks == decided_after_look:
                decide(service)
            return seen

        monkeypatch.setattr(service.supervisor, "status", status)
        began_at = time.monotonic()

        assert polls.status(JOB_ID, 20.0) == (DECIDED, True)
        assert time.monotonic() - began_at < 5.0
