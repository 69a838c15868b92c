"""The group of all commands, and how their errors are told."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from aurora_atlan._version import __version__
from aurora_atlan.commands.errors import CommandError, SettingError
from aurora_atlan.config import ConfigurationError
from aurora_atlan.persistence.embedded.errors import EmbeddedServerError
from aurora_atlan.persistence.errors import SchemaError, StoreError

# Of what the extra "embedded" installs and the service itself does not need.
_OPTIONAL = {"aiohttp": "embedded"}


@dataclass(frozen=True, slots=True)
class Listed:
    """A command in the list: where its module is, and what the help says of it."""

    module: str
    help: str


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for: ``--version`` needs no web server."""

    def __init__(self, *arguments: Any, listed: dict[str, Listed], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._listed = listed

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order that they were given."""
        return list(self._listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None when there is none of that name."""
        listed = self._listed.get(cmd_name)
        if listed is None:
            return None
        try:
            command: click.Command = import_module(listed.module).command
        except ModuleNotFoundError as error:
            extra = _OPTIONAL.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            raise SettingError(
                f"{cmd_name} needs {error.name}, which is not installed: pip install 'aurora-atlan[{extra}]'"
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, listed.help) for name, listed in self._listed.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what a person can mend into one sentence."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            raise SettingError(str(error)) from error
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from error
        except SchemaError as error:
            raise CommandError(
                f"the database's schema is not this version's; run aurora-atlan migrate ({_first_line(error)})"
            ) from error
        except StoreError as error:
            raise CommandError(f"PostgreSQL or Redis cannot be used: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


_PACKAGE = "aurora_atlan.commands"


@click.group(
    cls=LazyGroup,
    listed={
        "serve": Listed(f"{_PACKAGE}.serve", "Serve the API until Ctrl-C or SIGTERM."),
        "rush": Listed(f"{_PACKAGE}.rush", "Sell an event that thousands fight over, and prove the outcome."),
        "audit": Listed(f"{_PACKAGE}.audit", "Recompute every event from its rows and replay the ledger."),
        "verify-receipt": Listed(f"{_PACKAGE}.verify_receipt", "Hold a booking's receipt against the ledger."),
        "create-admin": Listed(f"{_PACKAGE}.create_admin", "Create an administrator, or make an account one."),
        "make-buyers": Listed(f"{_PACKAGE}.make_buyers", "Make buyers and their tokens for load tests."),
        "migrate": Listed(f"{_PACKAGE}.migrate", "Bring the database's schema up to this version."),
        "check-config": Listed(f"{_PACKAGE}.check_config", "Show the settings in force."),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Sell events without overselling one seat.

    Settings come from the environment; check-config shows them all. Without DATABASE_URL and REDIS_URL, a
    PostgreSQL and a Redis of the command's own run under AURORA_DATA_DIR.
    """
