"""The page that shows the API's description: its files, and that they ask nothing of another host."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from aurora_atlan.http import docs_pages
from http_fakes import Service, make_service

STATIC = Path(docs_pages.__file__).parent / "static"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return make_service(monkeypatch)


class Page(HTMLParser):
    """What a page asks for, and what of it a strict policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given[name] or "" for name in ("src", "href") if name in given]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


def test_the_page_loads_only_what_is_served_beside_it(service: Service):
    answer = service.client.simulate_get("/docs")
    page = Page()
    page.feed(answer.text)

    assert answer.headers["Content-Type"].startswith("text/html")
    assert page.inline == []
    # Relative, so that it works under any prefix; data: is the empty icon.
    assert set(page.addresses) == {
        "docs/swagger-ui.css",
        "docs/swagger-ui-bundle.js",
        "docs/docs.js",
        "openapi.json",
        "data:,",
    }
    for address in set(page.addresses) - {"data:,"}:
        assert service.client.simulate_get(f"/{address}").status_code == 200


def test_the_page_may_load_nothing_from_elsewhere(service: Service):
    policy = service.client.simulate_get("/docs").headers["Content-Security-Policy"]
    directives = dict(directive.split(" ", 1) for directive in policy.split("; "))

    assert directives == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


@pytest.mark.parametrize("name", ["docs.html", "docs.js", "swagger-ui.css"])
def test_what_the_page_is_made_of_names_no_other_host(name: str):
    text = (STATIC / name).read_text(encoding="utf-8")

    # The name of a vocabulary is not an address that is asked.
    assert set(re.findall(r"https?://[\w.-]+", text)) <= {"http://www.w3.org"}


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("docs.js", "text/javascript"),
        ("swagger-ui-bundle.js", "text/javascript"),
        ("swagger-ui.css", "text/css"),
        ("swagger-ui.LICENSE.txt", "text/plain"),
    ],
)
def test_a_file_is_what_it_is_said_to_be(service: Service, name: str, media_type: str):
    answer = service.client.simulate_get(f"/docs/{name}", headers={"Accept": "text/css"})

    assert answer.status_code == 200
    assert answer.content == (STATIC / name).read_bytes()
    assert answer.headers["Content-Type"] == f"{media_type}; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["docs.html", "../app.py", "..%2Fapp.py", "%2e%2e/app.py", "nothing.js", ""])
def test_no_other_file_is_given_out(service: Service, name: str):
    assert service.client.simulate_get(f"/docs/{name}").status_code == 404
