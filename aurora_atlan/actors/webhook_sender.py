"""Sends outcomes to webhooks: at least once, per event in order, each webhook in a thread of its own.

Every process sends. Who sends what is agreed on in PostgreSQL: a lane, one event's deliveries to one webhook, is
claimed for a while.
"""

from __future__ import annotations

import functools
import logging
import ssl
import threading
import time
from dataclasses import dataclass

from aurora_atlan.actors.metrics import Metrics
from aurora_atlan.actors.webhook_turn import Turn
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.webhook_deliveries import WebhookDeliveryStore

# How often to look for something that is due.
_LOOK_S = 0.5
_PAUSE_AFTER_ERROR_S = 2.0
# Longer than a turn takes, resolving the name and all. What a crash leaves behind is sent again after that time.
_CLAIM_S = 60.0
_LAST_ANSWER_S = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    turn: Turn
    thread: threading.Thread


class WebhookSender:
    """A thread that finds what is due, and one for each webhook while it is sent to."""

    def __init__(self, database: Database, metrics: Metrics, *, private: bool) -> None:
        self._store = WebhookDeliveryStore(database)
        self._metrics = metrics
        self._private = private
        self._stopping = threading.Event()
        self._wake = threading.Event()
        # By webhook.
        self._under_way: dict[int, _UnderWay] = {}
        self._thread = threading.Thread(target=self._run, name="aurora-webhooks", daemon=True)

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Let posts under way have their answers within the time, then cut them; the rest waits for the next start.

        A thread that just resolves a name cannot be cut: it ends when the system's resolver lets it.
        """
        deadline = time.monotonic() + timeout_s
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        under_way = list(self._under_way.values())
        for each in under_way:
            each.turn.end()
        for each in under_way:
            each.thread.join(max(0.0, deadline - time.monotonic()))
            each.turn.abort()
        last = time.monotonic() + _LAST_ANSWER_S
        for each in under_way:
            each.thread.join(max(0.0, last - time.monotonic()))

    @functools.cached_property
    def _trust(self) -> ssl.SSLContext:
        # Made when it is needed first: reading the system's certificates takes a while.
        return ssl.create_default_context()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            pause_s = _PAUSE_AFTER_ERROR_S
            try:
                self._begin_turns()
                pause_s = _LOOK_S
            except StoreError as error:
                log.debug("webhooks wait for PostgreSQL: %s", error)
            except Exception:  # nobody would start this thread again
                log.exception("sending to webhooks stumbled; it goes on")
            self._wake.wait(pause_s)

    def _begin_turns(self) -> None:
        for lane in self._store.claim(list(self._under_way), _CLAIM_S):
            if self._stopping.is_set():
                # Its claim ends by itself.
                return
            turn = Turn(lane, self._store, self._metrics, private=self._private)
            name = f"aurora-webhook-{lane.webhook_id}"
            thread = threading.Thread(target=self._take, args=(turn,), name=name, daemon=True)
            # Before it starts: it takes itself out.
            self._under_way[lane.webhook_id] = _UnderWay(turn, thread)
            try:
                thread.start()
            except BaseException:
                del self._under_way[lane.webhook_id]
                raise

    def _take(self, turn: Turn) -> None:
        try:
            turn.take(self._trust)
        except StoreError as error:
            log.debug("what became of a webhook's deliveries could not be noted; they are sent again: %s", error)
        except BaseException:  # whatever a receiver does, the others are sent to
            log.exception("sending to webhook %d failed", turn.lane.webhook_id)
        finally:
            del self._under_way[turn.lane.webhook_id]
            self._wake.set()
