"""Doing without a store that failed, until one who tries finds it well."""

from __future__ import annotations

from aurora_atlan.persistence.fallback import Fallback


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_while_it_works_everybody_asks():
    fallback = Fallback(1.0, Clock())
    for _ in range(3):
        permit = fallback.permit()
        assert permit is not None
        fallback.worked(permit)


def test_after_a_failure_nobody_asks_for_a_while_and_then_one():
    clock = Clock()
    fallback = Fallback(1.0, clock)
    fallback.failed()
    clock.now += 0.999
    assert fallback.permit() is None
    clock.now += 0.001
    assert fallback.permit() is not None
    assert fallback.permit() is None
    clock.now += 1.0
    permit = fallback.permit()
    assert permit is not None
    fallback.worked(permit)
    assert None not in (fallback.permit(), fallback.permit())


def test_an_answer_to_who_asked_before_a_failure_does_not_undo_it():
    fallback = Fallback(1.0, Clock())
    permit = fallback.permit()
    assert permit is not None
    fallback.failed()
    fallback.worked(permit)
    assert fallback.permit() is None
