"""Events as they are answered: rendered once in a process, told to everybody for up to a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from aurora_atlan.http.answer_cache import AnswerCache
from aurora_atlan.http.entity_tags import fingerprint
from aurora_atlan.http.event_queries import EventQuery
from aurora_atlan.http.representations import event_json
from aurora_atlan.persistence.events import Event, EventStore
from aurora_atlan.persistence.impressions import ImpressionCounter
from aurora_atlan.persistence.shared_events import MAX_AGE_S, SharedEvents

# An event is about 1 KB, a page of 200 with the longest names 400 KB.
_EVENTS_MAX = 1024
_LISTS_MAX = 64

# Anyone may keep it, but asks again before using it: what is left of a sale changes all the time.
CACHE_CONTROL = "no-cache"


@dataclass(frozen=True, slots=True)
class Answer:
    """A body and what is said of it."""

    body: bytes
    # With its quotes.
    etag: str
    # Of 200 and of 304 alike.
    headers: tuple[tuple[str, str], ...]
    # How old it was when it was rendered, at most.
    age_s: float = 0.0


class EventReads:
    """Answers for single events and lists of them, at most 1 s old in all; thread-safe.

    What this process does not know is looked up among what all processes share, and only then in PostgreSQL.
    Nobody waits longer than ``wait_max_s`` for what another request is reading. Methods that read raise
    :mod:`aurora_atlan.persistence.errors`.
    """

    def __init__(
        self,
        events: EventStore,
        shared: SharedEvents,
        impressions: ImpressionCounter,
        *,
        wait_max_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = events
        self._shared = shared
        self._impressions = impressions
        self._events: AnswerCache[int, Answer] = AnswerCache(
            max_age_s=MAX_AGE_S, entries_max=_EVENTS_MAX, wait_max_s=wait_max_s, age_s=_age_s, clock=clock
        )
        self._lists: AnswerCache[EventQuery, Answer] = AnswerCache(
            max_age_s=MAX_AGE_S, entries_max=_LISTS_MAX, wait_max_s=wait_max_s, age_s=_age_s, clock=clock
        )
        self._availabilities: AnswerCache[int, bytes] = AnswerCache(
            max_age_s=MAX_AGE_S, entries_max=_EVENTS_MAX, wait_max_s=wait_max_s, clock=clock
        )

    def event(self, event_id: int, *, count: bool) -> Answer | None:
        """Return the event, None when there is none or it is gone; ``count`` one page view if there is one."""
        answer = self._events.get(event_id)
        if answer is None:
            # The view that is about to be counted is in what it sees.
            answer = self._events.load(event_id, lambda: self._read_event(event_id, int(count)))
            if answer is None:
                return None
        if count:
            self._impressions.count(event_id)
        return answer

    def listed(self, query: EventQuery) -> Answer:
        """Return a page of events; its Link header leads to the next one, if there is one."""
        answer = self._lists.get(query)
        if answer is None:
            answer = self._lists.load(query, lambda: self._read_list(query))
            # A page without events is an answer, too.
            assert answer is not None
        return answer

    def availability(self, event_id: int, queued: Callable[[int], int | None]) -> bytes | None:
        """Return how the event's sale stands, None when there is none or it is gone; ``queued`` counts who waits."""
        answer = self._availabilities.get(event_id)
        if answer is None:
            answer = self._availabilities.load(event_id, lambda: self._read_availability(event_id, queued))
        return answer

    def forget(self, event_id: int) -> None:
        """Show this event as it is from now on: call it after every change of one, and after creating one.

        Other processes show the change within a second.
        """
        # First what all share: whoever has read of it before is made to forget by the rest.
        self._shared.forget(event_id)
        self._events.forget(event_id)
        self._availabilities.forget(event_id)
        # It may have come into any of them, or have left it.
        self._lists.forget_all()

    def forget_lists(self) -> None:
        """List the events as they are from now on: call it when one may have been created."""
        self._shared.forget_lists()
        self._lists.forget_all()

    def _read_event(self, event_id: int, own_views: int) -> Answer | None:
        shown = self._shared.get(event_id)
        if not shown.events:
            return None
        [event] = shown.events
        body = event_json(event, self._impressions.pending(event_id) + own_views)
        return _answer(orjson.dumps(body), event_tag(event, body), shown.age_s)

    def _read_availability(self, event_id: int, queued: Callable[[int], int | None]) -> bytes | None:
        seats = self._store.seats(event_id)
        if seats is None:
            return None
        body = {
            "eventId": event_id,
            "capacity": seats.capacity,
            "sold": seats.sold,
            "available": seats.capacity - seats.sold,
            "queued": queued(event_id),
        }
        return orjson.dumps(body)

    def _read_list(self, query: EventQuery) -> Answer:
        limit = query.page.limit
        # One more than asked for tells whether there is a next page.
        shown = self._shared.page(limit + 1, query.page.cursor, query.only)
        events = shown.events
        link = f"<{query.address_after(events[limit - 1].id)}>; rel=next" if len(events) > limit else ""
        bodies = [event_json(event, self._impressions.pending(event.id)) for event in events[:limit]]
        # With the link: who keeps the body and is told that it is unchanged must not miss that a next page appeared.
        etag = f'"{fingerprint(link.encode(), *map(_lasting, bodies))}"'
        return _answer(orjson.dumps(bodies), etag, shown.age_s, link)


def event_tag(event: Event, body: dict[str, Any]) -> str:
    """Return the entity tag of an event that is shown as ``body``, with its quotes."""
    return f'"{event.version}.{fingerprint(_lasting(body))}"'


def _answer(body: bytes, etag: str, age_s: float, link: str = "") -> Answer:
    headers = (("ETag", etag), ("Cache-Control", CACHE_CONTROL))
    return Answer(body, etag, (*headers, ("Link", link)) if link else headers, age_s)


def _age_s(answer: Answer) -> float:
    return answer.age_s


def _lasting(body: dict[str, Any]) -> bytes:
    # A page view changes nothing that a client would want to hear of.
    return orjson.dumps({name: value for name, value in body.items() if name != "impressions"})
