"""Where actors find each other and the state of the dependencies, as it stands now."""

from __future__ import annotations

from aurora_atlan.actors.breaker import Breaker
from aurora_atlan.actors.faults import NO_FAULTS, Faults
from aurora_atlan.actors.messages import Flush
from aurora_atlan.actors.metrics import NO_METRICS, Metrics
from aurora_atlan.actors.notices import NoticeBoard
from aurora_atlan.actors.pauses import Pauses
from aurora_atlan.actors.scheduler import Scheduler
from aurora_atlan.actors.supervised import Ref, tell
from aurora_atlan.persistence.errors import SchemaError, StoreError, StoreRefusesError

_WHILE_IT_FAILS_S = 0.25


class Switchboard:
    """The current incarnations of the process's single actors; the supervisor alone replaces them."""

    def __init__(self, scheduler: Scheduler, faults: Faults = NO_FAULTS, metrics: Metrics = NO_METRICS) -> None:
        self.scheduler = scheduler
        self.faults = faults
        self.metrics = metrics
        self.notices = NoticeBoard()
        self.pauses = Pauses()
        # Out of reach, or answering but taking no writes: a probe that only asks for a sign of life would
        # close one breaker for both again and again.
        self.redis = Breaker("Redis")
        self.redis_writes = Breaker("writing to Redis")
        self.postgres = Breaker("PostgreSQL")
        self.postgres_writes = Breaker("writing to PostgreSQL")
        self.journal: Ref | None = None
        self.committer: Ref | None = None
        # Decides what the committer left out because somebody else held the row.
        self.patient: Ref | None = None

    def postgres_patience_s(self, usual_s: float) -> float:
        """Return how long a caller may wait for PostgreSQL: while it fails, only long enough to see that it is back."""
        return min(usual_s, _WHILE_IT_FAILS_S) if self.postgres.is_open else usual_s

    def wake_committers(self) -> None:
        """Have the committers try again what waits for a store."""
        tell(self.committer, Flush())
        tell(self.patient, Flush())

    def redis_failed(self, error: StoreError) -> None:
        """Open the breaker that the error speaks of."""
        (self.redis_writes if isinstance(error, StoreRefusesError) else self.redis).open(str(error))

    def postgres_failed(self, error: StoreError) -> None:
        """Open the breaker that the error speaks of."""
        refused = isinstance(error, StoreRefusesError | SchemaError)
        (self.postgres_writes if refused else self.postgres).open(str(error))
