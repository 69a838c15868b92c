"""The row in which clients mean harm, or know no better: requests that are malformed, oversized, slow or nonsense."""

from __future__ import annotations

import json
import random
import socket
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import psutil

from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.events import NewEvent
from faults.row import Row, Stage, demand
from faults.world import World, made, wait_for

_SEED = 20
_REQUESTS_AT_LEAST = 300
_BROKEN_SHARE = 0.1
_LISTEN_S = 0.2
# Held open with half a request each, while others are answered.
_SLOW = 60
_ANSWER_WITHIN_S = 10.0
_CLOSED_WITHIN_S = 10.0
# Files and sockets that come and go with what the service does by itself.
_DESCRIPTORS_MORE_MAX = 8
_BODY_MAX = 64 * 1024
_HEADERS_MAX = 16 * 1024

# What no member of any body, no header and no address accepts, and may crash a careless reader.
_VALUES: tuple[bytes, ...] = (
    b"null", b"true", b"-1", b"1.0", b"1e999", b"NaN", b"99999999999999999999", b'""', b'"\\u0000"', b'"\\ud800"',
    b'"' + b"x" * 5_000 + b'"', b"[]", b"{}", b"[" * 600, b'{"a":' * 300, b'"\xff\xfe"', b'"\xd9\xa3"', b"'", b"",
)  # fmt: skip
_PIECES = ("%00", "%ff", "..", "%2e%2e%2f", "0", "-1", "1" * 30, "%D9%A3", "'", '"', "%0d%0aX:1", "a" * 300, "1 OR 1=1")
_HEADERS = (
    "Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "Accept", "Content-Type", "Origin",
    "Content-Encoding", "traceparent", "X-Request-Id", "X-Forwarded-For", "Expect", "Cookie", "Range",
)  # fmt: skip
_HEADER_VALUES = (
    "",
    "\xe9",
    "a" * 4_000,
    "Bearer ",
    "Bearer a.b.c",
    "wait=9e9",
    '"',
    "W/",
    "*",
    "100-continue",
    "gzip",
)
# What is not HTTP, or not any more.
_BROKEN: tuple[bytes, ...] = (
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"GET / HTTP/1.1\r\nA: b\r\n c\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (_HEADERS_MAX + 1) + b"\r\n\r\n",
    b"GET /" + b"a" * (_HEADERS_MAX + 1) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Operation:
    """A method and an address of the service's own description, and the members its body may have."""

    method: str
    path: str
    members: tuple[str, ...]


def hostile_http(stage: Stage) -> None:
    """Send what no client should, by the service's own description of what it takes, and hold half requests open."""
    chance = random.Random(_SEED)
    statuses: Counter[int] = Counter()
    with made(stage) as world:
        service = world.add_service()
        service.start()
        tokens = _tokens(world)
        operations = list(_operations(service.url))
        process = psutil.Process(service.pid)
        host, port = service.url.removeprefix("http://").split(":")
        # The first one of each opens what is opened once.
        for operation in operations:
            statuses[_ask(host, int(port), _request(chance, operation, tokens), _ANSWER_WITHIN_S)] += 1
        before = process.num_fds()
        with ExitStack() as slow:
            for _ in range(_SLOW):
                half = slow.enter_context(closing(socket.create_connection((host, int(port)), _ANSWER_WITHIN_S)))
                half.sendall(b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n")
            while stage.more(_REQUESTS_AT_LEAST):
                broken = chance.random() < _BROKEN_SHARE
                sent = chance.choice(_BROKEN) if broken else _request(chance, chance.choice(operations), tokens)
                # What is not HTTP may look like the beginning of something.
                status = _ask(host, int(port), sent, _LISTEN_S if broken else _ANSWER_WITHIN_S)
                demand(status or broken or len(sent) > _BODY_MAX, f"no answer to {sent[:400]!r}")
                demand(status < 500 or status in (501, 503), f"{status} for {sent[:400]!r}")
                statuses[status] += 1
                stage.reach()
        wait_for(
            lambda: process.num_fds() <= before + _DESCRIPTORS_MORE_MAX,
            _CLOSED_WITHIN_S,
            f"the connections are closed: {process.num_fds()} descriptors, {before} before",
        )
        demand(service.probe("/livez") == 200, "the service does not answer any more")
        stage.seen["answers"] = ", ".join(
            f"{count:,} x {status or 'closed'}" for status, count in sorted(statuses.items())
        )


def _tokens(world: World) -> tuple[str, ...]:
    # Of everybody, so that bodies and parameters are read wherever there are any.
    issuer = TokenIssuer(world.office.settings)
    [buyer] = world.make_buyers(1)
    world.office.events.create(NewEvent("Aurora", "Atlan", datetime(2027, 6, 1, 20, tzinfo=UTC), 100))
    return (buyer.token, *(issuer.issue(buyer.user_id, role, 1) for role in ("ADMIN", "OPS")))


def _operations(url: str) -> Iterator[_Operation]:
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=_ANSWER_WITHIN_S) as response:
        document = json.load(response)
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            # It would end the hostilities.
            if method in ("get", "put", "post", "delete") and not path.endswith("/logout"):
                yield _Operation(method.upper(), path, tuple(_members(document, described.get("requestBody"))))


def _members(document: dict[str, Any], body: dict[str, Any] | None) -> list[str]:
    if body is None:
        return []
    [media] = body["content"].values()
    schema = media["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return list(schema["properties"])


def _request(chance: random.Random, operation: _Operation, tokens: tuple[str, ...]) -> bytes:
    path = operation.path
    while "{" in path:
        start, end = path.index("{"), path.index("}")
        value = chance.choice(("1", "1", "2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1", *_PIECES))
        path = path[:start] + quote(value, safe="%") + path[end + 1 :]
    if chance.random() < 0.3:
        name = chance.choice(("limit", "cursor", "q", "from", "to", "eventId", "force", "state", "olderThan", "x"))
        path += f"?{name}={quote(chance.choice(_PIECES), safe='%')}"
    headers = {"Host": "a", "Connection": "close", "Content-Type": "application/json"}
    if chance.random() < 0.8:
        headers["Authorization"] = f"Bearer {chance.choice(tokens)}"
    for _ in range(chance.randrange(3)):
        headers[chance.choice(_HEADERS)] = chance.choice(_HEADER_VALUES)
    body = _body(chance, operation)
    headers["Content-Length"] = str(len(body))
    lines = [f"{operation.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _body(chance: random.Random, operation: _Operation) -> bytes:
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: b"",
        lambda: chance.choice(_VALUES),
        lambda: chance.randbytes(chance.randrange(200)),
        lambda: b" " * (_BODY_MAX + 1),
        lambda: _members_of_nonsense(chance, operation),
        lambda: _members_of_nonsense(chance, operation),
    )
    return chance.choice(kinds)()


def _members_of_nonsense(chance: random.Random, operation: _Operation) -> bytes:
    names = [*operation.members, "role", "id", "userId"]
    members = (
        b'"%s":%s' % (chance.choice(names).encode(), chance.choice((*_VALUES, b"1", b'"2027-06-01T20:00:00Z"')))
        for _ in range(chance.randrange(1, 6))
    )
    return b"{" + b",".join(members) + b"}"


def _ask(host: str, port: int, sent: bytes, within_s: float) -> int:
    """Send bytes and return the status of the answer; 0 when there is none in time, or the connection was closed."""
    with closing(socket.create_connection((host, port), _ANSWER_WITHIN_S)) as client:
        client.settimeout(within_s)
        try:
            client.sendall(sent)
            answer = client.recv(64)
        except OSError:
            # Closed while it was still being sent, or nothing came.
            return 0
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/") else 0


ROWS = (
    Row(
        "hostile-http",
        "hostile HTTP (fuzzed from the OpenAPI document, slow, oversized, malformed)",
        "no 500, no leaked channel",
        10_000,
        10_000,
        hostile_http,
    ),
)
