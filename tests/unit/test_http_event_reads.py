"""The reads of events: conditional, filtered and from the cache; over stores in memory."""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from aurora_atlan.http import app as app_module
from aurora_atlan.http.event_queries import EventQuery
from aurora_atlan.http.event_reads import EventReads
from aurora_atlan.http.paging import Page
from aurora_atlan.persistence.errors import StoreTimeoutError, StoreUnavailableError
from aurora_atlan.persistence.events import EventFilter
from http_fakes import NOW, Service, make_service

LIST = "/api/events/view"
ONE = "/api/events/1/view"
NEW = {"name": "Concert", "venue": "Hall", "time": "2027-06-01T20:00:00+02:00", "capacity": 100}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Service:
    monkeypatch.setattr(app_module, "EventReads", functools.partial(EventReads, clock=clock))
    return make_service(monkeypatch)


def change(service: Service, event_id: int, **changes: Any) -> None:
    """Change an event behind the service's back."""
    rows = service.supervisor.events.rows
    rows[event_id] = replace(rows[event_id], **changes)


def names(result: Any) -> list[str]:
    assert result.status_code == 200, result.text
    return [event["name"] for event in result.json]


def search(service: Service, query: str) -> list[str]:
    return names(service.client.simulate_get(LIST, query_string=query))


@pytest.mark.parametrize("path", [LIST, ONE])
def test_what_is_told_is_never_older_than_a_second(service: Service, clock: Clock, path: str):
    def booked() -> int:
        [event] = json if isinstance(json := service.client.simulate_get(path).json, list) else [json]
        assert event["available"] == 100 - event["booked"]
        return int(event["booked"])

    service.event()
    assert booked() == 0
    change(service, 1, booked=7)
    clock.now += 0.999
    assert booked() == 0
    clock.now += 0.001
    assert booked() == 7


def test_every_query_has_an_answer_of_its_own(service: Service):
    for _ in range(3):
        service.event()
    lengths = [
        len(service.client.simulate_get(LIST, query_string=query).json)
        for query in ("", "limit=1", "limit=2", "limit=2&cursor=aWQ6Mg", "q=x", "q=conc", "to=2000-01-01T00:00:00Z", "")
    ]
    assert lengths == [3, 1, 2, 1, 0, 3, 0, 3]


def test_an_event_made_behind_its_back_is_found_although_it_was_looked_for_before(service: Service):
    assert service.client.simulate_get(ONE).status_code == 404
    service.event()
    assert service.client.simulate_get(ONE).status_code == 200


def test_a_created_event_is_in_the_next_list(service: Service):
    assert search(service, "") == search(service, "q=conc") == []
    created = service.client.simulate_post("/api/events/create", json=NEW, headers=service.bearer(role="ADMIN"))
    assert created.status_code == 201
    assert search(service, "") == search(service, "q=conc") == ["Concert"]


