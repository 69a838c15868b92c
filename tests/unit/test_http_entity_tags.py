"""Entity tags."""

from __future__ import annotations

import re
import time

import pytest

from aurora_atlan.http.entity_tags import fingerprint, is_known, named_versions

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


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"1.abc"', {1}),
        ('"1."', {1}),
        ('"12.abc","3.def" ,\t"4.x"', {12, 3, 4}),
        (' , "1.abc",,', {1}),
        ('"1.with,a,comma", "2.x"', {1, 2}),
        ('"1.\xe9"', {1}),
        ('W/"1.abc"', set()),
        ('W/"1.abc", "2.abc"', {2}),
        ('""', set()),
        ('"1"', set()),
        ('"abc"', set()),
        ('"01.abc"', set()),
        ('"0.abc"', set()),
        ('"-1.abc"', set()),
        ('"\xb2.abc"', set()),
        ('"99999999999.abc"', set()),
    ],
)
def test_an_if_match_names_the_versions_of_its_strong_tags(header: str, versions: set[int]):
    assert named_versions(header) == versions


@pytest.mark.parametrize("header", ["*", " * "])
def test_a_star_names_every_version(header: str):
    assert named_versions(header) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        ",",
        "1.abc",
        '"1.abc',
        '1.abc"',
        '"1.abc" "2.abc"',
        '"1.abc"; "2.abc"',
        '*, "1.abc"',
        '"1 abc"',
        "W/",
        'w/"1.x"',
    ],
)
def test_what_is_neither_a_star_nor_a_list_of_tags_names_nothing_at_all(header: str):
    with pytest.raises(ValueError, match="entity tag"):
        named_versions(header)


def test_a_long_header_is_read_in_one_pass():
    """16 KiB of what is almost a list are refused at once."""
    began = time.perf_counter()
    for header in (" " * 16_000 + "x", '"1.a",' * 2_600 + "x", "," * 16_000 + "x"):
        with pytest.raises(ValueError, match="entity tag"):
            named_versions(header)
    assert time.perf_counter() - began < 1.0
