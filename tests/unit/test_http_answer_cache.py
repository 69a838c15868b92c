"""Answers that are kept for a moment and asked for once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from aurora_atlan.http.answer_cache import AnswerCache
from aurora_atlan.persistence.errors import StoreTimeoutError

CROWD = 32


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class WatchedCache(AnswerCache[str, str]):
    """Tells of everybody who waits for somebody else's answer, and can no longer miss it."""

    def __init__(self, clock: Clock, *, entries_max: int = 8, wait_max_s: float = 10.0) -> None:
        super().__init__(max_age_s=1.0, entries_max=entries_max, wait_max_s=wait_max_s, clock=clock)
        self.joined = threading.Semaphore(0)

    def _wait(self, read: Any) -> str | None:
        self.joined.release()
        return super()._wait(read)

    def wait_joined(self, count: int) -> None:
        for _ in range(count):
            assert self.joined.acquire(timeout=5)

    def ask(self, ask: Callable[[], str | None], key: str = "key") -> str | None:
        return self.get(key) or self.load(key, ask)


class Asking:
    """Somebody who asks in a thread, and whose store answers when it is told to."""

    def __init__(self, cache: WatchedCache, answer: str) -> None:
        self._cache = cache
        self._answer = answer
        self._asked, self._told = threading.Event(), threading.Event()
        self._outcome: str | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._asked.wait(5)

    def end(self) -> str | None:
        self._told.set()
        self._thread.join(5)
        assert not self._thread.is_alive()
        return self._outcome

    def _run(self) -> None:
        self._outcome = self._cache.ask(self._ask)

    def _ask(self) -> str:
        self._asked.set()
        assert self._told.wait(5)
        return self._answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> WatchedCache:
    return WatchedCache(clock)


def never() -> str:
    raise AssertionError("the store was asked")


def crowd(cache: WatchedCache, ask: Callable[[], str | None]) -> list[object]:
    """Let a crowd ask at once and return what each got: an answer or an error."""
    barrier, outcomes = threading.Barrier(CROWD), []

    def one() -> None:
        barrier.wait(10)
        try:
            outcomes.append(cache.ask(ask))
        except (RuntimeError, SystemExit, AssertionError) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=one) for _ in range(CROWD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return outcomes


def test_an_answer_is_kept_until_its_age_is_over(cache: WatchedCache, clock: Clock):
    assert cache.get("key") is None
    assert cache.ask(lambda: "first") == "first"
    clock.now += 0.999
    assert cache.ask(never) == "first"
    clock.now += 0.001
    assert cache.get("key") is None
    assert cache.ask(lambda: "second") == "second"
    clock.now += 0.999
    assert cache.ask(never) == "second"


def test_the_age_is_measured_from_before_the_store_was_asked(cache: WatchedCache, clock: Clock):
    def slowly() -> str:
        clock.now += 0.75
        return "slow"

    assert cache.ask(slowly) == "slow"
    clock.now += 0.125
    assert cache.ask(never) == "slow"
    clock.now += 0.125
    assert cache.ask(lambda: "new") == "new"


def test_an_answer_that_was_old_already_is_kept_shorter(clock: Clock):
    cache: AnswerCache[str, str] = AnswerCache(max_age_s=1.0, entries_max=8, wait_max_s=1.0, age_s=float, clock=clock)
    assert cache.load("key", lambda: "0.75") == "0.75"
    clock.now += 0.125
    assert cache.get("key") == "0.75"
    clock.now += 0.125
    assert cache.get("key") is None


def test_an_answer_that_took_longer_than_it_may_be_old_is_told_and_not_kept(cache: WatchedCache, clock: Clock):
    def slowly() -> str:
        clock.now += 1.0
        return "slow"

    assert cache.ask(slowly) == "slow"
    assert cache.get("key") is None


def test_keys_are_apart(cache: WatchedCache):
    assert cache.ask(lambda: "one", "1") == "one"
    assert cache.ask(lambda: "two", "2") == "two"
    assert (cache.get("1"), cache.get("2")) == ("one", "two")


@pytest.mark.parametrize("before", [None, "old"])
def test_a_crowd_asks_once(cache: WatchedCache, clock: Clock, before: str | None):
    if before is not None:
        cache.ask(lambda: before)
        clock.now += 1.0
    asked = []

    def ask() -> str:
        asked.append(None)
        cache.wait_joined(CROWD - 1)
        return "answer"

    assert crowd(cache, ask) == ["answer"] * CROWD
    assert len(asked) == 1
    assert cache.get("key") == "answer"


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3)])
def test_an_error_is_told_to_all_who_waited_and_to_nobody_else(cache: WatchedCache, error: BaseException):
    asked = []

    def ask() -> str:
        asked.append(None)
        cache.wait_joined(CROWD - 1)
        raise error

    assert crowd(cache, ask) == [error] * CROWD
    assert len(asked) == 1
    assert cache.ask(lambda: "answer") == "answer"


