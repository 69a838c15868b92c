"""Whether a measurement measured what it says, and its figures."""

from __future__ import annotations

from benchmarks import plan
from benchmarks.load import Answers
from benchmarks.results import Sample
from benchmarks.world import World

# Whatever wrk is, it must not be what limits the others.
_LOAD_MAX = 0.9


def judge(world: World, answers: Answers, shares: Sample, recorded: int | None = None) -> None:
    """Hold against each other what wrk saw, what the stores hold and who used the processor.

    ``recorded`` is how many bookings the stores hold. What does not fit is a failure of the run. The next load
    begins with users who have not asked yet.
    """
    for failure in answers.failures():
        world.check(False, failure)
    if recorded is not None:
        # Those that were under way when wrk stopped were accepted, and it never saw it.
        unseen = recorded - answers.accepted
        world.check(
            0 <= unseen <= plan.CONNECTIONS,
            f"wrk saw {answers.accepted:,} bookings accepted, but {recorded:,} are recorded",
        )
        world.check(answers.requests < world.crowd.count, f"{answers.requests:,} bookings need more users")
        world.crowd.advance(answers.requests + plan.CONNECTIONS)
    world.check(shares["cpu_load"] < _LOAD_MAX, f"wrk used {shares['cpu_load']:.0%} of a core: it was the limit itself")


def figures(answers: Answers) -> Sample:
    """Return rate and latencies of a load."""
    return {
        "requests_per_s": answers.per_s,
        "p50_ms": answers.p50_ms,
        "p99_ms": answers.p99_ms,
        "max_ms": answers.max_ms,
    }
