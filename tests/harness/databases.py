"""One PostgreSQL for a test session, and a database of its own for every test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from aurora_atlan.persistence.embedded import EmbeddedPostgres
from aurora_atlan.persistence.migrate import migrate

_TEMPLATE = "aurora_template"

# Survives every kill of a process, which is all that tests do; only a power cut would lose something.
FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}


class Databases:
    """Makes databases out of one that has been migrated once."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        server.ensure_database(_TEMPLATE)
        migrate(server.url(_TEMPLATE))

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Give the URL of a fresh database with the whole schema, dropped afterwards."""
        with self._fresh(_TEMPLATE) as url:
            yield url

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Give the URL of a fresh database without any schema, dropped afterwards."""
        with self._fresh("template1") as url:
            yield url

    @contextmanager
    def out_of_reach(self, url: str) -> Iterator[None]:
        """Cut all connections to a database and allow no new ones for the duration of the block."""
        database = urlsplit(url).path.lstrip("/")
        name = sql.Identifier(database)
        with psycopg.connect(self._server.url("postgres"), autocommit=True) as operator:
            operator.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
            operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
            try:
                yield
            finally:
                operator.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))

    @contextmanager
    def _fresh(self, template: str) -> Iterator[str]:
        name = f"test_{next(self._numbers)}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield self._server.url(name)
        finally:
            self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._server.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)
