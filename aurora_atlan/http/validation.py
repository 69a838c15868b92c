"""Validators of request bodies, each built once from its schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema

from aurora_atlan.http.problems import Problem
from aurora_atlan.http.schemas import Schema
from aurora_atlan.http.times import parse_time

_ERRORS_MAX = 20


def _is_time(value: object) -> bool:
    if isinstance(value, str):
        parse_time(value)
    return True


def _formats() -> jsonschema.FormatChecker:
    # jsonschema's own checks depend on what else is installed: a missing package switches them off silently.
    checker = jsonschema.FormatChecker(formats=())
    checker.checks("date-time", raises=ValueError)(_is_time)
    return checker


# JSON Schema calls 1.0 an integer; this API does not, and true is none either.
_StrictValidator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _checker, value: type(value) is int
    ),
)


class Validator:
    """Checks bodies against one schema, of type object.

    The schema itself is not checked: all there are, are constants, and a test checks them.
    """

    def __init__(self, schema: Schema) -> None:
        self._validator = _StrictValidator(schema, format_checker=_formats())

    def check(self, body: object) -> dict[str, Any]:
        """Return the body when it is valid; raises a 400 problem with a JSON pointer for each error."""
        # is_valid would look at every error too; the first one tells as much.
        first = next(self._validator.iter_errors(body), None)
        if first is not None or not isinstance(body, dict):
            raise invalid(_explain(self._validator.iter_errors(body)))
        return body


def invalid(errors: Iterable[tuple[str, str]]) -> Problem:
    """Return the 400 problem for errors given as (JSON pointer, what must be true there)."""
    listed = [{"pointer": pointer, "detail": detail} for pointer, detail in errors]
    # One value may break several rules of its schema, all explained by the same words.
    distinct = list({(error["pointer"], error["detail"]): error for error in listed}.values())[:_ERRORS_MAX]
    first = distinct[0]
    where = first["pointer"].lstrip("/") or "The body"
    return Problem(400, "validation-failed", f"{where} {first['detail']}.", members={"errors": distinct})


def _explain(errors: Iterable[jsonschema.ValidationError]) -> Iterator[tuple[str, str]]:
    # Never the value itself, which jsonschema's own messages quote: it may be a password.
    for error in errors:
        pointer = "".join(f"/{_escape(str(part))}" for part in error.absolute_path)
        if error.validator == "required":
            for name in error.validator_value:
                if name not in error.instance:
                    yield f"{pointer}/{_escape(name)}", "is required"
        elif error.validator == "additionalProperties":
            allowed = sorted(error.schema["properties"])
            for name in error.instance:
                if name not in allowed:
                    yield f"{pointer}/{_escape(name[:100])}", f"is not accepted; accepted are {', '.join(allowed)}"
        else:
            yield pointer, error.schema.get("x-detail", f"must be of type {error.schema.get('type')}")


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
