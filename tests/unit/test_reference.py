"""docs/reference.py: every public name is in the reference, and it renders without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import aurora_atlan

_SCRIPT = Path(__file__).parents[2] / "docs" / "reference.py"
_LOADS = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "object": "data"}


class Page(HTMLParser):
    """What a page describes and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str | None] = set()
        self.sections: set[str] = set()
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id"))
        if tag == "section" and (name := given.get("id")):
            self.sections.add(name)
        if address := given.get(_LOADS.get(tag, "")):
            self.loaded.append(address)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the package, built as ``make reference`` builds it."""
    folder = tmp_path_factory.mktemp("reference")
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in folder.rglob("*")) == ["aurora_atlan.html", "index.html"]
    return (folder / "aurora_atlan.html").read_text(encoding="utf-8")


def test_every_public_name_is_in_it_and_nothing_else(text: str):
    page = Page(text)

    assert page.sections == set(aurora_atlan.__all__)
    assert {"Supervisor.submit", "Supervisor.wait_async", "Receipt.job_id", "Reason.SOLD_OUT"} - page.ids == set()


def test_it_loads_nothing_from_elsewhere(text: str):
    loaded = Page(text).loaded + re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")\s]+)", text)

    assert loaded
    assert [address for address in loaded if not address.startswith("data:")] == []
