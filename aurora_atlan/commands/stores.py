"""The database for a command that works on it and ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aurora_atlan.config import Settings
from aurora_atlan.config.logging import configure_logging
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.embedded import connect_or_start
from aurora_atlan.persistence.migrate import migrate


def command_settings() -> Settings:
    """Read the settings and set up logging: a command that ends tells results, and logs only trouble."""
    settings = Settings.from_env()
    configure_logging("WARNING" if settings.log_level == "INFO" else settings.log_level, settings.log_format)
    return settings


@contextmanager
def migrated_database(purpose: str) -> Iterator[tuple[Settings, Database]]:
    """Open the database that the environment leads to, embedded if it names none, its schema up to date."""
    with connect_or_start(command_settings(), purpose=purpose) as settings:
        if settings.migrate_on_start and (url := settings.migrator_database_url or settings.database_url):
            migrate(url)
        database = Database(settings)
        database.open()
        try:
            yield settings, database
        finally:
            database.close()
