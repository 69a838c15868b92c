"""The schemas of request bodies are schemas."""

from __future__ import annotations

import jsonschema
import pytest

from aurora_atlan.http import schemas

SCHEMAS = {name: schema for name, schema in vars(schemas).items() if name.isupper() and isinstance(schema, dict)}


@pytest.mark.parametrize("name", [name for name in SCHEMAS if not name.startswith("_")])
def test_every_schema_is_one_and_takes_no_other_member_than_it_names(name: str):
    """The service does not check them each time it starts."""
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["type"] == "object"
    assert SCHEMAS[name]["additionalProperties"] is False


def test_there_are_schemas():
    assert {"REGISTER", "BOOK", "UPDATE_EVENT"} <= SCHEMAS.keys()