def test_an_event_whose_creation_was_not_confirmed_is_in_the_next_list_if_it_exists(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    events = service.supervisor.events
    create = events.create

    def create_and_lose_the_answer(new: Any, deed: Any) -> Any:
        create(new, deed)
        raise StoreUnavailableError("connection lost")

    monkeypatch.setattr(events, "create", create_and_lose_the_answer)
    assert search(service, "") == []
    created = service.client.simulate_post("/api/events/create", json=NEW, headers=service.bearer(role="ADMIN"))
    assert created.status_code == 503
    assert search(service, "") == ["Concert"]


def test_a_changed_event_is_shown_at_once_when_the_change_is_told(service: Service):
    supervisor = service.supervisor
    reads = EventReads(
        supervisor.events,  # type: ignore[arg-type]
        supervisor.shared_events,  # type: ignore[arg-type]
        supervisor.impressions,  # type: ignore[arg-type]
        wait_max_s=1.0,
        clock=Clock(),
    )
    service.event()
    service.event()

    def listed() -> bytes:
        return reads.listed(EventQuery(Page(10, None), EventFilter())).body

    def one() -> bytes:
        answer = reads.event(1, count=False)
        assert answer is not None
        return answer.body

    for number, (body, forget) in enumerate(
        ((one, lambda: reads.forget(1)), (listed, lambda: reads.forget(1)), (listed, reads.forget_lists)), 1
    ):
        assert body()
        change(service, 1, name=f"Changed {number}")
        assert b"Changed %d" % number not in body()
        forget()
        assert b"Changed %d" % number in body()
    other = reads.event(2, count=False)
    reads.forget(1)
    assert reads.event(2, count=False) is other


@pytest.mark.parametrize("path", [LIST, ONE])
def test_an_error_of_the_store_is_not_kept(service: Service, monkeypatch: pytest.MonkeyPatch, path: str):
    service.event()
    events = service.supervisor.events

    def fail(*_: object) -> Any:
        raise StoreTimeoutError("away")

    with monkeypatch.context() as away:
        away.setattr(events, "get", fail)
        away.setattr(events, "page", fail)
        failed = service.client.simulate_get(path)
        assert (failed.status_code, failed.headers["cache-control"]) == (503, "private, no-store")
        assert "etag" not in failed.headers
    assert not service.supervisor.impressions.views[1]
    assert service.client.simulate_get(path).status_code == 200


def test_tags_are_strong_and_name_the_version(service: Service):
    service.event()
    change(service, 1, version=12)
    assert re.fullmatch(r'"12\.[0-9a-f]{32}"', service.client.simulate_get(ONE).headers["etag"])
    assert re.fullmatch(r'"[0-9a-f]{32}"', service.client.simulate_get(LIST).headers["etag"])


@pytest.mark.parametrize("path", [LIST, ONE])
def test_a_tag_changes_with_whatever_is_shown(service: Service, clock: Clock, path: str):
    service.event()
    changes: list[dict[str, Any]] = [
        {},
        {"booked": 1},
        {"capacity": 200},
        {"name": "Play"},
        {"venue": "Barn"},
        {"time": datetime(2030, 1, 1, tzinfo=UTC)},
        {"cap_per_user": 2},
        {"opens_at": NOW},
        {"closes_at": NOW},
        {"updated_at": datetime(2030, 1, 1, tzinfo=UTC)},
    ]
    tags = set()
    for each in changes:
        change(service, 1, **each)
        clock.now += 1.0
        tags.add(service.client.simulate_get(path).headers["etag"])
    assert len(tags) == len(changes)


@pytest.mark.parametrize("path", [LIST, ONE])
def test_a_page_view_does_not_change_a_tag(service: Service, clock: Clock, path: str):
    service.event()
    before = service.client.simulate_get(path)
    for _ in range(3):
        service.client.simulate_get(ONE)
    change(service, 1, impressions=10)
    clock.now += 1.0
    after = service.client.simulate_get(path)
    assert after.content != before.content
    assert after.headers["etag"] == before.headers["etag"]


def test_the_tag_of_a_page_changes_when_a_next_page_appears(service: Service):
    service.event()
    before = service.client.simulate_get(LIST, query_string="limit=1")
    service.client.simulate_post("/api/events/create", json=NEW, headers=service.bearer(role="ADMIN"))
    after = service.client.simulate_get(LIST, query_string="limit=1")
    assert after.content == before.content
    assert ("link" in before.headers, "link" in after.headers) == (False, True)
    assert after.headers["etag"] != before.headers["etag"]


@pytest.mark.parametrize(("path", "method"), list(itertools.product([LIST, ONE], ["GET", "HEAD"])))
def test_what_the_client_has_is_not_sent_again(service: Service, path: str, method: str):
    service.event()
    service.event()
    full = service.client.simulate_get(path, query_string="limit=1")

    for sent in (full.headers["etag"], f'"other", W/{full.headers["etag"]}', "*"):
        result = service.client.simulate_request(method, path, query_string="limit=1", headers={"If-None-Match": sent})
        assert (result.status_code, result.content) == (304, b"")
        for header in ("etag", "cache-control", "link"):
            assert result.headers.get(header) == full.headers.get(header)
        assert "content-type" not in result.headers
        assert "content-length" not in result.headers
    assert full.headers["cache-control"] == "no-cache"
    assert ("link" in full.headers) == (path == LIST)


@pytest.mark.parametrize(("path", "method"), list(itertools.product([LIST, ONE], ["GET", "HEAD"])))
def test_what_the_client_does_not_have_is_sent(service: Service, path: str, method: str):
    service.event()
    headers = {"If-None-Match": '"other"'}
    result = service.client.simulate_request(method, path, headers=headers)
    assert result.status_code == 200
    assert result.headers["etag"]
    assert int(result.headers["content-length"]) > 2


def test_there_is_no_304_for_what_is_not_there(service: Service):
    result = service.client.simulate_get(ONE, headers={"If-None-Match": "*"})
    assert result.status_code == 404
    assert "etag" not in result.headers


def test_every_get_counts_whatever_it_is_answered_from_and_with(service: Service, clock: Clock):
    service.event()
    for _ in range(3):
        tag = service.client.simulate_get(ONE).headers["etag"]
        assert service.client.simulate_get(ONE, headers={"If-None-Match": tag}).status_code == 304
        service.client.simulate_head(ONE)
        service.client.simulate_head(ONE, headers={"If-None-Match": tag})
        clock.now += 0.5
    assert service.supervisor.impressions.views == {1: 6}
    clock.now += 1.0
    assert service.client.simulate_get(ONE).json["impressions"] == 7


@pytest.mark.parametrize(
    "query", ["q=%00", "q=a%0Ab", "q=%7F", "q=%C2%85", "q=%FF", "q=%ED%A0%80", "q=a&q=a", "q=\xe9"]
)
def test_a_text_that_is_none_is_400(service: Service, query: str):
    assert_invalid(service, query, "q")


def test_a_text_has_up_to_a_hundred_characters(service: Service):
    service.event(name="\u6771" * 101)
    assert len(search(service, "q=" + quote("\u6771" * 100))) == 1
    assert_invalid(service, "q=" + quote("\u6771" * 101), "q")


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize(
    "value",
    [
        "x",
        "2027",
        "2027-06-01",
        "2027-06-01T20:00:00",
        "2027-06-01T20:00:00+02:00",
        "2027-06-01%2020:00:00Z",
        "2027-02-30T00:00:00Z",
        "1899-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "%00",
        "1",
    ],
)
def test_a_time_that_is_none_is_400(service: Service, name: str, value: str):
    assert_invalid(service, f"{name}={value}", name)


@pytest.mark.parametrize("name", ["from", "to"])
def test_a_time_that_comes_twice_is_400(service: Service, name: str):
    assert_invalid(service, f"{name}=2027-06-01T20:00:00Z&{name}=2027-06-01T20:00:00Z", name)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2027-06-01T20:00:00Z", "2027-06-01T20:00:00Z"),
        ("2027-06-01T20:00:00Z", "2027-06-01T19:59:59.999999Z"),
        ("2027-06-01T20:00:00-02:00", "2027-06-01T21:00:00Z"),
    ],
)
def test_a_span_without_a_moment_in_it_is_400(service: Service, start: str, end: str):
    assert_invalid(service, f"from={start}&to={end}", "to")


