"""Dead letters: the ledger's entries of jobs that could not be decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.records import Reason

_SQL = queries.load("dead_letters")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that failed for ever, and the ledger entry that says so."""

    job_id: UUID
    event_id: int
    user_id: int
    quantity: int
    reason: Reason
    queue_number: int | None
    accepted_at: datetime
    failed_at: datetime
    entry_number: int


class DeadLetterStore:
    """Dead letters in PostgreSQL. Its methods raise :mod:`aurora_atlan.persistence.errors`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, limit: int, before: tuple[datetime, int, int] | None = None) -> list[DeadLetter]:
        """Return up to ``limit``, newest first, those before a (failed at, event, entry number)."""
        failed_at, event_id, entry_number = before or (None, 0, 0)
        parameters = {
            "limit": limit,
            "before_at": failed_at,
            "before_event_id": event_id,
            "before_entry_number": entry_number,
        }
        rows = self._database.rows(_SQL["page"], parameters)
        return [_letter(*row) for row in rows]


def _letter(job_id: UUID, event_id: int, user_id: int, quantity: int, reason: str, *rest: Any) -> DeadLetter:
    return DeadLetter(job_id, event_id, user_id, quantity, Reason(reason), *rest)
