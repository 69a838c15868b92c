"""The audit log: who did what in administration. It only ever grows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.database import Connection, Database

_SQL = queries.load("audit_log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something an administrator or operator did, to be noted together with what it changed."""

    # None: the command line, the service itself, or a program that embeds it.
    actor_id: int | None
    # What was done, as in "event.update".
    action: str
    # To what, as in "event 7".
    subject: str
    ip: str | None = None
    request_id: str | None = None
    # What JSON can hold: how it was, and how it is now.
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class NotedDeed:
    """An entry of the log."""

    id: int
    at: datetime
    actor_id: int | None
    action: str
    subject: str
    ip: str | None
    request_id: str | None
    before: Any
    after: Any


def note(connection: Connection, deed: Deed) -> None:
    """Write the deed in the transaction that does it: neither is there without the other."""
    connection.execute(
        _SQL["note"],
        {
            "actor_id": deed.actor_id,
            "action": deed.action,
            "subject": deed.subject,
            "ip": deed.ip,
            "request_id": deed.request_id,
            "before": _json(deed.before),
            "after": _json(deed.after),
        },
    )


class AuditLog:
    """The log in PostgreSQL. Its methods raise :mod:`aurora_atlan.persistence.errors`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, deed: Deed) -> None:
        """Write a deed that changes nothing in PostgreSQL: call it before doing it."""
        with self._database.transaction() as connection:
            note(connection, deed)

    def page(self, limit: int, before_id: int | None = None) -> list[NotedDeed]:
        """Return up to ``limit`` deeds, newest first, those with an id below ``before_id``."""
        return [NotedDeed(*row) for row in self._database.rows(_SQL["page"], {"limit": limit, "before_id": before_id})]


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
