"""docs/operations.md: its tables of settings say what check-config says."""

from __future__ import annotations

import re
from pathlib import Path

from aurora_atlan.config.describe import describe

_PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
_ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]*)` \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)


def test_every_setting_is_listed_once_with_its_default_and_what_it_accepts():
    listed = [(variable, default, accepts) for variable, _, default, accepts in _ROW.findall(_PAGE.read_text("utf-8"))]

    assert listed == [
        (setting.variable, "not set" if setting.value is None else f"`{setting.value}`", setting.accepts)
        for setting in describe({})
    ]
