"""One setting's place in the environment."""

from __future__ import annotations

from dataclasses import Field, dataclass, field
from typing import Any, TypeVar

from aurora_atlan.config.kinds import Kind

_KEY = "aurora_atlan.option"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option:
    """How a field of the settings is written in the environment."""

    kind: Kind
    # None: AURORA_ and the field's name in capitals
    variable: str | None
    # may come from a file named by <variable>_FILE, and is never shown
    secret: bool


def option(default: T, kind: Kind, *, variable: str | None = None, secret: bool = False) -> T:
    """Declare a field of a dataclass that the environment may set."""
    return field(default=default, repr=not secret, metadata={_KEY: Option(kind, variable, secret)})


def option_of(declared: Field[Any]) -> Option:
    """Return what :func:`option` declared for a dataclass field."""
    found = declared.metadata[_KEY]
    assert isinstance(found, Option)
    return found


def variable_of(declared: Field[Any]) -> str:
    """Return the environment variable that sets a dataclass field."""
    return option_of(declared).variable or f"AURORA_{declared.name.upper()}"
