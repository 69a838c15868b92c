"""Reads PostgreSQL as one consistent snapshot, with queries of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import class_row, dict_row

# A failed job is an outcome of one entry; "era" counts how often the event's queue began anew before the entry.
_OUTCOMES = """
    SELECT job_id, event_id, entry_number, kind, reason, booking_id, user_id, quantity, queue_number, era
      FROM (SELECT *, count(*) FILTER (WHERE kind = 'queue_restarted')
                      OVER (PARTITION BY event_id ORDER BY entry_number) AS era
              FROM booking_ledger) AS entry
     WHERE job_id IS NOT NULL
     ORDER BY event_id, entry_number"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job's answer as a ledger entry has it."""

    job_id: UUID
    event_id: int
    entry_number: int
    kind: str
    reason: str | None
    booking_id: int | None
    user_id: int | None
    quantity: int | None
    queue_number: int | None
    era: int

    @property
    def status(self) -> str:
        """What a client must be told."""
        return "completed" if self.kind == "confirmed" else "failed"

    @property
    def in_order(self) -> bool:
        """The order of acceptance holds for it: it was neither withdrawn nor decided while the queue was away."""
        return self.kind != "cancelled" and self.queue_number is not None


class Snapshot:
    """Rows as they were at one moment."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(self, query: LiteralString, parameters: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Give the rows that a query selects, by the names of their columns."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            yield from cursor.execute(query, parameters)

    def outcomes(self) -> dict[UUID, Outcome]:
        """Return every job's answer; of a job that has two, the first."""
        found: dict[UUID, Outcome] = {}
        with self._connection.cursor(row_factory=class_row(Outcome)) as cursor:
            for outcome in cursor.execute(_OUTCOMES):
                found.setdefault(outcome.job_id, outcome)
        return found


@contextmanager
def snapshot(database_url: str) -> Iterator[Snapshot]:
    """Read within one transaction that sees a single moment and changes nothing."""
    with psycopg.connect(database_url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield Snapshot(connection)
