"""What is sent to webhooks, signed as https://www.standardwebhooks.com says (its specification 1.0.0)."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from aurora_atlan._version import __version__
from aurora_atlan.persistence.outbox import OutcomeNotice
from aurora_atlan.persistence.webhook_deliveries import Delivery

TEST_TYPE = "webhook.test"

_SECRET_BYTES = 32


def new_secret() -> bytes:
    """Make a secret to sign with."""
    return secrets.token_bytes(_SECRET_BYTES)


def written(secret: bytes) -> str:
    """Return a secret as the receiver's library wants it."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def body_of(delivery: Delivery) -> bytes:
    """Return the message of a delivery, byte by byte the same at each attempt."""
    outcome = delivery.outcome
    if outcome is None:
        return _body(TEST_TYPE, delivery.created_at, {})
    return _body(f"booking.{outcome.kind}", outcome.at, _data(outcome))


def headers_of(delivery: Delivery, body: bytes, keys: Sequence[bytes], now_s: int) -> dict[str, str]:
    """Return the headers of an attempt at the time ``now_s``, in seconds since 1970; each key signs."""
    message_id = f"msg_{delivery.message_id.hex}"
    signed = b"%s.%d.%s" % (message_id.encode(), now_s, body)
    return {
        "Content-Type": "application/json",
        "User-Agent": f"aurora-atlan/{__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": " ".join(f"v1,{_signature(key, signed)}" for key in keys),
    }


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _body(kind: str, at: datetime, data: dict[str, Any]) -> bytes:
    timestamp = at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    return orjson.dumps({"type": kind, "timestamp": timestamp, "data": data})


def _data(outcome: OutcomeNotice) -> dict[str, Any]:
    return {
        "eventId": outcome.event_id,
        "entryNumber": outcome.entry_number,
        "jobId": None if outcome.job_id is None else str(outcome.job_id),
        "bookingId": outcome.booking_id,
        "userId": outcome.user_id,
        "quantity": outcome.quantity,
        "reason": outcome.reason,
        "queueNumber": outcome.queue_number,
    }
