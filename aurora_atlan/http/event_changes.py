"""Resources: changing and deleting events."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import falcon

from aurora_atlan.http import schemas
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.bodies import read_json
from aurora_atlan.http.deeds import deed
from aurora_atlan.http.entity_tags import named_versions
from aurora_atlan.http.event_reads import EventReads, event_tag
from aurora_atlan.http.identifiers import path_id
from aurora_atlan.http.paging import invalid_parameter
from aurora_atlan.http.problems import Problem
from aurora_atlan.http.representations import event_json, respond
from aurora_atlan.http.times import parse_time
from aurora_atlan.http.tokens import Principal
from aurora_atlan.http.validation import Validator
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.events import KEEP, Event, EventEdit, Keep

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor

_EDITORS = frozenset({"ADMIN"})
_ANSWERS = {"true": True, "false": False}


class ChangeEvent:
    """PUT /api/events/{id}/update."""

    def __init__(self, supervisor: Supervisor, reads: EventReads, authenticator: Authenticator) -> None:
        self._supervisor = supervisor
        self._reads = reads
        self._authenticator = authenticator
        self._validator = Validator(schemas.UPDATE_EVENT)

    def on_put(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Change the members that are given; with If-Match, only the version that it names."""
        editor = self._authenticator.required(req, _EDITORS)
        wanted_event = path_id(req, event_id)
        versions = _versions_asked_for(req)
        edit = _edit(self._validator.check(read_json(req)))

        def describe(before: Event, after: Event) -> Deed:
            return _update(req, editor, before, after)

        try:
            event = self._supervisor.edit_event(wanted_event, edit, versions=versions, describe=describe)
        finally:
            # Also when it failed: whether it was changed all the same may be unknown.
            self._reads.forget(wanted_event)
        body = event_json(event, self._supervisor.impressions.pending(event.id))
        resp.set_header("ETag", event_tag(event, body))
        respond(resp, body)


class DeleteEvent:
    """DELETE /api/events/{id}/delete."""

    def __init__(self, supervisor: Supervisor, reads: EventReads, authenticator: Authenticator) -> None:
        self._supervisor = supervisor
        self._reads = reads
        self._authenticator = authenticator

    def on_delete(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Mark an event as gone; with ``?force=true`` also one that is in use, whose bookings are cancelled."""
        editor = self._authenticator.required(req, _EDITORS)
        wanted_event = path_id(req, event_id)
        force = _forced(req)
        done = deed(req, editor, "event.delete", f"event {wanted_event}")
        try:
            self._supervisor.delete_event(wanted_event, force=force, deed=done)
        finally:
            self._reads.forget(wanted_event)
        respond(resp, {"message": f"Event {wanted_event} is deleted."})


def _versions_asked_for(req: falcon.Request) -> frozenset[int] | None:
    if_match: str | None = req.env.get("HTTP_IF_MATCH")
    if if_match is None:
        return None
    try:
        return named_versions(if_match)
    except ValueError:
        raise Problem(
            400, "malformed-if-match", 'If-Match is *, or entity tags as the event was given: "<version>.<hash>".'
        ) from None


def _forced(req: falcon.Request) -> bool:
    value = req.params.get("force", "false")
    if isinstance(value, str) and value in _ANSWERS:
        return _ANSWERS[value]
    raise invalid_parameter("force", "must be true or false, once")


def _edit(body: dict[str, Any]) -> EventEdit:
    return EventEdit(
        name=body["name"].strip() if "name" in body else KEEP,
        venue=body["venue"].strip() if "venue" in body else KEEP,
        time=parse_time(body["time"]) if "time" in body else KEEP,
        capacity=body.get("capacity", KEEP),
        cap_per_user=body.get("capPerUser", KEEP),
        opens_at=_bound(body, "opensAt"),
        closes_at=_bound(body, "closesAt"),
    )


def _bound(body: dict[str, Any], name: str) -> datetime | Keep | None:
    value = body.get(name, KEEP)
    return parse_time(value) if isinstance(value, str) else value


def _update(req: falcon.Request, editor: Principal, before: Event, after: Event) -> Deed:
    # In the words of the request: what nobody can ask for follows from the rest.
    was, is_now = event_json(before, 0), event_json(after, 0)
    changed = [name for name in schemas.UPDATE_EVENT["properties"] if was[name] != is_now[name]]
    return deed(
        req,
        editor,
        "event.update",
        f"event {after.id}",
        before={name: was[name] for name in changed},
        after={name: is_now[name] for name in changed},
    )
