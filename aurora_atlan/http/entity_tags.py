"""Entity tags and the conditions that clients make of them (RFC 9110, sections 8.8.3, 13.1.1 and 13.1.2)."""

from __future__ import annotations

import hashlib
import re

_DIGEST_BYTES = 16

# Between the quotes may be anything visible but a quote, commas too.
_OPAQUE_TAG = re.compile(r'"[!#-~\x80-\xff]*"')
# One element of a list of tags, which may be empty, and what ends it.
_ELEMENT = re.compile(r'[ \t]*(?:(W/)?"([!#-~\x80-\xff]*)"[ \t]*)?(?:,|\Z)')
# What stands between the quotes of an event's tag.
_VERSIONED = re.compile(r"([1-9][0-9]{0,9})\..*")


def fingerprint(*parts: bytes) -> str:
    """Return a hash of the parts as 32 hexadecimal digits, the same in every process and version of Python."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        # With its length, so that no two lists of parts have the same bytes.
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


def is_known(tag: str, if_none_match: str) -> bool:
    """Tell whether an If-None-Match header names ``tag``, which is given with its quotes; ``*`` names every tag.

    The comparison is weak: ``W/`` before a tag makes no difference. What is not a tag names nothing.
    """
    return if_none_match == tag or if_none_match.strip() == "*" or tag in _OPAQUE_TAG.findall(if_none_match)


def named_versions(if_match: str) -> frozenset[int] | None:
    """Return the versions of an event that an If-Match header names; None for ``*``, which names every one.

    The comparison is strong: a tag with ``W/`` before it, and one that no event can have, name nothing. Raises
    ValueError unless it is ``*`` or a list of at least one tag.
    """
    if if_match.strip() == "*":
        return None
    versions = set()
    tags = position = 0
    while position < len(if_match):
        element = _ELEMENT.match(if_match, position)
        if element is None:
            raise ValueError("not a list of entity tags")
        position = element.end()
        weak, opaque = element.groups()
        if opaque is None:
            continue
        tags += 1
        versioned = _VERSIONED.fullmatch(opaque)
        if versioned is not None and weak is None:
            versions.add(int(versioned[1]))
    if not tags:
        raise ValueError("no entity tag")
    return frozenset(versions)
