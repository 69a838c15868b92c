"""A short sale over real servers, of which every word that a client heard is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets, JobState
from aurora_atlan.config import Settings
from aurora_atlan.persistence.events import NewEvent
from aurora_atlan.persistence.outbox import OutcomeNotice as Outcome
from aurora_atlan.supervisor import Supervisor
from harness_crowd import at_a_barrier
from harness_sales import make_buyers, running
from oracle.history import Attempt, Delivered, History, Told

_SHOWTIME = datetime(2027, 6, 1, 20, tzinfo=UTC)
_POLL_S = 0.01


class Trigger:
    """Goes off so many times, once it is armed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = 0
        self._went_off = 0

    def arm(self, times: int = 1) -> None:
        """Let the next so many pulls go off."""
        with self._lock:
            self._left = times

    def pull(self) -> bool:
        """Tell whether it goes off."""
        with self._lock:
            if self._left == 0:
                return False
            self._left -= 1
            self._went_off += 1
            return True

    def demand_it_went_off(self) -> None:
        """Fail when the sale was never disturbed: then it proves nothing."""
        if self._went_off == 0:
            raise AssertionError("the disturbance never came")


@dataclass
class Sale:
    """The clients' side of a sale."""

    settings: Settings
    # How long an answer may take before nobody waits for it any more.
    patience_s: float
    history: History = field(default_factory=History)

    @property
    def url(self) -> str:
        """The database's URL."""
        assert self.settings.database_url is not None
        return self.settings.database_url

    @contextmanager
    def service(self, **changes: Any) -> Iterator[Supervisor]:
        """Run the service in this process, and receive its outcomes."""
        with running(replace(self.settings, **changes), on_outcome=self._receive) as supervisor:
            yield supervisor

    def event(self, supervisor: Supervisor, capacity: int, cap_per_user: int = 1) -> int:
        """Create an event and return its id."""
        return supervisor.events.create(
            NewEvent("Aurora", "Atlan", _SHOWTIME, capacity, cap_per_user=cap_per_user)
        ).id  # fmt: skip

    def buyers(self, count: int) -> list[int]:
        """Create buyers and return their ids."""
        return make_buyers(self.url, count)

    def buy(self, supervisor: Supervisor, event_id: int, user_id: int) -> UUID:
        """Ask for a ticket until there is a receipt; return its job."""
        deadline = time.monotonic() + self.patience_s
        while True:
            asked_at = time.time()
            key = f"key-{user_id}"
            noted = _noting(event_id, user_id, key, asked_at)
            try:
                receipt = supervisor.submit(BookTickets(event_id, user_id, 1, key))
            except UnavailableError as error:
                self.history.add(noted(accepted=False, job_id=error.job_id, answer=type(error).__name__))
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            else:
                self.history.add(
                    noted(
                        accepted=True,
                        job_id=receipt.job_id,
                        queue_number=receipt.queue_number,
                        accepted_at=receipt.accepted_at.timestamp(),
                        durability=receipt.durability,
                    )
                )
                return receipt.job_id

    def rush(self, supervisor: Supervisor, events: Sequence[int], users: Sequence[int], threads: int = 8) -> None:
        """Let all users ask at once, the events taking turns."""

        def shop(number: int, _turn: int) -> None:
            for place in range(number, len(users), threads):
                self.buy(supervisor, events[place % len(events)], users[place])

        at_a_barrier(threads, 1, shop)

    def ask(self, supervisor: Supervisor, job_id: UUID) -> bool:
        """Ask where a job stands, and keep a final answer; False while there is none."""
        with suppress(UnavailableError):
            status = supervisor.status(job_id)
            if status is not None and status.status in (JobState.COMPLETED, JobState.FAILED):
                booking_id = None if status.booking is None else status.booking.id
                told = Told(
                    job_id=job_id,
                    told_at=time.time(),
                    status=status.status,
                    reason=status.reason,
                    booking_id=booking_id,
                )
                self.history.add(told)
                return True
        return False

    def hear(self, supervisor: Supervisor, jobs: Collection[UUID] | None = None) -> None:
        """Ask for these jobs, or all with a receipt, until each has its answer or patience is at an end."""
        deadline = time.monotonic() + self.patience_s
        left = list(self.history.accepted_jobs() if jobs is None else jobs)
        while left and time.monotonic() < deadline:
            left = [job_id for job_id in left if not self.ask(supervisor, job_id)]
            if left:
                time.sleep(_POLL_S)

    def sell_first(self, supervisor: Supervisor, events: Sequence[int]) -> None:
        """Sell the first ticket of each event, so that its actor lives and knows where the numbers stand."""
        for event_id, user_id in zip(events, self.buyers(len(events)), strict=True):
            self.hear(supervisor, [self.buy(supervisor, event_id, user_id)])

    def run_sql(self, statement: str) -> Any:
        """Run a statement as superuser; return its first value, if it has one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return None if row is None else row[0]

    def _receive(self, outcome: Outcome) -> None:
        self.history.add(
            Delivered(event_id=outcome.event_id, entry_number=outcome.entry_number, job_id=outcome.job_id)
        )  # fmt: skip


def _noting(event_id: int, user_id: int, key: str | None, asked_at: float) -> Callable[..., Attempt]:
    def note(**answer: Any) -> Attempt:
        return Attempt(
            event_id=event_id,
            user_id=user_id,
            quantity=1,
            key=key,
            asked_at=asked_at,
            answered_at=time.time(),
            **answer,
        )

    return note
