"""What clients asked and were told, recorded while it happens. It knows nothing of the service's code."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request to book, and its immediate answer. Times are ``time.time()`` of the client."""

    event_id: int
    user_id: int
    quantity: int
    # The Idempotency-Key; None: without one.
    key: str | None
    asked_at: float
    answered_at: float
    # 202, or decided at once (200); False: refused, or no answer came.
    accepted: bool
    # With accepted=False: the attempt may have been accepted under this id all the same.
    job_id: UUID | None = None
    queue_number: int | None = None
    # Seconds since 1970 as the service said.
    accepted_at: float | None = None
    # always, everysec, none or unknown, as the 202 said.
    durability: str | None = None
    # The HTTP status, or of an embedded supervisor the name of the exception.
    answer: str = ""
    # No answer came at all: it may have been accepted under an id that nobody knows.
    unanswered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A final answer that a client was given for a job."""

    job_id: UUID
    told_at: float
    # completed or failed
    status: str
    reason: str | None
    booking_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """A booking that its user was told is cancelled."""

    booking_id: int
    told_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """An outcome that a receiver of outcomes was given, in the order of arrival."""

    event_id: int
    entry_number: int
    job_id: UUID | None


class History:
    """Everything that clients saw. Any thread may add to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.attempts: list[Attempt] = []
        self.told: list[Told] = []
        self.cancelled: list[Cancelled] = []
        self.delivered: list[Delivered] = []

    def add(self, record: Attempt | Told | Cancelled | Delivered) -> None:
        """Note one thing that happened."""
        with self._lock:
            self._list_of(type(record)).append(record)

    def accepted_jobs(self) -> set[UUID]:
        """Return the jobs that clients hold a receipt for."""
        with self._lock:
            return {attempt.job_id for attempt in self.attempts if attempt.accepted and attempt.job_id is not None}

    def possible_jobs(self) -> set[UUID]:
        """Return the jobs that may have been accepted although nobody was told."""
        with self._lock:
            return {attempt.job_id for attempt in self.attempts if not attempt.accepted and attempt.job_id is not None}

    def save(self, path: Path) -> None:
        """Write it as JSON lines."""
        with self._lock, path.open("w", encoding="utf-8") as file:
            for records in (self.attempts, self.told, self.cancelled, self.delivered):
                for record in records:
                    line = {"kind": type(record).__name__, **asdict(record)}
                    file.write(json.dumps(line, default=str) + "\n")

    @classmethod
    def load(cls, path: Path) -> History:
        """Read what :meth:`save` wrote."""
        history = cls()
        kinds: dict[str, Callable[..., Any]] = {kind.__name__: kind for kind in (Attempt, Told, Cancelled, Delivered)}
        for line in path.read_text("utf-8").splitlines():
            fields = json.loads(line)
            kind = kinds[fields.pop("kind")]
            if fields.get("job_id") is not None:
                fields["job_id"] = UUID(fields["job_id"])
            history.add(kind(**fields))
        return history

    def _list_of(self, kind: type[T]) -> list[T]:
        lists: dict[type, list[Any]] = {
            Attempt: self.attempts,
            Told: self.told,
            Cancelled: self.cancelled,
            Delivered: self.delivered,
        }
        return lists[kind]
