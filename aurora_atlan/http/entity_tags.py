"""Entity tags and the condition that clients make of them (RFC 9110, sections 8.8.3 and 13.1.2)."""

from __future__ import annotations

import hashlib
import re

_DIGEST_BYTES = 16

# Between the quotes may be anything visible but a quote, commas too.
_OPAQUE_TAG = re.compile(r'"[!#-~\x80-\xff]*"')


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
