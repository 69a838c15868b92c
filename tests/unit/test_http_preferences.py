"""Prefer: wait=N, as RFC 7240 has it."""

from __future__ import annotations

import time

import falcon
import pytest
from falcon.testing import create_environ

from aurora_atlan.http.preferences import preferred_wait_s


def preferred(header: str | None) -> int | None:
    environ = create_environ()
    if header is not None:
        environ["HTTP_PREFER"] = header
    return preferred_wait_s(falcon.Request(environ))


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("wait=1", 1),
        ("wait=20", 20),
        ("wait=21", 20),
        ("wait=999999999", 20),
        ("wait=007", 7),
        ("Wait=5", 5),
        ("wait = 5", 5),
        ('wait="5"', 5),
        ("wait=5; strictly", 5),
        ("respond-async, wait=5", 5),
        ("respond-async,wait=5,return=minimal", 5),
        ('note="a, wait=9", wait=5', 5),
        ('note="a \\", wait=9", wait=5', 5),
        # Of several the first counts.
        ("wait=5, wait=9", 5),
    ],
)
def test_a_wait_is_read(header: str, wait_s: int):
    assert preferred(header) == wait_s


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        ",",
        "wait",
        "wait=",
        "wait=0",
        "wait=00",
        "wait=-1",
        "wait=+1",
        "wait=1.5",
        "wait=1e1",
        "wait=0x5",
        "wait=ten",
        "wait=5s",
        "wait=5 6",
        'wait="5',
        'wait=5"',
        "wait=\u0665",
        "wait=1234567890",
        "await=5",
        "waiting=5",
        "wait;x=5",
        "respond-async",
        "return=minimal; wait=5",
        "wait=0, wait=5",
        "wait=, wait=5",
        '"wait=5"',
        "wait=5" + " " * 300,
    ],
)
def test_anything_else_is_no_wait(header: str | None):
    assert preferred(header) is None


@pytest.mark.parametrize("header", ['"' * 16_000, '\\"' * 8_000, '"\\' * 128, "," * 16_000, 'a="\\"' * 60])
def test_a_hostile_header_takes_no_time(header: str):
    began_at = time.perf_counter()
    preferred(header)

    assert time.perf_counter() - began_at < 0.1
