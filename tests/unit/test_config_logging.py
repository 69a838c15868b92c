"""Logging of the command line: its formats, and what it never shows."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from aurora_atlan.config.logging import configure_logging
from aurora_atlan.config.redaction import redacted

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


def logged(log_format: str, *arguments: object, **options: object) -> str:
    stream = io.StringIO()
    configure_logging("INFO", log_format, stream)
    logging.getLogger("aurora_atlan.test").warning(*arguments, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def test_json_lines_say_when_who_and_how_bad():
    line = json.loads(logged("json", "sold %d seats", 5, extra={"event_id": 7}))

    assert line["event"] == "sold 5 seats"
    assert line["logger"] == "aurora_atlan.test"
    assert line["level"] == "warning"
    assert line["event_id"] == 7
    assert line["timestamp"].endswith("Z")


def test_the_console_format_is_one_readable_line():
    text = logged("console", "sold out")

    assert text.count("\n") == 1
    assert "sold out" in text


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_redacted_by_their_keys(log_format: str):
    keys = ("authorization", "refresh_token", "password", "jwt_secret", "email", "Cookie")

    text = logged(log_format, "hello", extra={"headers": dict.fromkeys(keys, "hunter2"), "password": "hunter2"})

    assert "hunter2" not in text
    assert "***" in text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Bearer {TOKEN}", TOKEN),
        (f"got {TOKEN} from a client", "eyJ"),
        ("cannot connect to postgresql://user:hunter2@host/db", "hunter2"),
        ("conninfo host=x password=hunter2 dbname=y", "hunter2"),
        ("{'password': 'hunter2'}", "hunter2"),
        ("no such user ada@example.org", "ada@example.org"),
    ],
)
def test_secrets_are_redacted_by_their_looks(text: str, secret: str):
    assert secret not in redacted(text)


def test_secrets_in_tracebacks_are_redacted():
    try:
        int("postgresql://user:hunter2@host/db")
    except ValueError:
        text = logged("json", "it broke", exc_info=True)

    assert "hunter2" not in text
    assert "ValueError" in text


def test_redaction_leaves_the_rest_alone():
    assert redacted({"event_id": 1, "list": [1.5, "sold out", None]}) == {
        "event_id": 1,
        "list": [1.5, "sold out", None],
    }


def test_what_nests_too_deeply_is_not_followed():
    nested: object = "hunter2"
    for _ in range(50):
        nested = [nested]

    assert "hunter2" not in str(redacted(nested))


def test_the_queue_of_waitress_is_silent():
    stream = io.StringIO()
    configure_logging("DEBUG", "json", stream)

    logging.getLogger("waitress.queue").warning("Task queue depth is 1")

    assert stream.getvalue() == ""
