"""Entity tags."""

from __future__ import annotations

import re

import pytest

from aurora_atlan.http.entity_tags import fingerprint, is_known

TAG = '"1.abc"'


def test_a_fingerprint_depends_on_every_byte_and_on_nothing_else():
    parts = [(), (b"",), (b"", b""), (b"ab",), (b"a", b"b"), (b"b", b"a"), (b"1:a",), (b"ab" * 1000,)]
    fingerprints = [fingerprint(*given) for given in parts]

    assert len(set(fingerprints)) == len(parts)
    assert fingerprints == [fingerprint(*given) for given in parts]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in fingerprints)
    # The same in every process: clients compare over restarts.
    assert fingerprint(b"a", b"b") == "c04e17957d4ca3123b3afdaab02e4023"


@pytest.mark.parametrize(
    "header",
    [
        '"1.abc"',
        'W/"1.abc"',
        '"other", "1.abc"',
        '"1.abc","other"',
        'W/"other" , W/"1.abc"',
        ', "1.abc",',
        '"with, a comma", "1.abc"',
        '"", "1.abc"',
        '"\xe9", "1.abc"',
        "*",
        " * ",
    ],
)
def test_a_tag_is_known_by_a_header_that_names_it(header: str):
    assert is_known(TAG, header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        '"other"',
        "1.abc",
        "W/1.abc",
        '"1.ABC"',
        '"1.abcd"',
        '"01.abc"',
        '""',
        '"',
        '"1.abc',
        '"*"',
        '*, "other"',
        '" 1.abc"',
        "\"'1.abc'\"",
    ],
)
def test_a_tag_is_not_known_by_another_header(header: str):
    assert not is_known(TAG, header)