def test_nothing_is_told_to_all_who_waited_and_not_kept(cache: WatchedCache):
    asked = []

    def ask() -> None:
        asked.append(None)
        cache.wait_joined(CROWD - 1)

    assert crowd(cache, ask) == [None] * CROWD
    assert len(asked) == 1
    assert cache.ask(lambda: "answer") == "answer"


def test_nothing_takes_the_place_of_what_was_kept(cache: WatchedCache, clock: Clock):
    cache.ask(lambda: "old")
    clock.now += 1.0
    assert cache.ask(lambda: None) is None
    clock.now -= 1.0
    assert cache.get("key") is None


@pytest.mark.parametrize("forget", [lambda cache: cache.forget("key"), lambda cache: cache.forget_all()])
def test_what_is_forgotten_is_asked_again(cache: WatchedCache, forget: Callable[[WatchedCache], None]):
    cache.ask(lambda: "old")
    forget(cache)
    assert cache.get("key") is None
    assert cache.ask(lambda: "new") == "new"


def test_one_answer_is_forgotten_alone(cache: WatchedCache):
    cache.ask(lambda: "one", "1")
    cache.ask(lambda: "two", "2")
    cache.forget("1")
    assert (cache.get("1"), cache.get("2")) == (None, "two")


@pytest.mark.parametrize("forget", [lambda cache: cache.forget("key"), lambda cache: cache.forget_all()])
def test_what_is_forgotten_while_it_is_read_is_not_kept(cache: WatchedCache, forget: Callable[[WatchedCache], None]):
    """Those who asked before get it; whoever asks afterwards does not wait for it, and never sees it."""
    old = Asking(cache, "old")
    forget(cache)
    assert cache.ask(lambda: "new") == "new"
    assert old.end() == "old"
    assert cache.ask(never) == "new"


def test_what_is_forgotten_while_it_is_read_leaves_nothing(cache: WatchedCache):
    old = Asking(cache, "old")
    cache.forget_all()
    assert old.end() == "old"
    assert cache.get("key") is None
    assert cache.ask(lambda: "new") == "new"


def test_nobody_joins_a_read_that_is_older_than_an_answer_may_be(cache: WatchedCache, clock: Clock):
    old = Asking(cache, "old")
    clock.now += 1.0
    new = Asking(cache, "new")
    assert old.end() == "old"
    assert cache.get("key") is None
    assert new.end() == "new"
    assert cache.ask(never) == "new"


def test_an_overtaken_read_does_not_come_back(cache: WatchedCache, clock: Clock):
    old = Asking(cache, "old")
    clock.now += 1.0
    assert cache.ask(lambda: "new") == "new"
    assert old.end() == "old"
    assert cache.ask(never) == "new"


def test_waiting_for_somebody_else_has_a_limit(clock: Clock):
    cache = WatchedCache(clock, wait_max_s=0.01)
    asking = Asking(cache, "late")
    with pytest.raises(StoreTimeoutError):
        cache.ask(never)
    assert asking.end() == "late"
    assert cache.ask(never) == "late"


def test_the_answer_that_was_read_first_makes_room(clock: Clock):
    cache = WatchedCache(clock, entries_max=3)
    for key in "abc":
        cache.ask(lambda key=key: key, key)
    clock.now += 1.0
    cache.ask(lambda: "a again", "a")
    cache.ask(lambda: "d", "d")
    clock.now -= 1.0
    assert [cache.get(key) for key in "abcd"] == ["a again", None, "c", "d"]


def test_nothing_takes_nobodys_room(clock: Clock):
    cache = WatchedCache(clock, entries_max=3)
    for key in "abc":
        cache.ask(lambda key=key: key, key)
    for number in range(100):
        assert cache.ask(lambda: None, str(number)) is None
    assert [cache.get(key) for key in "abc"] == ["a", "b", "c"]


def test_it_never_holds_more_than_it_may(clock: Clock):
    cache = WatchedCache(clock, entries_max=3)
    for number in range(100):
        cache.ask(lambda: "answer", str(number))
    assert sum(cache.get(str(number)) is not None for number in range(100)) == 3
    assert len(cache._kept) == 3
    assert not cache._reads
