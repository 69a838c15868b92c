"""``aurora-atlan make-buyers``: buyers for load tests of one's own deployment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

import click

from aurora_atlan.commands.stores import migrated_database
from aurora_atlan.config import ACCESS_TOKEN_LIFETIME_MAX_S
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.users import UserStore

_COUNT_MAX = 10_000_000
_ROLE = "USER"
_FIRST_TOKEN_VERSION = 1
_VALID_FOR_S = 86_400
# A token that outlives what the service remembers of voided ones would be good again.
_VALID_FOR_MAX_S = ACCESS_TOKEN_LIFETIME_MAX_S


@click.command("make-buyers")
@click.option("--count", type=click.IntRange(1, _COUNT_MAX), required=True, help="How many.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    required=True,
    help="The file to write; it is replaced, and readable by you alone.",
)
@click.option(
    "--valid-for",
    "valid_for_s",
    type=click.IntRange(1, _VALID_FOR_MAX_S),
    default=_VALID_FOR_S,
    show_default=True,
    help="The lifetime of the tokens in seconds.",
)
def command(count: int, out: Path, valid_for_s: int) -> None:
    """Make synthetic buyers and write "userId token" for each on a line of a file.

    They are inserted in bulk and have no password: nobody can log in as one. May run while the service
    does, with the same environment: the tokens are signed with its JWT_SECRET.
    """
    with migrated_database("make-buyers") as (settings, database):
        issuer = TokenIssuer(settings)
        buyers = UserStore(database).create_synthetic(count)
        with (
            _private_file(out) as lines,
            click.progressbar(buyers, length=count, label="Making buyers", file=sys.stderr) as shown,
        ):
            for user_id in shown:
                token = issuer.issue(user_id, _ROLE, _FIRST_TOKEN_VERSION, lifetime_s=valid_for_s)
                lines.write(f"{user_id} {token}\n")
    click.echo(f"Wrote {count:,} buyers to {out}.")


def _private_file(path: Path) -> TextIO:
    try:
        path.unlink(missing_ok=True)
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii")
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be written: {error.strerror}.", param_hint="--out") from error
