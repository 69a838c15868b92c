"""Where actors find each other and the state of the dependencies, as it stands now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pykka

from aurora_atlan.actors.breaker import Breaker
from aurora_atlan.actors.scheduler import Scheduler

if TYPE_CHECKING:
    from aurora_atlan.actors.committer import CommitterActor
    from aurora_atlan.actors.journal import JournalActor


class Switchboard:
    """The current incarnations of the process's single actors; the supervisor alone replaces them."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.redis = Breaker("Redis")
        self.postgres = Breaker("PostgreSQL")
        self.journal: pykka.ActorRef[JournalActor] | None = None
        self.committer: pykka.ActorRef[CommitterActor] | None = None
        # Decides what the committer left out because somebody else held the row.
        self.patient: pykka.ActorRef[CommitterActor] | None = None
