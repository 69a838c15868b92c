"""Resources: showing and creating events."""

from __future__ import annotations

from typing import Any

import falcon

from aurora_atlan.actors.errors import UnknownEventError
from aurora_atlan.http import schemas
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.bodies import read_json
from aurora_atlan.http.identifiers import path_id
from aurora_atlan.http.paging import link_next, requested_page
from aurora_atlan.http.representations import event_json, respond
from aurora_atlan.http.times import parse_time
from aurora_atlan.http.validation import Validator, invalid
from aurora_atlan.persistence.events import EventStore, NewEvent
from aurora_atlan.persistence.impressions import ImpressionCounter

_CREATORS = frozenset({"ADMIN"})

# Anyone may keep it, but asks again before using it: what is left of a sale changes all the time.
_CACHE_CONTROL = "no-cache"


class Events:
    """GET /api/events/view."""

    def __init__(self, events: EventStore, impressions: ImpressionCounter) -> None:
        self._events = events
        self._impressions = impressions

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the events in the order of their ids."""
        page = requested_page(req)
        # One more than asked for tells whether there is a next page.
        events = self._events.page(page.limit + 1, page.cursor)
        if len(events) > page.limit:
            del events[page.limit :]
            link_next(req, resp, page, events[-1].id)
        resp.set_header("Cache-Control", _CACHE_CONTROL)
        respond(resp, [event_json(event, self._impressions.pending(event.id)) for event in events])

    on_head = on_get


class Event:
    """GET /api/events/{id}/view."""

    def __init__(self, events: EventStore, impressions: ImpressionCounter) -> None:
        self._events = events
        self._impressions = impressions

    def on_get(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Show an event and count one impression."""
        self._show(req, resp, event_id, count=True)

    def on_head(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Answer like GET; nobody has seen the event, so nothing is counted."""
        self._show(req, resp, event_id, count=False)

    def _show(self, req: falcon.Request, resp: falcon.Response, value: str, *, count: bool) -> None:
        event_id = path_id(req, value)
        event = self._events.get(event_id)
        if event is None:
            raise UnknownEventError(f"There is no event {event_id}.")
        unflushed = self._impressions.count(event_id) if count else self._impressions.pending(event_id)
        resp.set_header("Cache-Control", _CACHE_CONTROL)
        respond(resp, event_json(event, unflushed))


class NewEvents:
    """POST /api/events/create."""

    def __init__(self, events: EventStore, authenticator: Authenticator) -> None:
        self._events = events
        self._authenticator = authenticator
        self._validator = Validator(schemas.CREATE_EVENT)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create an event."""
        self._authenticator.required(req, _CREATORS)
        created = self._events.create(_new_event(self._validator.check(read_json(req))))
        resp.status = falcon.HTTP_201
        resp.set_header("Location", f"/api/events/{created.id}/view")
        respond(resp, event_json(created, 0))


def _new_event(body: dict[str, Any]) -> NewEvent:
    opens_at, closes_at = (parse_time(body[name]) if name in body else None for name in ("opensAt", "closesAt"))
    if opens_at is not None and closes_at is not None and opens_at >= closes_at:
        raise invalid([("/closesAt", "must be later than opensAt")])
    return NewEvent(
        name=body["name"].strip(),
        venue=body["venue"].strip(),
        time=parse_time(body["time"]),
        capacity=body["capacity"],
        cap_per_user=body.get("capPerUser", 1),
        opens_at=opens_at,
        closes_at=closes_at,
    )
