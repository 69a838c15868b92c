"""``aurora-atlan check-config``: the settings in force."""

from __future__ import annotations

import os

import click

from aurora_atlan.config.describe import describe

_UNSET = {
    "DATABASE_URL": "(not set: embedded, under AURORA_DATA_DIR)",
    "REDIS_URL": "(not set: embedded, under AURORA_DATA_DIR)",
    "JWT_SECRET": "(not set: one of the embedded servers' own)",
    "AURORA_MIGRATOR_DATABASE_URL": "(not set: DATABASE_URL)",
}


@click.command("check-config")
def command() -> None:
    """Show every setting in force, where it comes from, and no secret.

    Exits 2 with one sentence when a setting is wrong.
    """
    rows = [
        (row.variable, _UNSET.get(row.variable, "(not set)") if row.value is None else row.value, row.origin)
        for row in describe(os.environ)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for variable, value, origin in rows:
        click.echo(f"{variable:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
