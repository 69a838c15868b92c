"""Reads declared settings from environment variables and the files that they name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass
from pathlib import Path
from typing import Any, Literal

from aurora_atlan.config.errors import ConfigurationError
from aurora_atlan.config.option import option_of, variable_of

Origin = Literal["environment", "file", "default"]

_PREFIX = "AURORA_"
_FILE_SUFFIX = "_FILE"
_FILE_BYTES_MAX = 65_536
_SHOWN_MAX = 60


@dataclass(frozen=True, slots=True)
class Found:
    """A setting that the environment gives, and where it stands."""

    setting: Any
    origin: Origin


def read_environment(declared: Iterable[Field[Any]], environ: Mapping[str, str]) -> dict[str, Found]:
    """Return the settings that are given, by the names of their fields.

    Raises :class:`ConfigurationError` for a value that its setting does not accept, a file that cannot
    be read, a setting given twice, and an ``AURORA_`` variable that names no setting.
    """
    options = list(declared)
    _refuse_unknown(options, environ)
    given = ((each.name, _found(each, environ)) for each in options)
    return {name: found for name, found in given if found is not None}


def _found(declared: Field[Any], environ: Mapping[str, str]) -> Found | None:
    option, variable = option_of(declared), variable_of(declared)
    text = environ.get(variable)
    origin: Origin = "environment"
    said = variable
    if option.secret and (file := environ.get(variable + _FILE_SUFFIX)) is not None:
        said = variable + _FILE_SUFFIX
        if text is not None:
            raise ConfigurationError(f"{variable} and {said} are both set; set one of them")
        text, origin = _content(said, file), "file"
    if text is None:
        return None
    try:
        return Found(option.kind.read(text), origin)
    except ValueError as error:
        raise ConfigurationError(_refusal(said, text, option.kind.accepts, option.secret, origin)) from error


def _refusal(variable: str, text: str, accepts: str, secret: bool, origin: Origin) -> str:
    if origin == "file":
        return f"the file that {variable} names must hold {accepts}" + ("; it is empty" if not text else "")
    if not text:
        return f"{variable} is empty; it accepts {accepts}, or leave it unset"
    if secret:
        return f"{variable} accepts {accepts}"
    shown = text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."
    return f"{variable} accepts {accepts}, not {shown!r}"


def _content(variable: str, file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_FILE_BYTES_MAX + 1)
        if len(content) > _FILE_BYTES_MAX:
            raise ConfigurationError(f"{variable} names a file of more than {_FILE_BYTES_MAX} bytes: {file}")
        return content.decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        raise ConfigurationError(f"{variable} must name a readable file, not {file!r}: {reason}") from error


def _refuse_unknown(options: list[Field[Any]], environ: Mapping[str, str]) -> None:
    known = [variable_of(each) for each in options]
    known += [variable_of(each) + _FILE_SUFFIX for each in options if option_of(each).secret]
    for name in sorted(environ):
        if not name.startswith(_PREFIX) or name in known:
            continue
        if name.removeprefix(_PREFIX) in known:
            nearest = [name.removeprefix(_PREFIX)]
        else:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise ConfigurationError(f"{name} is not a setting; the nearest is {nearest[0]}")
