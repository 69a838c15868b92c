"""Resources: showing and creating events."""

from __future__ import annotations

from typing import Any

import falcon

from aurora_atlan.actors.errors import UnknownEventError
from aurora_atlan.http import schemas
from aurora_atlan.http.addresses import prefix
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.bodies import read_json
from aurora_atlan.http.deeds import deed
from aurora_atlan.http.entity_tags import is_known
from aurora_atlan.http.event_queries import requested_events
from aurora_atlan.http.event_reads import Answer, EventReads
from aurora_atlan.http.identifiers import path_id
from aurora_atlan.http.rate_limits import RateLimits
from aurora_atlan.http.representations import event_json, respond
from aurora_atlan.http.times import parse_time
from aurora_atlan.http.tokens import Principal
from aurora_atlan.http.validation import Validator, invalid
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.events import Event as StoredEvent
from aurora_atlan.persistence.events import EventStore, NewEvent

_CREATORS = frozenset({"ADMIN"})


class Events:
    """GET /api/events/view."""

    def __init__(self, reads: EventReads, limits: RateLimits) -> None:
        self._reads = reads
        self._limits = limits

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the events in the order of their ids."""
        self._limits.reading(req)
        _tell(req, resp, self._reads.listed(requested_events(req)))

    on_head = on_get


class Event:
    """GET /api/events/{id}/view."""

    def __init__(self, reads: EventReads, limits: RateLimits) -> None:
        self._reads = reads
        self._limits = limits

    def on_get(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Show an event and count one impression."""
        self._show(req, resp, event_id, count=True)

    def on_head(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Answer like GET; nobody has seen the event, so nothing is counted."""
        self._show(req, resp, event_id, count=False)

    def _show(self, req: falcon.Request, resp: falcon.Response, value: str, *, count: bool) -> None:
        self._limits.reading(req)
        event_id = path_id(req, value)
        answer = self._reads.event(event_id, count=count)
        if answer is None:
            raise UnknownEventError(f"There is no event {event_id}.")
        _tell(req, resp, answer)


class NewEvents:
    """POST /api/events/create."""

    def __init__(self, events: EventStore, reads: EventReads, authenticator: Authenticator) -> None:
        self._events = events
        self._reads = reads
        self._authenticator = authenticator
        self._validator = Validator(schemas.CREATE_EVENT)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create an event."""
        creator = self._authenticator.required(req, _CREATORS)
        new = _new_event(self._validator.check(read_json(req)))
        try:
            created = self._events.create(new, lambda event: _creation(req, creator, event))
        except StoreError:
            # It may exist all the same, if the answer was lost: who looks for it now must find it.
            self._reads.forget_lists()
            raise
        self._reads.forget(created.id)
        resp.status = falcon.HTTP_201
        resp.set_header("Location", f"{prefix(req)}/api/events/{created.id}/view")
        respond(resp, event_json(created, 0))


def _tell(req: falcon.Request, resp: falcon.Response, answer: Answer) -> None:
    resp.set_headers(answer.headers)
    if mounted_at := prefix(req):
        # What is cached is the same for all who ask, wherever they do.
        resp.set_headers(
            [("Link", link.replace("<", f"<{mounted_at}", 1)) for name, link in answer.headers if name == "Link"]
        )
    if_none_match = req.env.get("HTTP_IF_NONE_MATCH")
    if if_none_match is not None and is_known(answer.etag, if_none_match):
        resp.status = falcon.HTTP_304
    else:
        resp.data = answer.body
        resp.content_type = falcon.MEDIA_JSON


def _creation(req: falcon.Request, creator: Principal, event: StoredEvent) -> Deed:
    return deed(req, creator, "event.create", f"event {event.id}", after=event_json(event, 0))


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
