"""Counting in fixed windows, in memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from limits import parse

from aurora_atlan.persistence.rate_counters import MemoryCounters, RateCounters


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_window_begins_with_its_first_hit_and_ends_after_its_length() -> None:
    """Then counting begins anew."""
    clock = _Clock()
    counters = MemoryCounters(clock)

    assert counters.hit("a", 10) == (1, 10.0)
    clock.now += 4
    assert counters.hit("a", 10) == (2, 6.0)
    assert counters.hit("b", 10) == (1, 10.0)
    clock.now += 6
    assert counters.hit("a", 10) == (1, 10.0)


def test_windows_that_are_over_are_forgotten() -> None:
    """Everybody who ever came would otherwise stay in memory."""
    clock = _Clock()
    counters = MemoryCounters(clock)

    for number in range(100_000):
        counters.hit(f"user {number}", 1)
        clock.now += 0.001

    assert len(counters._windows) < 12_000


def test_windows_that_are_not_over_are_kept_however_many_there_are() -> None:
    """Nobody gets a new window because others came."""
    counters = MemoryCounters(_Clock())

    for number in range(30_000):
        counters.hit(f"user {number}", 60)

    assert counters.hit("user 0", 60)[0] == 2


def test_no_hit_is_lost_when_threads_count_together() -> None:
    """Eight threads, one key."""
    counters = MemoryCounters()
    together = threading.Barrier(8)

    def hit_often() -> None:
        together.wait()
        for _ in range(1_000):
            counters.hit("a", 60)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(hit_often) for _ in range(8)]:
            done.result()

    assert counters.hit("a", 60)[0] == 8_001


def test_a_limit_allows_so_many_and_then_tells_how_long_to_wait() -> None:
    """Of each user."""
    counters = RateCounters(None, lambda: False)
    limit = parse("2/minute")

    assert [counters.hit_here(limit, "booking", "7") for _ in range(2)] == [None, None]
    left_s = counters.hit_here(limit, "booking", "7")
    assert left_s is not None
    assert 0 < left_s <= 60
    assert counters.hit_here(limit, "booking", "8") is None


def test_without_redis_what_all_should_count_is_counted_in_memory() -> None:
    """A program that embeds the service without Redis's address is limited all the same."""
    counters = RateCounters(None, lambda: False)
    limit = parse("1/minute")

    assert counters.hit_everywhere(limit, "login", "x") is None
    assert counters.hit_everywhere(limit, "login", "x") is not None
