"""``aurora-atlan migrate``: the schema, brought up to this version."""

from __future__ import annotations

import click

from aurora_atlan.commands.stores import command_settings
from aurora_atlan.persistence.embedded import connect_or_start
from aurora_atlan.persistence.migrate import migrate


@click.command("migrate")
def command() -> None:
    """Bring the database's schema up to this version.

    Uses AURORA_MIGRATOR_DATABASE_URL if it is set, else DATABASE_URL. May run while the service does, and
    from several machines at once.
    """
    with connect_or_start(command_settings(), purpose="migrate") as settings:
        url = settings.migrator_database_url or settings.database_url
        assert url is not None
        applied = migrate(url)
    click.echo(f"Applied {applied} migrations." if applied else "The schema is up to date.")