def assert_invalid(service: Service, query: str, name: str) -> None:
    result = service.client.simulate_get(LIST, query_string=query)
    assert result.status_code == 400
    assert result.json["type"].endswith(":invalid-query")
    assert f" {name} " in result.json["error"]
    assert result.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("query", ["Q=x", "unknown=1&unknown=2", "q=", "from=&to=", "unknown=%00", "&&"])
def test_what_is_empty_or_unknown_is_ignored(service: Service, query: str):
    service.event()
    assert search(service, query) == ["Concert"]


def test_the_next_page_is_asked_for_with_the_same_filter(service: Service):
    for _ in range(2):
        service.event(name='100% "R&B" + <soul>; #1 \u6771\u4eac?=/\\')
    query = {
        "q": '% "r&b" + <soul>; #1 \u6771\u4eac?=/\\',
        "from": "2000-01-01T00:00:00+02:00",
        "to": "2027-01-01T00:00:00.5Z",
    }
    encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    result = service.client.simulate_get(LIST, query_string=f"limit=1&{encoded}")

    target = re.fullmatch("<([!-;=?-~]*)>; rel=next", result.headers["link"])
    assert target is not None
    path, _, sent = target[1].partition("?")
    assert path == LIST
    assert parse_qs(sent, strict_parsing=True) == {
        "limit": ["1"],
        "cursor": ["aWQ6MQ"],
        "q": [query["q"]],
        "from": ["1999-12-31T22:00:00Z"],
        "to": ["2027-01-01T00:00:00.500000Z"],
    }
    last = service.client.simulate_get(path, query_string=sent)
    assert [event["id"] for event in last.json] == [2]
    assert "link" not in last.headers


def test_without_a_filter_the_link_has_none(service: Service):
    service.event()
    service.event()
    result = service.client.simulate_get(LIST, query_string="limit=1&unknown=1")
    assert result.headers["link"] == "</api/events/view?limit=1&cursor=aWQ6MQ>; rel=next"
