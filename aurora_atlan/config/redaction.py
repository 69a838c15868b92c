"""Takes secrets and personal data out of what is logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_DEPTH_MAX = 6

_SECRET_KEY = re.compile(r"authorization|cookie|token|password|passwd|secret|email|credential", re.IGNORECASE)

_SECRET_TEXT = (
    # Authorization: Bearer ..., and Basic
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    # a JSON web token
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), MASK),
    # the password of a URL
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@]+@", re.IGNORECASE), rf"\1:{MASK}@"),
    # password=..., as in connection strings and parameters
    (re.compile(r"\b(\w*(?:password|secret|token))(=|': '|\": \")[^\s&'\"]+", re.IGNORECASE), rf"\1\2{MASK}"),
    # an email address
    (re.compile(r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"), MASK),
)


def redacted(value: Any, depth: int = 0) -> Any:
    """Return a value to log, however nested, without what is secret by its key or by its looks."""
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if depth >= _DEPTH_MAX:
        return MASK
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(key, str) and _SECRET_KEY.search(key) else redacted(each, depth + 1)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(each, depth + 1) for each in value]
    return value
