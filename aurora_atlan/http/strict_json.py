"""JSON read strictly: what parsers disagree about, or stores choke on, is refused instead of guessed.

RFC 8259 leaves duplicate names, lone surrogates and the size of numbers to the parser. Here a duplicate
name, NaN and infinities, control characters, lone surrogates and deep nesting are all errors. The
standard library's parser is used because faster ones keep the last of two duplicates silently.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

DEPTH_MAX = 16

_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class MalformedJsonError(ValueError):
    """The body is not strict JSON; the message is a sentence for the client."""


def parse(raw: bytes) -> object:
    """Parse a body, which the caller has already limited in size; raises :class:`MalformedJsonError`."""
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except MalformedJsonError:
        raise
    except UnicodeDecodeError:
        raise MalformedJsonError("The body is not valid UTF-8.") from None
    except json.JSONDecodeError as error:
        raise MalformedJsonError(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise MalformedJsonError(_TOO_DEEP) from None
    except ValueError:
        # Python refuses to convert an integer of more than 4,300 digits.
        raise MalformedJsonError("The body holds a number with too many digits.") from None
    _check(value, DEPTH_MAX)
    return value


_TOO_DEEP = f"The body is nested deeper than {DEPTH_MAX} levels."


def _check(value: object, depth_left: int) -> None:
    if isinstance(value, str):
        if _NOT_TEXT.search(value):
            raise MalformedJsonError("The body holds a control character or a lone surrogate in a string.")
    elif isinstance(value, dict | list):
        if depth_left == 0:
            raise MalformedJsonError(_TOO_DEEP)
        for member in (*value.keys(), *value.values()) if isinstance(value, dict) else value:
            _check(member, depth_left - 1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJsonError("The body holds an object with the same member twice.")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedJsonError("The body holds a number that is too large.")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJsonError(f"The body holds {name}, which is not JSON.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_constant=_refuse_constant)
