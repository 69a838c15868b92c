"""Requests are read as waitress reads them, the plain ones on a shorter way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser

from aurora_atlan.http.channel import RequestParser

_ADJUSTMENTS = Adjustments(max_request_header_size=4_096, max_request_body_size=10_000)

_PLAIN = (
    b"POST /api/bookings/12/book HTTP/1.1\r\nHost: a.example:3000\r\nAuthorization: Bearer x.y-z_0\r\n"
    b"Content-Type: application/json\r\nContent-Length: 14\r\nConnection: keep-alive\r\n\r\n"
)
_BODY = b'{"quantity":1}'

_names = st.sampled_from(
    [
        b"Host",
        b"X-Request-Id",
        b"x-request-id",
        b"Content-Length",
        b"CONTENT-LENGTH",
        b"Content_Length",
        b"Transfer-Encoding",
        b"Expect",
        b"Connection",
        b"Accept",
        b"X-9",
        b"X Y",
        b"",
        b" Host",
        b"\xc3\xa4",
    ]
)
_values = st.one_of(
    st.sampled_from(
        [b"0", b"1", b"14", b"014", b"+1", b"-1", b"1_0", b"1, 1", b"\xb2", b"99999", b"9" * 30, b"chunked", b"gzip"]
    ),
    st.sampled_from(
        [b"close", b"Close", b"keep-alive", b"keep-alive, close", b"100-continue", b"*/*", b"a\tb", b"\x85"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(str.encode),
    st.binary(max_size=5),
)
_lines = st.builds(
    lambda name, colon, value, end: name + colon + value + end,
    _names,
    st.sampled_from([b": ", b": ", b":", b":  ", b":\t", b" : "]),
    _values,
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b" \r\n", b"\n", b"\r\n "]),
)
_first_lines = st.builds(
    lambda method, target, version: method + b" " + target + version,
    st.sampled_from([b"GET", b"POST", b"DELETE", b"get", b"P OST", b"M" * 21, b"M-SEARCH"]),
    st.one_of(
        st.sampled_from([b"/", b"//", b"//a//b", b"/a/./..", b"/a%20b", b"/a?b=c", b"/a#b", b"*", b"http://a/b", b""]),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).map(lambda text: b"/" + text.encode()),
    ),
    st.sampled_from(
        [b" HTTP/1.1\r\n", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"\r\n", b" HTTP/1.1 \r\n"]
    ),
)
_requests = st.builds(
    lambda first, lines, body: first + b"".join(lines) + b"\r\n" + body,
    _first_lines,
    st.lists(_lines, max_size=5),
    st.sampled_from([b"", _BODY, _PLAIN, b"5\r\nhello\r\n0\r\n\r\n"]),
)


@example(_PLAIN + _BODY)
@example(_PLAIN)
@example(_PLAIN.replace(b"14", b"0"))
@example(_PLAIN.replace(b"14", b"20000"))
@example(_PLAIN.replace(b"14", b"+14"))
@example(_PLAIN.replace(b"14", b"1_4"))
@example(_PLAIN.replace(b"14", b"fourteen"))
@example(_PLAIN.replace(b"keep-alive", b"close"))
@example(_PLAIN.replace(b"keep-alive", b"Close"))
@example(_PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"))
@example(_PLAIN.replace(b"POST", b"post"))
@example(_PLAIN.replace(b"/api", b"//api"))
@example(_PLAIN.replace(b"/book", b"/book?a=b#c"))
@example(_PLAIN.replace(b"/book", b"/b%6fok"))
@example(_PLAIN.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
@example(_PLAIN.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
@example(_PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 15\r\n\r\n"))
@example(_PLAIN.replace(b"\r\n\r\n", b"\r\nHost: b\r\n\r\n"))
@example(_PLAIN.replace(b"\r\n\r\n", b"\r\nX_Y: b\r\n\r\n"))
@example(_PLAIN.replace(b"\r\n\r\n", b"\r\nX: a\x0bb\x0cc\x1cd\r\n\r\n"))
@example(b"\r\n" + _PLAIN)
@settings(max_examples=300)
@given(_requests)
def test_every_request_is_read_as_waitress_reads_it(request: bytes) -> None:
    """Whatever it is, wherever it is cut into packets."""
    assert _read(RequestParser, [request]) == _read(HTTPRequestParser, [request])
    packets = [request[:20], request[20:60], request[60:]]
    assert _read(RequestParser, packets) == _read(HTTPRequestParser, packets)


@pytest.mark.parametrize(
    "request_bytes", [_PLAIN, _PLAIN.replace(b"14", b"0"), b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"]
)
def test_what_is_plain_takes_the_shorter_way(request_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a look of waitress's."""

    def refuse(_: HTTPRequestParser, head: bytes) -> None:
        raise AssertionError(head)

    monkeypatch.setattr(HTTPRequestParser, "parse_header", refuse)

    assert RequestParser(_ADJUSTMENTS).received(request_bytes) == len(request_bytes)


def _read(parser_class: type[HTTPRequestParser], packets: list[bytes]) -> list[dict[str, Any]]:
    # What is known of each request, as waitress's channel reads one after the other.
    known, parser = [], parser_class(_ADJUSTMENTS)
    for packet in packets:
        rest = packet
        while rest:
            rest = rest[parser.received(rest) :]
            if parser.completed:
                known.append(_known(parser))
                if parser.error or parser.connection_close:
                    return known
                parser = parser_class(_ADJUSTMENTS)
    return [*known, _known(parser)]


def _known(parser: HTTPRequestParser) -> dict[str, Any]:
    names = (
        "completed",
        "empty",
        "headers_finished",
        "header_bytes_received",
        "body_bytes_received",
        "chunked",
        "content_length",
        "connection_close",
        "version",
        "command",
        "request_uri",
        "path",
        "query",
        "fragment",
        "proxy_scheme",
        "proxy_netloc",
        "url_scheme",
    )
    known = {name: getattr(parser, name, None) for name in names}
    error = parser.error
    if error is not None:
        # What was read before the error is told to nobody.
        return {"error": (error.code, error.body), "completed": parser.completed}
    expects = bool(getattr(parser, "expect_continue", False))
    body = parser.get_body_stream().read()
    return {**known, "headers": list(parser.headers.items()), "expects": expects, "body": body}
