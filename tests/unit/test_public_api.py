"""What programs may import: listed, described, and not changed by accident.

The list is ``public_api.txt`` beside this file. After a change that is meant, renew it, read the difference as those
would who use it (docs/embedding.md says which release may change what), and tell them in CHANGELOG.md:

    python tests/unit/test_public_api.py
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

import aurora_atlan

_LIST = Path(__file__).with_name("public_api.txt")
_GUIDE = Path(__file__).parents[2] / "docs" / "embedding.md"
# Members that say this of themselves are not for hosts, and may change at any time.
_INTERNAL = "or the HTTP API."


def public_api() -> Iterator[str]:
    """One line for each thing that may be relied on."""
    for name in sorted(aurora_atlan.__all__):
        value = getattr(aurora_atlan, name)
        if inspect.isclass(value):
            yield from _class_lines(name, value)
        elif inspect.isfunction(value):
            yield f"{name}{_signature_text(value)}"
        else:
            yield f"{name}: {type(value).__name__}"


def _class_lines(name: str, cls: type[Any]) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    yield f"class {name}({bases})" if bases else f"class {name}"
    if issubclass(cls, Enum):
        yield from (f"    {name}.{member.name} = {member.value!r}" for member in cls)
    elif is_dataclass(cls):
        yield from (f"    {name}.{_field_text(field)}" for field in fields(cls))
    elif "__init__" in vars(cls):
        yield f"    {name}{_signature_text(cls.__init__)}"
    for member, value in _own_members(cls):
        if isinstance(value, property):
            yield f"    {name}.{member}: {value.fget.__annotations__['return']}"
        else:
            awaited = "async " if inspect.iscoroutinefunction(value) else ""
            yield f"    {awaited}{name}.{member}{_signature_text(value)}"


def _signature_text(function: Any) -> str:
    # Annotations are texts; what a default object is does not matter.
    unquoted = re.sub(r"(: |-> )(['\"])(.*?)\2", r"\1\3", str(inspect.signature(function)))
    return re.sub(r"<[^<>]+ at 0x[0-9a-f]+>", "...", unquoted)


def _field_text(field: Field[Any]) -> str:
    if field.default is not MISSING:
        return f"{field.name}: {field.type} = {field.default!r}"
    return f"{field.name}: {field.type}" + ("" if field.default_factory is MISSING else " = ...")


def _own_members(cls: type[Any]) -> list[tuple[str, Any]]:
    """Public functions and properties that the class itself defines, class methods as they are called."""
    kinds = (property, cached_property, classmethod, staticmethod)
    found = []
    for name, value in sorted(vars(cls).items()):
        if name.startswith("_") or not (inspect.isfunction(value) or isinstance(value, kinds)):
            continue
        if _INTERNAL not in (value.__doc__ or ""):
            found.append((name, getattr(cls, name) if isinstance(value, classmethod | staticmethod) else value))
    return found


def _described() -> Iterator[tuple[str, Any]]:
    for name in sorted(set(aurora_atlan.__all__) - {"KEEP", "__version__"}):
        value = getattr(aurora_atlan, name)
        yield name, value
        if inspect.isclass(value):
            yield from ((f"{name}.{member}", each) for member, each in _own_members(value))


def test_the_public_api_is_as_listed():
    listed = _LIST.read_text(encoding="utf-8").splitlines()

    found = list(public_api())

    renew = f"{_LIST.name} lists something else: if the change is meant, see the head of {Path(__file__).name}"
    assert [line for line in found if line not in listed] == [], renew
    assert [line for line in listed if line not in found] == [], renew
    assert found == listed, renew


@pytest.mark.parametrize(("name", "value"), [pytest.param(*each, id=each[0]) for each in _described()])
def test_it_says_what_it_is(name: str, value: Any):
    text = value.__doc__ or ""
    sentence = text.strip().partition("\n")[0]

    # Not the text that a dataclass makes of its own signature, nor the one inherited from Exception.
    assert sentence.endswith((".", ":"))
    assert len(sentence.split()) >= 3
    assert not sentence.startswith(f"{name}(")


def test_what_it_says_refers_to_nothing_that_is_not_public():
    texts = {name: value.__doc__ or "" for name, value in _described()}
    public = set(texts) | {name.rpartition(".")[2] for name in texts}

    referred = {
        (name, target)
        for name, text in texts.items()
        for target in re.findall(r":(?:meth|class|func):`~?([^`]+)`", text)
    }

    assert referred
    assert sorted((name, target) for name, target in referred if target not in public) == []


def test_the_guide_names_everything_and_nothing_else():
    words = set(re.findall(r"`([A-Za-z]\w+)(?:\([^`]*\))?`", _GUIDE.read_text(encoding="utf-8")))
    names = set(aurora_atlan.__all__) - {"__version__"}

    assert sorted(names - words) == []
    # Whatever else is spelled like a class of ours. What a program meets of Python's own is no such thing.
    classes = {word for word in words if re.fullmatch(r"(?:[A-Z][a-z]+){2,}", word)}
    assert sorted(classes - names - {"DeprecationWarning", "TimeoutError", "ValueError", "RuntimeError"}) == []


@pytest.mark.parametrize(
    ("imported", "loaded"),
    [("__version__", []), ("Settings", []), ("Supervisor", ["psycopg", "pykka", "redis"])],
)
def test_who_imports_something_loads_what_it_needs_and_no_web_framework(imported: str, loaded: list[str]):
    script = (
        f"import sys; from aurora_atlan import {imported};"
        "print(sorted({'falcon', 'waitress', 'pykka', 'psycopg', 'redis'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == f"{loaded}\n"


def test_a_name_that_is_not_exported_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'utils'"):
        _ = aurora_atlan.utils

    assert set(aurora_atlan.__all__) <= set(dir(aurora_atlan))


if __name__ == "__main__":
    _LIST.write_text("".join(f"{line}\n" for line in public_api()), encoding="utf-8")
