"""What the values of settings may be.

A kind reads the text of an environment variable, checks a value given in Python the same way, and says in
words what it accepts. No library does both and keeps secrets out of its messages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from limits import parse_many

from aurora_atlan.config.faults import FAULT_POINTS, FaultRule, parse_fault_rules

# A year is as good as for ever, and safe in every timer.
_SECONDS_MAX = 31_536_000.0

# An origin is sent as it was computed: in lower case, in ASCII, without a path. Without TLS only one's own machine.
_HOST_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ORIGIN = re.compile(
    rf"(https://{_HOST_LABEL}(\.{_HOST_LABEL})*|http://(localhost|127\.0\.0\.1))(:(?P<port>[1-9][0-9]{{0,4}}))?"
)
_ORIGIN_LENGTH_MAX = 267
_PORT_MAX = 65_535

_OFF = "off"
_FLAGS = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value."""

    # returns the setting for a text, or for a value that is one already; raises ValueError
    read: Callable[[object], Any]
    # completes the sentence "PORT accepts ..."
    accepts: str
    # writes a setting as the environment would have it
    text: Callable[[Any], str] = str


def whole(low: int, high: int) -> Kind:
    """Accept whole numbers in a closed range, in plain digits."""

    def read(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return Kind(read, f"a whole number from {low} to {high}")


def seconds(low: float = 0.001, high: float = _SECONDS_MAX) -> Kind:
    """Accept a duration in seconds, whole or not, in a closed range."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or not low <= number <= high:
            raise ValueError
        return number

    return Kind(read, f"a number of seconds from {low:g} to {high:.0f}", lambda value: f"{value:g}")


def flag() -> Kind:
    """Accept true and false, and the usual other words for them."""

    def read(value: object) -> bool:
        if isinstance(value, bool):
            return value
        if not isinstance(value, str) or value.lower() not in _FLAGS:
            raise ValueError
        return _FLAGS[value.lower()]

    return Kind(read, "true or false", lambda value: "true" if value else "false")


def one_of(*words: str) -> Kind:
    """Accept one of some words, in any case."""
    by_folded = {word.casefold(): word for word in words}

    def read(value: object) -> str:
        if not isinstance(value, str) or value.casefold() not in by_folded:
            raise ValueError
        return by_folded[value.casefold()]

    return Kind(read, f"{', '.join(words[:-1])} or {words[-1]}")


def matching(pattern: str, accepts: str) -> Kind:
    """Accept a text that matches a regular expression as a whole."""

    def read(value: object) -> str:
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise ValueError
        return value

    return Kind(read, accepts)


def rate() -> Kind:
    """Accept how often something may happen, in the notation of the library limits."""

    def read(value: object) -> str:
        if not isinstance(value, str) or len(parse_many(value)) != 1:
            raise ValueError
        return value

    return Kind(read, "a rate such as 10/minute or 100 per 5 seconds")


def url(*schemes: str, example: str) -> Kind:
    """Accept a URL of one of some schemes."""

    def read(value: object) -> str:
        if not isinstance(value, str) or re.search(r"[\0\s]", value) or urlsplit(value).scheme not in schemes:
            raise ValueError
        return value

    return Kind(read, f"a URL such as {example}")


def secret(bytes_min: int) -> Kind:
    """Accept a text of at least so many bytes in UTF-8."""

    def read(value: object) -> str:
        if not isinstance(value, str) or len(value.encode()) < bytes_min:
            raise ValueError
        return value

    return Kind(read, f"a secret of at least {bytes_min} bytes")


def path() -> Kind:
    """Accept a path of a file or folder."""

    def read(value: object) -> Path:
        if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
            raise ValueError
        return Path(value)

    return Kind(read, "a path")


def cores() -> Kind:
    """Accept ``auto``, ``off`` or a list of processor cores, which becomes a sorted tuple."""

    def read(value: object) -> str | tuple[int, ...]:
        if value in ("auto", "off"):
            return str(value)
        numbers = value.split(",") if isinstance(value, str) else value
        if not isinstance(numbers, list | tuple) or not numbers:
            raise ValueError
        if not all(re.fullmatch(r"[0-9]{1,4}", str(number).strip()) for number in numbers):
            raise ValueError
        return tuple(sorted({int(number) for number in numbers}))

    return Kind(
        read,
        "auto, off, or core numbers such as 0 or 0,2",
        lambda value: value if isinstance(value, str) else ",".join(map(str, value)),
    )


def origins() -> Kind:
    """Accept ``off``, or web origins as browsers write them, which become a tuple."""

    def read(value: object) -> tuple[str, ...]:
        if value == _OFF:
            return ()
        listed = value.split(",") if isinstance(value, str) else value
        if not isinstance(listed, list | tuple) or (isinstance(value, str) and not value):
            raise ValueError
        found = [origin.strip(" ") for origin in listed if isinstance(origin, str)]
        if len(found) != len(listed) or not all(map(_is_origin, found)):
            raise ValueError
        # Each once, as they were listed.
        return tuple(dict.fromkeys(found))

    return Kind(
        read,
        "off, or origins such as https://tickets.example.com or http://localhost:5173, in lower case, separated by "
        "commas",
        lambda value: ",".join(value) or _OFF,
    )


def _is_origin(text: str) -> bool:
    # Browsers leave a scheme's own port out, so an origin that has it would match nothing.
    found = _ORIGIN.fullmatch(text)
    if found is None or len(text) > _ORIGIN_LENGTH_MAX:
        return False
    port = found["port"]
    return port is None or (int(port) <= _PORT_MAX and int(port) != (443 if text.startswith("https:") else 80))


def fault_rules() -> Kind:
    """Accept faults to be injected; see :mod:`aurora_atlan.config.faults`."""

    def read(value: object) -> tuple[FaultRule, ...]:
        if value == _OFF:
            return ()
        if isinstance(value, tuple) and all(isinstance(rule, FaultRule) for rule in value):
            return value
        if not isinstance(value, str):
            raise ValueError
        return parse_fault_rules(value)

    return Kind(
        read,
        f"off, or POINT=ACTION and perhaps @CHANCE, separated by commas; a POINT is {', '.join(FAULT_POINTS[:-1])} or "
        f"{FAULT_POINTS[-1]}, an ACTION is raise, exit, kill or sleep:SECONDS",
        lambda value: ",".join(map(str, value)) or _OFF,
    )


def or_off(kind: Kind) -> Kind:
    """Accept what another kind accepts, and ``off`` for None."""
    return Kind(
        lambda value: None if value is None or value == _OFF else kind.read(value),
        f"{kind.accepts}, or off",
        lambda value: _OFF if value is None else kind.text(value),
    )
