"""The audit: recomputes every event from its rows and replays the ledger.

It takes the word of none of the code that books. One snapshot holds all it reads, so that it may run
while the service sells.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import psycopg

from aurora_atlan.persistence import queries
from aurora_atlan.persistence.audit_findings import Findings
from aurora_atlan.persistence.audit_matching import MATCHES
from aurora_atlan.persistence.audit_report import AuditProgress, AuditReport, EventAudit, ProgressCallback
from aurora_atlan.persistence.audit_rules import Counters, Entry, LedgerReplay
from aurora_atlan.persistence.database import Connection, Database
from aurora_atlan.persistence.errors import translated

_STATEMENT_TIMEOUT = "1h"
# Longer than the server's own limit, which says more.
_ANSWER_WITHIN_S = 3_660.0
_IDLE_TIMEOUT = "10min"
_ROWS_AT_ONCE = 5_000


class _Subject(NamedTuple):
    """What the tables other than the ledger say of an event."""

    event_id: int
    name: str | None
    capacity: int | None
    sold: int | None
    last_queue_number: int | None
    last_entry: int | None
    ledger_head: bytes | None
    # The counter of confirmed bookings.
    bookings: int | None
    seats_booked: int
    bookings_confirmed: int
    bookings_cancelled: int
    entries: int

    @property
    def counters(self) -> Counters | None:
        """The inventory row, when there is one."""
        if (
            self.capacity is None
            or self.sold is None
            or self.last_queue_number is None
            or self.last_entry is None
            or self.ledger_head is None
            or self.bookings is None
        ):
            return None
        return Counters(
            self.capacity, self.sold, self.last_queue_number, self.last_entry, self.ledger_head, self.bookings
        )


class Auditor:
    """Audits a database; reading only, and with a flat need of memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries.load("audit")

    def run(self, event_id: int | None = None, progress: ProgressCallback | None = None) -> AuditReport:
        """Audit one event, or all of them.

        The report has no event when there is none of that id. ``progress`` is called every few thousand
        entries. Raises the errors of :mod:`aurora_atlan.persistence.errors`.
        """
        started = time.monotonic()
        connection = self._database.dedicated_connection(_ANSWER_WITHIN_S)
        try:
            with translated():
                connection.execute(
                    self._queries["limits"],
                    {"statement_timeout": _STATEMENT_TIMEOUT, "idle_timeout": _IDLE_TIMEOUT},
                )
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
                with connection.transaction():
                    [at] = connection.execute(self._queries["snapshot_at"]).fetchone() or (None,)
                    events = _Pass(connection, self._queries, event_id, progress).run()
        finally:
            connection.close()
        return AuditReport(at=at, duration_s=time.monotonic() - started, events=events)


class _Pass:
    """One audit under way, inside its snapshot."""

    def __init__(
        self,
        connection: Connection,
        statements: Mapping[str, bytes],
        event_id: int | None,
        progress: ProgressCallback | None,
    ) -> None:
        self._connection = connection
        self._queries = statements
        self._event_id = event_id
        self._progress = progress
        self._subjects: dict[int, _Subject] = {}
        self._findings: dict[int, Findings] = {}
        self._kinds: dict[int, dict[str, int]] = {}

    def run(self) -> tuple[EventAudit, ...]:
        for row in self._rows("subjects"):
            subject = _Subject(*row)
            self._subjects[subject.event_id] = subject
            self._findings[subject.event_id] = Findings(subject.event_id)
        self._replay()
        for subject in self._subjects.values():
            _check_counters(subject, self._findings[subject.event_id])
        for query, match in MATCHES.items():
            for row in self._rows(query):
                match(self._findings, row)
        return tuple(self._audited(subject) for subject in self._subjects.values())

    def _replay(self) -> None:
        for event_id, entries in groupby(map(Entry._make, self._ledger()), key=itemgetter(0)):
            replay = LedgerReplay(self._findings[event_id])
            for entry in entries:
                replay.feed(entry)
            replay.finish(self._subjects[event_id].counters)
            self._kinds[event_id] = dict(replay.kinds)

    def _ledger(self) -> Iterator[tuple[Any, ...]]:
        expected = sum(subject.entries for subject in self._subjects.values())
        for number, row in enumerate(self._rows("ledger"), start=1):
            yield row
            if self._progress is not None and (number % _ROWS_AT_ONCE == 0 or number == expected):
                self._progress(AuditProgress(row[0], number, expected))

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        # A cursor of the server's: psycopg's ordinary one would fetch a whole ledger into memory.
        with self._connection.cursor(name=f"audit_{query}") as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(self._queries[query], {"event_id": self._event_id})
            yield from cursor

    def _audited(self, subject: _Subject) -> EventAudit:
        findings = self._findings[subject.event_id]
        return EventAudit(
            event_id=subject.event_id,
            name=subject.name,
            capacity=subject.capacity,
            sold=subject.sold,
            seats_booked=subject.seats_booked,
            bookings_confirmed=subject.bookings_confirmed,
            bookings_cancelled=subject.bookings_cancelled,
            entries=subject.entries,
            kinds=self._kinds.get(subject.event_id, {}),
            violations_found=findings.found,
            violations=tuple(findings.kept),
        )


def _check_counters(subject: _Subject, findings: Findings) -> None:
    """Hold the inventory row against the bookings, and find what has no ledger or no inventory row."""
    counters = subject.counters
    if counters is None:
        if subject.entries == 0:
            findings.add("no_inventory", "the event has no row in event_inventory")
    elif subject.entries == 0:
        LedgerReplay(findings).finish(counters)
    bookings = subject.bookings_confirmed + subject.bookings_cancelled
    if subject.entries == 0 and bookings:
        findings.add("no_ledger", f"it has {bookings} bookings but no ledger")
    if counters is None:
        return
    if counters.sold != subject.seats_booked:
        findings.add(
            "counter",
            f"the counter sold says {counters.sold}, but the confirmed bookings hold {subject.seats_booked} seats",
        )
    if counters.bookings != subject.bookings_confirmed:
        findings.add(
            "counter",
            f"the counter bookings says {counters.bookings}, but {subject.bookings_confirmed} bookings are confirmed",
        )
    if max(counters.sold, subject.seats_booked) > counters.capacity:
        findings.add(
            "oversold",
            f"oversold: the confirmed bookings hold {subject.seats_booked} seats and the counter sold says "
            f"{counters.sold}, of {counters.capacity}",
        )
