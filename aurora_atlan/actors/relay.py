"""Relays outcomes from the outbox to whoever registered, each at least once, per event in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from aurora_atlan.persistence.database import Connection, Database
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.outbox import Outbox, Told

_BATCH_MAX = 1000
_PAUSE_S = 0.5
_PAUSE_AFTER_ERROR_S = 2.0

log = logging.getLogger(__name__)


class OutboxRelay:
    """A thread that empties the outbox; in one process per database at a time.

    Without a hook the outcomes are deleted once read. A hook that raises is told the same outcome again.
    """

    def __init__(self, database: Database, on_outcome: Callable[[Told], None] | None) -> None:
        self._database = database
        self._on_outcome = on_outcome
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aurora-relay", daemon=True)

    def start(self) -> None:
        """Start relaying."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Relay what waits, for as long as that takes or the time is up; the rest waits for the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            try:
                connection = self._database.dedicated_connection()
                try:
                    self._relay(connection)
                finally:
                    connection.close()
                return
            except StoreError as error:
                log.debug("the relay lost PostgreSQL: %s", error)
            except Exception:
                log.exception("a receiver of outcomes failed; it will be told again")
            if self._stopping.wait(_PAUSE_AFTER_ERROR_S):
                return

    def _relay(self, connection: Connection) -> None:
        outbox = Outbox(connection)
        ours = False
        while True:
            # Looked at before reading, so that what was decided before a stop is told.
            last = self._stopping.is_set()
            ours = ours or outbox.claim()
            told = outbox.waiting(_BATCH_MAX) if ours else []
            if self._on_outcome is not None:
                for outcome in told:
                    self._on_outcome(outcome)
            if told:
                outbox.forget(told)
            if len(told) < _BATCH_MAX:
                if last:
                    return
                self._stopping.wait(_PAUSE_S)
