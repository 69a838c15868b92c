"""What is logged of jobs and actors, as the command line renders it: JSON lines that one can search by their ids."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aurora_atlan.actors import crew
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.messages import BookTickets, Flush
from aurora_atlan.config.logging import configure_logging
from aurora_atlan.supervisor import Supervisor
from harness_sales import wait_decided, wait_until

MakeEvent = Callable[..., int]
Line = dict[str, Any]
NOBODY = 2**40


@pytest.fixture
def logged() -> Iterator[Callable[..., list[Line]]]:
    """Logs everything as JSON; gives the lines that have these members."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("DEBUG", "json", stream)

    def lines(**members: Any) -> list[Line]:
        # What is still being written is no line yet.
        whole = stream.getvalue().rpartition("\n")[0].splitlines()
        parsed = [json.loads(line) for line in whole]
        return [line for line in parsed if all(line.get(name) == value for name, value in members.items())]

    yield lines
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


def test_an_accepted_job_is_a_line_for_those_who_want_it(
    logged: Callable[..., list[Line]],
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
) -> None:
    """At debug, with everything that it can be found by; at info a booking leaves no line."""
    event_id = make_event()
    receipt = supervisor.submit(BookTickets(event_id, buyers[0], request_id="the-request"))
    wait_decided(database_url, [receipt.job_id])

    [line] = logged(job_id=str(receipt.job_id))
    assert (line["event"], line["level"]) == ("accepted", "debug")
    assert (line["request_id"], line["event_id"]) == ("the-request", event_id)
    assert line["queue_number"] == receipt.queue_number
    assert [line for line in logged() if line["level"] != "debug" and "event_id" in line] == []


def test_a_job_that_fails_is_told_by_its_ids_and_why(
    logged: Callable[..., list[Line]],
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
) -> None:
    """Each try is a warning with the reason, the end is an error; the batch that it spoiled names its jobs."""
    event_id = make_event()
    supervisor.pause(event_id)
    good, bad = (
        supervisor.submit(BookTickets(event_id, user_id, request_id=f"request-{user_id}")).job_id
        for user_id in (buyers[0], NOBODY)
    )
    # Until then they may have been handed in one after the other.
    wait_until(lambda: supervisor._switchboard.pauses.known() == [event_id], 10, "the event was found paused")
    supervisor.resume(event_id)
    wait_decided(database_url, [good, bad])

    def failed() -> list[Line]:
        return logged(job_id=str(bad), level="error")

    [line] = wait_until(failed, 5, "the end is logged")
    assert (line["request_id"], line["event_id"], line["reason"]) == (f"request-{NOBODY}", event_id, "poison")
    tries = logged(job_id=str(bad), level="warning")
    assert [line["tries"] for line in tries] == [1, 2, 3]
    assert all("bookings_user_id_fkey" in line["event"] for line in tries)
    assert all(line["request_id"] == f"request-{NOBODY}" for line in tries)
    [divided] = [line for line in logged(level="warning", event_id=event_id) if "job_ids" in line]
    assert divided["job_ids"] == [str(good), str(bad)]
    assert divided["request_ids"] == [f"request-{buyers[0]}", f"request-{NOBODY}"]
    assert logged(job_id=str(good), level="warning") == []


def test_an_actors_life_is_logged(
    logged: Callable[..., list[Line]],
    supervise: Callable[..., Supervisor],
    make_event: MakeEvent,
    buyers: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Start and stop at debug; a crash is an error with its stack, and a line with the event's id."""
    crashes = 1

    class Crashing(BookingActor):
        def handle(self, message: Any) -> None:
            nonlocal crashes
            if isinstance(message, Flush) and crashes:
                crashes -= 1
                raise ValueError("as the test wants")
            super().handle(message)

    monkeypatch.setattr(crew, "BookingActor", Crashing)
    supervisor = supervise()
    event_id = make_event()
    job_id = supervisor.submit(BookTickets(event_id, buyers[0])).job_id
    wait_until(lambda: (status := supervisor.status(job_id)) is not None and status.finished, 10, "it is decided")
    supervisor.stop()

    [crash] = logged(event_id=event_id, level="error")
    assert "its actor crashed" in crash["event"]
    [stack] = [line for line in logged(level="error") if "exception" in line]
    assert stack["event"] == f"Unhandled exception in Crashing of event {event_id}:"
    assert "ValueError: as the test wants" in stack["exception"]
    lives = [line["event"] for line in logged(level="debug") if line["event"].startswith("Crashing")]
    assert lives == [f"Crashing of event {event_id} started"] * 2 + [f"Crashing of event {event_id} stopped"]
    for name in ("JournalActor", "CommitterActor"):
        assert [line for line in logged(level="debug") if line["event"].startswith(name)]
