"""Reads the service's replies about bookings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aurora_atlan.commands.rush.history import Answer, Receipt
from aurora_atlan.commands.rush.service import Reply

_FINAL = frozenset({"completed", "failed"})


def receipt_of(reply: Reply) -> Receipt | None:
    """Return what a 202 promises; None when it is no 202."""
    body = reply.body
    if reply.status != 202 or not isinstance(body, dict):
        return None
    return Receipt(
        job_id=str(body.get("jobId")),
        queue_number=_integer(body, "queueNumber") or 0,
        queue_position=_integer(body, "queuePosition") or 0,
        status_endpoint=str(body.get("statusEndpoint")),
        durability=str(body.get("durability")),
    )


def answer_of(body: Mapping[str, Any]) -> Answer | None:
    """Return the answer that a status holds; None while there is none yet."""
    if body.get("status") not in _FINAL:
        return None
    result = body.get("result")
    booking = result.get("booking") if isinstance(result, dict) else None
    booked: Mapping[str, Any] = booking if isinstance(booking, dict) else {}
    return Answer(
        status=str(body["status"]),
        reason=_text(body, "reason"),
        job_id=str(body.get("jobId")),
        event_id=_integer(body, "eventId"),
        user_id=_integer(body, "userId"),
        quantity=_integer(body, "quantity"),
        queue_number=_integer(body, "queueNumber"),
        booking_id=_integer(booked, "id"),
        booking_status=_text(booked, "status"),
    )


def position_of(body: Mapping[str, Any]) -> int | None:
    """Return the position in the queue that a status tells."""
    return _integer(body, "queuePosition")


def decision_time_s(body: Mapping[str, Any]) -> float | None:
    """Return how long the service says it took from acceptance to decision."""
    try:
        accepted, finished = (datetime.fromisoformat(body[name]) for name in ("acceptedAt", "finishedAt"))
    except (KeyError, TypeError, ValueError):
        return None
    return (finished - accepted).total_seconds()


def _integer(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) else None


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return None if value is None else str(value)
