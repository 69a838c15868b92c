"""Loads the named queries of ``sql/*.sql``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

import aiosql


@functools.cache
def load(name: str) -> Mapping[str, bytes]:
    """Return the queries of ``sql/<name>.sql`` by their names, ready for ``connection.execute``.

    Parameters are written ``:name`` in the file. They come back as bytes, which psycopg takes as
    a constant query: nothing is ever formatted into one.
    """
    text = resources.files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    queries = aiosql.from_str(text, "psycopg", mandatory_parameters=False)
    # aiosql adds a "_cursor" variant of every query, which executes by itself: of no use here.
    names = (name for name in queries.available_queries if not name.endswith("_cursor"))
    return MappingProxyType({name: getattr(queries, name).sql.encode() for name in names})
