"""Rate limits that all processes share, over a real Redis."""

from __future__ import annotations

from limits import parse

from aurora_atlan.config import Settings
from aurora_atlan.persistence.embedded import EmbeddedRedis
from aurora_atlan.persistence.rate_counters import RateCounters
from aurora_atlan.persistence.redis_clients import accepting_client

_LIMIT = parse("2/minute")


def test_two_processes_count_together(redis_url: str) -> None:
    """What one allowed counts for the other; what each counts for itself does not."""
    settings = Settings(redis_url=redis_url)
    here, there = (
        RateCounters(accepting_client(settings), lambda: False),
        RateCounters(accepting_client(settings), lambda: False),
    )

    assert here.hit_everywhere(_LIMIT, "login", "a") is None
    assert there.hit_everywhere(_LIMIT, "login", "a") is None
    left_s = here.hit_everywhere(_LIMIT, "login", "a")
    assert left_s is not None
    assert 50 < left_s <= 60
    assert [here.hit_here(_LIMIT, "login", "a") for _ in range(2)] == [None, None]
    for counters in (here, there):
        counters.close()


def test_nobody_is_refused_because_redis_is_away(own_redis: EmbeddedRedis) -> None:
    """Each process counts for itself meanwhile, so that guessing passwords stays slow."""
    counters = RateCounters(accepting_client(Settings(redis_url=own_redis.url())), lambda: False)
    own_redis.stop()

    assert [counters.hit_everywhere(_LIMIT, "login", "a") for _ in range(2)] == [None, None]
    assert counters.hit_everywhere(_LIMIT, "login", "a") is not None
    counters.close()


def test_while_redis_is_known_to_be_away_it_is_not_asked(redis_url: str) -> None:
    """Nobody waits for a time limit again and again."""
    asked_anyway = RateCounters(accepting_client(Settings(redis_url=redis_url)), lambda: False)
    counters = RateCounters(accepting_client(Settings(redis_url=redis_url)), lambda: True)

    for _ in range(2):
        assert counters.hit_everywhere(_LIMIT, "login", "a") is None
    assert asked_anyway.hit_everywhere(_LIMIT, "login", "a") is None
    for one in (counters, asked_anyway):
        one.close()
