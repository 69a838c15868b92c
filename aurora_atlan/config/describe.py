"""The effective settings as a person may see them: secrets masked, each with its origin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from aurora_atlan.config.environment import Origin, read_environment
from aurora_atlan.config.option import option_of, variable_of
from aurora_atlan.config.redaction import MASK
from aurora_atlan.config.settings import Settings

_SECRET_PARAMETER = re.compile(r"((?:^|&)[^=&]*(?:password|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DescribedSetting:
    """One line of ``check-config``."""

    variable: str
    # None: not set, and no value stands for that
    value: str | None
    origin: Origin
    accepts: str


def describe(environ: Mapping[str, str]) -> list[DescribedSetting]:
    """Describe every setting that the environment leads to.

    Raises :class:`ConfigurationError` as :meth:`Settings.from_env` does.
    """
    settings = Settings.from_env(environ)
    found = read_environment(fields(Settings), environ)
    return [
        DescribedSetting(
            variable_of(each),
            masked(settings, each.name),
            found[each.name].origin if each.name in found else "default",
            option_of(each).kind.accepts,
        )
        for each in fields(Settings)
    ]


def masked(settings: Settings, name: str) -> str | None:
    """Return one setting as text with nothing secret in it, None when it has no value."""
    option = next(option_of(each) for each in fields(settings) if each.name == name)
    value = getattr(settings, name)
    if not option.secret:
        return option.kind.text(value)
    if value is None:
        return None
    return masked_url(value) if name.endswith("_url") else MASK


def masked_url(url: str) -> str:
    """Return a URL with the password of its authority, and those among its parameters, masked."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user:
        user = f"{user.partition(':')[0]}:{MASK}"
    query = _SECRET_PARAMETER.sub(rf"\g<1>{MASK}", parts.query)
    fragment = f"#{MASK}" if parts.fragment else ""
    # Put together by hand: urlunsplit drops the empty authority of unix:///path.
    return f"{parts.scheme}://{user}{at}{host}{parts.path}{'?' if query else ''}{query}{fragment}"
