"""One turn of a lane: what waits for one webhook of one event is sent, in order, until something fails."""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from aurora_atlan.actors.metrics import Metrics
from aurora_atlan.actors.webhook_addresses import RefusedAddressError, WebhookUrl
from aurora_atlan.actors.webhook_client import PostError, WebhookClient
from aurora_atlan.actors.webhook_messages import body_of, headers_of
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.webhook_deliveries import Delivery, Failure, Lane, Target, WebhookDeliveryStore

# After so long, or so many, another event has its turn; what was sent in one is noted when it ends.
_TURN_S = 1.0
_TURN_MAX = 100
# The pause after the first failure; doubled each time, and more or less a quarter, so that not all come at once.
_RETRY_MIN_S = 5.0
_RETRY_MAX_S = 3600.0
_DOUBLINGS_MAX = 10
_JITTER = 0.25
_FAILING_MAX = timedelta(days=5)

log = logging.getLogger(__name__)


class Turn:
    """A claimed lane's turn, to be taken once, by any thread."""

    def __init__(self, lane: Lane, store: WebhookDeliveryStore, metrics: Metrics, *, private: bool) -> None:
        self.lane = lane
        self._store = store
        self._metrics = metrics
        self._private = private
        self._stopping = threading.Event()
        self._client: WebhookClient | None = None

    def take(self, trust: ssl.SSLContext) -> None:
        """Send what waits and note what became of it; raises :mod:`aurora_atlan.persistence.errors`."""
        found = self._store.waiting(self.lane, _TURN_MAX)
        if found is None or not found[1]:
            return
        target, waiting = found
        try:
            url = WebhookUrl.parse(target.url, private=self._private)
        except RefusedAddressError as error:
            # It was accepted while private addresses were.
            self._settle([], self._failure(waiting[0], target, str(error)))
            return
        self._client = client = WebhookClient(url, trust, private=self._private)
        try:
            self._send(client, target, waiting)
        finally:
            client.close()

    def end(self) -> None:
        """Begin no other post; that under way may have its answer."""
        self._stopping.set()

    def abort(self) -> None:
        """Cut the post under way."""
        client = self._client
        if client is not None:
            client.abort()

    def _send(self, client: WebhookClient, target: Target, waiting: list[Delivery]) -> None:
        began = time.monotonic()
        for sent, delivery in enumerate(waiting):
            if self._stopping.is_set() or time.monotonic() - began > _TURN_S:
                self._settle(waiting[:sent], delivery)
                return
            body = body_of(delivery)
            try:
                status = client.post(body, headers_of(delivery, body, target.secrets, int(time.time())))
            except PostError as error:
                # Cut short it has not failed.
                rest = delivery if self._stopping.is_set() else self._failure(delivery, target, str(error))
                self._settle(waiting[:sent], rest)
                return
            if not 200 <= status < 300:
                failure = self._failure(delivery, target, f"it answered {status}", gone=status == HTTPStatus.GONE)
                self._settle(waiting[:sent], failure)
                return
        self._settle(waiting, None)

    def _failure(self, delivery: Delivery, target: Target, error: str, *, gone: bool = False) -> Failure:
        failure = what_follows(self.lane, delivery, target, error, datetime.now(UTC), gone=gone)
        fields = {"webhook_id": self.lane.webhook_id, "event_id": self.lane.event_id}
        if failure.disabling is not None:
            log.error("webhook %d is switched off: %s", self.lane.webhook_id, error, extra=fields)
        elif failure.given_up:
            log.error(
                "webhook %d: entry %d of event %d is given up: %s",
                self.lane.webhook_id,
                delivery.entry_number,
                self.lane.event_id,
                error,
                extra=fields,
            )
        else:
            log.info("webhook %d: %s; again in %.0f s", self.lane.webhook_id, error, failure.wait_s, extra=fields)
        return failure

    def _settle(self, delivered: list[Delivery], rest: Failure | Delivery | None) -> None:
        self._store.settle(self.lane, delivered, rest)
        self._metrics.webhook("delivered", len(delivered))
        if isinstance(rest, Failure):
            self._metrics.webhook("given_up" if rest.given_up else "failed", 1)


def what_follows(
    lane: Lane, delivery: Delivery, target: Target, error: str, now: datetime, *, gone: bool = False
) -> Failure:
    """Judge an attempt that failed: another one, none, or none of this webhook at all.

    After five days a message that is refused while others are taken is given up. If nothing was taken in that time
    nobody is there, and the webhook is switched off, as it is when it says that it is ``gone``; then all waits.
    """
    wait_s = min(_RETRY_MAX_S, _RETRY_MIN_S * 2 ** min(delivery.attempts, _DOUBLINGS_MAX))
    wait_s *= random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret depends on it
    since = delivery.failing_since
    hopeless = since is not None and now - since > _FAILING_MAX
    alone = since is not None and target.last_success_at is not None and target.last_success_at > since
    if gone or (hopeless and not alone):
        after = {"enabled": False, "error": error}
        disabling = Deed(actor_id=None, action="webhook.disable", subject=f"webhook {lane.webhook_id}", after=after)
        return Failure(delivery, error, wait_s, disabling=disabling)
    return Failure(delivery, error, wait_s, given_up=hopeless)
