"""Brings a database's schema up to this version."""

from __future__ import annotations

import logging
from importlib import resources
from typing import Any
from urllib.parse import urlencode

import psycopg
import yoyo
from psycopg.conninfo import conninfo_to_dict

from aurora_atlan.persistence.errors import translated

_LOCK = int.from_bytes(b"aamigr", "big")
_LOCK_TIMEOUT_S = 120
_CONNECT_TIMEOUT_S = 3

log = logging.getLogger(__name__)


def migrate(url: str) -> int:
    """Apply the migrations that the database lacks, each in a transaction of its own; return how many.

    Safe to run from many processes at once: one works, the others wait for it, up to two minutes. Raises
    the errors of :mod:`aurora_atlan.persistence.errors`.
    """
    with (
        translated(),
        psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S) as guard,
        resources.as_file(resources.files(__package__).joinpath("migrations")) as folder,
    ):
        known = yoyo.read_migrations(str(folder))
        if {migration.id for migration in known} <= _applied(guard):
            # Nothing to do, and no right to change the schema is needed to see that.
            return 0
        # Not yoyo's own lock: that is a row, which a killed process leaves behind.
        guard.execute("SELECT set_config('lock_timeout', %s, false)", (f"{_LOCK_TIMEOUT_S}s",))
        guard.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        with yoyo.get_backend(_yoyo_url(url)) as backend:
            missing = backend.to_apply(known)
            for migration in missing:
                log.info("applying migration %s", migration.id)
                backend.apply_one(migration)
            return len(missing)


def _applied(connection: psycopg.Connection[tuple[Any, ...]]) -> set[str]:
    try:
        return {row[0] for row in connection.execute("SELECT migration_id FROM _yoyo_migration")}
    except psycopg.errors.UndefinedTable:
        return set()


def _yoyo_url(url: str) -> str:
    # yoyo hands a URL's parameters to psycopg as they are. Given nothing else, it cannot misread what
    # libpq takes and urllib does not: several hosts, sockets, percent-encoded paths.
    parameters = {"connect_timeout": _CONNECT_TIMEOUT_S, **conninfo_to_dict(url)}
    return f"postgresql+psycopg:///?{urlencode(parameters)}"
