"""How a command ends that cannot go on: one sentence and an exit code."""

from __future__ import annotations

from typing import IO, Any

import click


class CommandError(click.ClickException):
    """Ends the command, which failed, with one sentence."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence on standard error."""
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


class SettingError(CommandError):
    """Ends the command, which was not given what it needs, with one sentence."""

    exit_code = 2
