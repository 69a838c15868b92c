"""How much is measured, and with how much of everything."""

from __future__ import annotations

from dataclasses import dataclass

ROUNDS = 3
SECONDS = 5

# Kept open by the load generator, each with one request under way.
CONNECTIONS = 64
# More than any server here answers in the longest run, so that nobody asks twice for the same event.
USERS_MIN = 40_000
USERS_PER_SECOND = 10_000
# Users of their own, so that the probe meets nobody who has booked.
PROBE_USERS = 2_000
PROBE_PER_SECOND = 50

EVENTS_MANY = 64
EVENTS_ZIPF = 1_000
EVENTS_LISTED = 100
# Nobody is refused where refusals are not the subject.
CAPACITY = 1_000_000

ENGINE_JOBS = 20_000
# Gathering needs many who wait: with 128 threads more was decided than with 64, and with 256 no more.
ENGINE_THREADS = 128
ONE_BY_ONE_JOBS = 2_000

SELLOUT_SEATS = 500
SELLOUT_BUYERS = 5_000

WAITING = (0, 1_000, 10_000, 100_000)
RECORDED = 1_000_000
MEMORY_EVENTS = 10_000
MEMORY_JOBS = 100_000


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: every scenario ``rounds`` times in turn, load for ``seconds`` each time."""

    rounds: int
    seconds: int

    @property
    def users(self) -> int:
        """How many users book, beside those of the probe."""
        return max(USERS_MIN, USERS_PER_SECOND * self.seconds)

    @property
    def short_seconds(self) -> int:
        """The seconds of load where there is little to vary."""
        return max(1, (self.seconds + 1) // 2)
