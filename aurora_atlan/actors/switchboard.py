"""Where actors find each other and the state of the dependencies, as it stands now."""

from __future__ import annotations

from aurora_atlan.actors.breaker import Breaker
from aurora_atlan.actors.scheduler import Scheduler
from aurora_atlan.actors.supervised import Ref


class Switchboard:
    """The current incarnations of the process's single actors; the supervisor alone replaces them."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.redis = Breaker("Redis")
        self.postgres = Breaker("PostgreSQL")
        self.journal: Ref | None = None
        self.committer: Ref | None = None
        # Decides what the committer left out because somebody else held the row.
        self.patient: Ref | None = None
