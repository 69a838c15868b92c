"""The breaker of a dependency."""

from __future__ import annotations

import logging
import threading

import pytest

from aurora_atlan.actors.breaker import Breaker


def test_a_breaker_begins_closed() -> None:
    """Nobody is out of reach before it was tried."""
    breaker = Breaker("Redis")

    assert (breaker.is_open, breaker.reason) == (False, None)


def test_an_open_breaker_knows_why() -> None:
    """The latest reason is the one that is told."""
    breaker = Breaker("Redis")

    breaker.open("refused")
    breaker.open("timed out")

    assert (breaker.is_open, breaker.reason) == (True, "timed out")


def test_closing_tells_whether_it_was_open() -> None:
    """Only the probe that closes it gets True."""
    breaker = Breaker("Redis")
    breaker.open("refused")

    assert breaker.close()
    assert not breaker.close()
    assert (breaker.is_open, breaker.reason) == (False, None)


def test_it_is_logged_when_it_opens_and_when_it_closes_and_not_in_between(caplog: pytest.LogCaptureFixture) -> None:
    """A store that stays away does not fill the log."""
    breaker = Breaker("Redis")

    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            breaker.open("refused")
        breaker.close()
        breaker.close()

    opened, closed = [record.getMessage() for record in caplog.records]
    assert opened.startswith("Redis")
    assert opened.endswith("refused")
    assert closed.startswith("Redis")


def test_one_of_many_threads_closes_it() -> None:
    """When several close it at once, one is told that it was open."""
    breaker = Breaker("Redis")
    answers: list[bool] = []
    barrier = threading.Barrier(8)

    def close() -> None:
        barrier.wait(5)
        answers.append(breaker.close())

    breaker.open("refused")
    threads = [threading.Thread(target=close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert sorted(answers) == [False] * 7 + [True]


def test_every_failure_is_counted() -> None:
    """Also while it is open: who counts sees whether something still fails."""
    breaker = Breaker("Redis")

    breaker.open("first")
    breaker.open("second")
    breaker.close()
    breaker.open("third")

    assert breaker.failures == 3
