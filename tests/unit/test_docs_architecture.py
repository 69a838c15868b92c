"""docs/architecture.md: every file, class, function and word of the code that it names is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "aurora_atlan"
_TEXT = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_FENCES = re.findall(r"^```\w+\n(.*?)^```$", _TEXT, re.DOTALL | re.MULTILINE)
_PROSE = re.sub(r"^```\w+\n.*?^```$", "", _TEXT, flags=re.DOTALL | re.MULTILINE)
_CODE = re.findall(r"`([^`\n]+)`", _PROSE)

_PATH = re.compile(r"\b(?:aurora_atlan|tests)/[\w/]*(?:\.\w+)?")
_CLASS = re.compile(r"\b(?:[A-Z][a-z]+){2,}\b")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_DOTTED = re.compile(r"([A-Za-z_]\w*)\.([a-z_]\w*)")
# "`One`, `Two` in `aurora_atlan/three.py`"
_PLACED = re.compile(r"((?:`[^`\n]+`(?:, | and )?)+) in `(aurora_atlan/[^`\n]+\.py)`")


@cache
def _defined(path: Path) -> frozenset[str]:
    """The names that a module defines: classes, functions, and members as Class.member and module.member."""
    return frozenset(_names(path.stem, ast.parse(path.read_text(encoding="utf-8"))))


def _names(module: str, tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
            for member in ast.walk(node):
                if isinstance(member, ast.FunctionDef):
                    yield f"{node.name}.{member.name}"
        elif isinstance(node, ast.FunctionDef):
            yield node.name
            yield f"{module}.{node.name}"


@cache
def _all_defined() -> frozenset[str]:
    return frozenset().union(*map(_defined, _PACKAGE.rglob("*.py")))


@cache
def _words() -> frozenset[str]:
    sources = [path for path in _PACKAGE.rglob("*") if path.suffix in (".py", ".sql", ".lua")]
    return frozenset(word for path in sources for word in _IDENTIFIER.findall(path.read_text(encoding="utf-8")))


def test_every_path_it_names_exists():
    named = set(_PATH.findall(_TEXT))

    assert len(named) > 40
    assert [path for path in sorted(named) if not (_ROOT / path).exists()] == []


def test_every_class_and_function_it_names_exists():
    dotted = {".".join(found.groups()) for code in _CODE if (found := _DOTTED.fullmatch(code))}
    # What ends like a file is one of the paths, or a script called by its bare name.
    dotted = {name for name in dotted if not name.endswith((".md", ".lua", ".py", ".toml"))}
    classes = {code for code in _CODE if _CLASS.fullmatch(code)} | set(_CLASS.findall("".join(_FENCES)))

    assert len(dotted) > 15
    assert len(classes) > 15
    assert sorted((dotted | classes) - _all_defined()) == []


def test_every_word_of_the_code_that_it_quotes_is_in_the_code():
    quoted = {code for code in _CODE if _IDENTIFIER.fullmatch(code)}

    assert len(quoted) > 40
    assert sorted(quoted - _words()) == []


def test_every_script_in_its_drawings_exists():
    scripts = set(re.findall(r"\b\w+\.lua\b", "".join(_FENCES)))

    assert scripts
    assert [name for name in sorted(scripts) if not (_PACKAGE / "persistence" / "lua" / name).exists()] == []


@pytest.mark.parametrize(("names", "path"), _PLACED.findall(_TEXT))
def test_what_it_places_in_a_file_is_defined_there(names: str, path: str):
    for name in re.findall(r"`([^`]+)`", names):
        assert name in _defined(_ROOT / path)
