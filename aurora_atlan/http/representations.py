"""What clients see of users, events and bookings: explicit lists of members, nothing by accident."""

from __future__ import annotations

from typing import Any

import falcon
import orjson

from aurora_atlan.http.times import format_optional_time, format_time
from aurora_atlan.persistence.audit_log import NotedDeed
from aurora_atlan.persistence.events import Event
from aurora_atlan.persistence.records import Booking
from aurora_atlan.persistence.users import User


def respond(resp: falcon.Response, body: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Write a JSON body."""
    resp.data = orjson.dumps(body)
    resp.content_type = falcon.MEDIA_JSON


def user_json(user: User) -> dict[str, Any]:
    """Return a user as its owner sees it."""
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "role": user.role,
        "createdAt": format_time(user.created_at),
    }


def noted_deed_json(noted: NotedDeed) -> dict[str, Any]:
    """Return an entry of the audit log as administrators see it."""
    return {
        "id": noted.id,
        "at": format_time(noted.at),
        "actorId": noted.actor_id,
        "action": noted.action,
        "subject": noted.subject,
        "ip": noted.ip,
        "requestId": noted.request_id,
        "before": noted.before,
        "after": noted.after,
    }


def event_json(event: Event, unflushed_impressions: int) -> dict[str, Any]:
    """Return an event as anyone sees it; page views not yet in the database are added to the stored ones."""
    return {
        "id": event.id,
        "name": event.name,
        "venue": event.venue,
        "time": format_time(event.time),
        "capacity": event.capacity,
        "booked": event.booked,
        "available": event.available,
        "impressions": event.impressions + unflushed_impressions,
        "capPerUser": event.cap_per_user,
        "opensAt": format_optional_time(event.opens_at),
        "closesAt": format_optional_time(event.closes_at),
        "createdAt": format_time(event.created_at),
        "updatedAt": format_time(event.updated_at),
    }


def booking_json(booking: Booking) -> dict[str, Any]:
    """Return a booking as its owner sees it."""
    return {
        "id": booking.id,
        "eventId": booking.event_id,
        "userId": booking.user_id,
        "quantity": booking.quantity,
        "status": booking.status,
        "createdAt": format_time(booking.created_at),
    }
