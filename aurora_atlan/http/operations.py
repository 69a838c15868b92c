"""What is said of a method of a route, for the API's description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import falcon

from aurora_atlan.http.schemas import Schema
from aurora_atlan.persistence.users import ROLES

BUYERS: Final = frozenset({"USER", "ADMIN"})
OPERATORS: Final = frozenset({"ADMIN", "OPS"})
ADMINISTRATORS: Final = frozenset({"ADMIN"})
LOGGED_IN: Final = ROLES

_BODY: Final = ("validation-failed", "malformed-body", "body-too-large", "unsupported-media-type")
_NO_BODY: Final = ("unexpected-body", "malformed-body", "body-too-large", "unsupported-media-type")


class Body(StrEnum):
    """Whether a request has a body."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    # One that comes all the same is an error.
    REFUSED = "refused"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Success:
    """An answer that is no problem."""

    description: str
    # None: it has no body.
    schema: Schema | None = None
    # By their names in :mod:`aurora_atlan.http.operation_parameters`.
    headers: tuple[str, ...] = ()
    media_type: str = falcon.MEDIA_JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method of a route: who may call it, with what, and what it answers."""

    # Unique; for programs that make clients.
    name: str
    method: str
    # With the names that clients read; the router's may be others.
    path: str
    summary: str
    tag: str
    # None: everybody, also without a token.
    roles: frozenset[str] | None = None
    # Takes a token, and refuses a bad one, but needs none.
    token_is_optional: bool = False
    # By their names in :mod:`aurora_atlan.http.operation_parameters`.
    parameters: tuple[str, ...] = ()
    body: Body = Body.IGNORED
    # The name of a constant of :mod:`aurora_atlan.http.schemas`.
    schema: str | None = None
    answers: Mapping[int, Success] = field(default_factory=dict)
    # The types of problems beyond those that follow from the rest.
    problems: tuple[str, ...] = ()
    # Answers whatever the Accept header says.
    negotiates: bool = True

    @property
    def path_parameters(self) -> list[str]:
        """The names in the path, in its order."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def problem_types(self) -> list[str]:
        """The types of all problems that it answers with."""
        types = list(self.problems)
        if self.body is Body.REFUSED:
            types += _NO_BODY
        elif self.body is not Body.IGNORED:
            types += _BODY
        if self.roles is not None or self.token_is_optional:
            types += ["unauthenticated", "invalid-token"]
        if self.roles is not None and self.roles != ROLES:
            types.append("forbidden")
        if any(name.lower().endswith("id") for name in self.path_parameters):
            types.append("malformed-id")
        if self.negotiates:
            types.append("not-acceptable")
        return list(dict.fromkeys(types))
