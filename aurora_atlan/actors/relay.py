"""Relays outcomes from the outbox to the hook and to webhooks, each at least once, per event in order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from aurora_atlan.actors.faults import NO_FAULTS, Faults
from aurora_atlan.persistence.database import Connection, Database
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.outbox import Outbox, OutcomeNotice

_BATCH_MAX = 1000
_PAUSE_S = 0.5
_PAUSE_AFTER_ERROR_S = 2.0
_LAST_OUTCOME_S = 0.5

log = logging.getLogger(__name__)


class OutboxRelay:
    """A thread that empties the outbox; in one process per database at a time.

    A hook that raises is told the same outcome again; only those of the same event wait for that. Webhooks are handed
    what the hook, if there is one, was told.
    """

    def __init__(
        self, database: Database, on_outcome: Callable[[OutcomeNotice], None] | None, faults: Faults = NO_FAULTS
    ) -> None:
        self._database = database
        self._faults = faults
        self._on_outcome = on_outcome
        self._stopping = threading.Event()
        # Events whose outcomes the hook failed to take, until when they are left alone.
        self._failing: dict[int, float] = {}
        # The time to stop is over: nobody is told anything more.
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="aurora-relay", daemon=True)

    def start(self) -> None:
        """Start relaying."""
        self._thread.start()

    def runs_here(self) -> bool:
        """Tell whether the calling thread is this one's."""
        return self._thread is threading.current_thread()

    def stop(self, timeout_s: float) -> None:
        """Relay what waits, for as long as that takes or the time is up; the rest waits for the next start."""
        self._stopping.set()
        if not self._thread.is_alive() or self.runs_here():
            # A receiver stops us: it is told nothing more.
            self._abandoned = True
            return
        self._thread.join(timeout_s)
        self._abandoned = True
        # Whoever is being told of one outcome may take it in.
        self._thread.join(min(timeout_s, _LAST_OUTCOME_S))

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
            except BaseException:  # nobody would start this thread again
                log.exception("the relay stumbled; it goes on")
            if self._stopping.wait(_PAUSE_AFTER_ERROR_S):
                return

    def _relay(self, connection: Connection) -> None:
        outbox = Outbox(connection)
        ours = False
        while True:
            # Looked at before reading, so that what was decided before a stop is told.
            last = self._stopping.is_set()
            ours = ours or outbox.claim()
            told = self._relay_some(outbox) if ours else 0
            if self._abandoned or (last and told < _BATCH_MAX):
                return
            if told < _BATCH_MAX:
                self._stopping.wait(_PAUSE_S)

    def _relay_some(self, outbox: Outbox) -> int:
        if self._on_outcome is None:
            moved = outbox.pass_on_oldest(_BATCH_MAX)
            if moved:
                self._faults.reach("after_delivery")
            return moved
        now = time.monotonic()
        self._failing = {event_id: until for event_id, until in self._failing.items() if until > now}
        told = self._tell(outbox.waiting(_BATCH_MAX, self._failing), self._on_outcome)
        if told:
            self._faults.reach("after_delivery")
            outbox.pass_on(told)
        return len(told)

    def _tell(self, waiting: Sequence[OutcomeNotice], receiver: Callable[[OutcomeNotice], None]) -> list[OutcomeNotice]:
        told = []
        for outcome in waiting:
            if self._abandoned:
                break
            if outcome.event_id in self._failing:
                # In order: the one before it comes first.
                continue
            try:
                receiver(outcome)
            except BaseException:
                # Whatever a receiver does, the relay lives on.
                log.exception("a receiver of outcomes failed; it will be told again")
                self._failing[outcome.event_id] = time.monotonic() + _PAUSE_AFTER_ERROR_S
            else:
                told.append(outcome)
        return told
