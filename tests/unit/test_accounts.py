"""One account has one address, one name and one password, however they are typed."""

from __future__ import annotations

import pytest

from aurora_atlan.persistence.accounts import canonical_email, normalise_name, normalise_password


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("someone@example.com", "someone@example.com"),
        ("Some.One+Tag@EXAMPLE.com", "some.one+tag@example.com"),
        ("e\u0301@example.com", "\u00e9@example.com"),
        ("STRASSE@example.com", "strasse@example.com"),
        ("Straße@example.com", "strasse@example.com"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"),
        ("admin@localhost", "admin@localhost"),
    ],
)
def test_an_address_has_one_canonical_form(typed: str, canonical: str):
    assert canonical_email(typed) == canonical
    assert canonical_email(canonical) == canonical


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "someone",
        "@example.com",
        "someone@",
        "a@b@c.d",
        "a b@example.com",
        "a..b@example.com",
        ".a@example.com",
        "a@example..com",
        "a@example.com.",
        "a@-example.com",
        "a@exa_mple.com",
        "a@[127.0.0.1]",
        "a@example.com\n",
        "a\x00@example.com",
        "\ud800@example.com",
        '"a b"@example.com',
        "a" * 65 + "@example.com",
        "a@" + ".".join(["x" * 60] * 5),
    ],
)
def test_what_is_no_address_is_refused(typed: str):
    with pytest.raises(ValueError, match=r"e-mail address"):
        canonical_email(typed)


def test_a_password_is_the_same_on_every_keyboard():
    assert normalise_password("pa\u0308sswo\u0308rd\u00a0x") == "p\u00e4ssw\u00f6rd x"


@pytest.mark.parametrize(("length", "accepted"), [(7, False), (8, True), (128, True), (129, False)])
def test_a_password_has_8_to_128_characters(length: int, accepted: bool):
    if accepted:
        assert normalise_password("x" * length) == "x" * length
    else:
        with pytest.raises(ValueError, match="8 to 128"):
            normalise_password("x" * length)


def test_the_length_counts_after_normalisation():
    with pytest.raises(ValueError, match="8 to 128"):
        normalise_password("e\u0301" * 7)


def test_a_name_loses_the_white_space_around_it():
    assert normalise_name("  Rene\u0301  ") == "Ren\u00e9"


@pytest.mark.parametrize("name", ["", "   ", "\u3000", "x" * 201])
def test_a_blank_or_endless_name_is_refused(name: str):
    with pytest.raises(ValueError, match="1 to 200"):
        normalise_name(name)
