"""Bodies that parsers disagree about are refused."""

from __future__ import annotations

import pytest

from aurora_atlan.http.strict_json import DEPTH_MAX, MalformedJsonError, parse


def test_json_is_parsed():
    assert parse(b' {"a": [1, -2, 1.5, true, null, "\xc3\xbc \xf0\x9f\x8e\xab"], "b": {}} ') == {
        "a": [1, -2, 1.5, True, None, "ü 🎫"],
        "b": {},
    }


def test_an_integer_and_a_float_stay_what_they_are():
    assert type(parse(b"1")) is int
    assert type(parse(b"1.0")) is float


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b'{"a": 1, "a": 2}', "same member twice"),
        (b'{"b": {"a": 1, "\\u0061": 2}}', "same member twice"),
        (b"NaN", "NaN"),
        (b'{"a": Infinity}', "Infinity"),
        (b"-Infinity", "-Infinity"),
        (b"1e999", "too large"),
        (b"1" * 5000, "too many digits"),
        (b'"\\u0000"', "control character"),
        (b'"\\n"', "control character"),
        (b'"\x7f"', "control character"),
        (b'"\xc2\x85"', "control character"),
        (b'{"\\u0000": 1}', "control character"),
        (b'["\\ud800"]', "surrogate"),
        (b'"\\udc00\\ud800"', "surrogate"),
        (b'"a\x00b"', "not valid JSON"),
        (b'"\xed\xa0\x80"', "not valid UTF-8"),
        (b'"\xff"', "not valid UTF-8"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"[" * 10_000, "nested deeper"),
        (b"[" * 10_000 + b"]" * 10_000, "nested deeper"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "nested deeper"),
        (b"", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1,}', "not valid JSON"),
        (b'{"a": 01}', "not valid JSON"),
        (b"// comment\n{}", "not valid JSON"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_the_reason(raw: bytes, sentence: str):
    with pytest.raises(MalformedJsonError, match=sentence):
        parse(raw)


def test_the_deepest_allowed_nesting_is_accepted():
    assert parse(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)


def test_a_surrogate_pair_is_one_character():
    assert parse(b'"\\ud83c\\udfab"') == "🎫"
