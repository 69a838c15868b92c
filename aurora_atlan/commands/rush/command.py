"""The command ``rush``: its options, and how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from aurora_atlan.commands.errors import SettingError
from aurora_atlan.commands.rush.errors import RushError
from aurora_atlan.commands.rush.own_service import OwnService
from aurora_atlan.commands.rush.rush import Plan, Rush
from aurora_atlan.commands.rush.screen import Screen
from aurora_atlan.config import Settings

_BROKEN = 1
_INTERRUPTED = 130


@click.command("rush")
@click.option(
    "--buyers", type=click.IntRange(1, 1_000_000), default=2_000, show_default=True, help="Who want a seat each."
)
@click.option("--seats", type=click.IntRange(1, 10_000_000), default=500, show_default=True, help="How many there are.")
@click.option(
    "--events",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Over how many events buyers and seats are spread evenly.",
)
@click.option("--url", help="A running service, such as http://127.0.0.1:3000, instead of one of the rush's own.")
@click.option(
    "--connections", type=click.IntRange(1, 1_000), default=64, show_default=True, help="To the service, at once."
)
@click.option(
    "--wait",
    "patience_s",
    type=click.FloatRange(1.0, 3_600.0),
    default=60.0,
    show_default=True,
    help="How many seconds the service may be away before the rush gives up.",
)
@click.option("--admin-email", help="With --url: an administrator, who creates the event.")
@click.option(
    "--admin-password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The administrator's password.",
)
def command(
    buyers: int,
    seats: int,
    events: int,
    url: str | None,
    connections: int,
    patience_s: float,
    admin_email: str | None,
    admin_password_file: Path | None,
) -> None:
    """Sell an event that thousands fight over, and prove what became of it.

    All buyers book at once over HTTP, every job is followed to its answer, and in the end the answers are
    held against the promises: nothing oversold, no seat withheld, one answer per job, first come first
    served. Without --url the rush starts a service of its own in a temporary folder.

    With --url the event needs an administrator: --admin-email, or the service's own environment
    (DATABASE_URL and JWT_SECRET, or AURORA_DATA_DIR), where buyers are also made in bulk and the rows audited.

    Exits 0 when every promise was kept, 1 when one was broken, 2 when the rush could not begin.
    """
    if events > min(buyers, seats):
        raise click.BadParameter(f"{events} events need at least as many buyers and seats.", param_hint="--events")
    admin = _admin(admin_email, admin_password_file)
    if admin is not None and url is None:
        raise click.UsageError("--admin-email belongs to --url; a service of the rush's own needs none.")
    if url is not None and not re.fullmatch(r"https?://[^/\s?#]+(/[^\s?#]*)?", url):
        raise click.BadParameter(f"{url!r} is no URL such as http://127.0.0.1:3000.", param_hint="--url")
    screen = Screen(Console(highlight=False))
    try:
        with _terminable(), _service(url, screen) as (address, settings, own):
            plan = Plan(
                url=address,
                buyers=buyers,
                seats=seats,
                events=events,
                connections=connections,
                patience_s=patience_s,
                admin=admin,
                trusted=own is not None,
            )
            verdict = asyncio.run(Rush(plan, settings, screen).run())
            if own is not None and not verdict.kept:
                own.keep()
                screen.say(f"Data and log of the service are kept in {own.folder}")
    except RushError as error:
        raise SettingError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(_INTERRUPTED)
    sys.exit(0 if verdict.kept else _BROKEN)


@contextmanager
def _service(url: str | None, screen: Screen) -> Iterator[tuple[str, Settings, OwnService | None]]:
    """Give the service's URL and the settings that may lead to its stores; start one if there is none."""
    if url is not None:
        yield url, Settings.from_env(), None
        return
    screen.say("Starting a service in a temporary folder, with a PostgreSQL and a Redis of its own.")
    with OwnService.running() as own:
        yield own.url, Settings.from_env(own.environment(os.environ)), own
        screen.say("Stopping the service.")


@contextmanager
def _terminable() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C, so that nothing is left running."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _admin(email: str | None, password_file: Path | None) -> tuple[str, str] | None:
    if (email is None) != (password_file is None):
        raise click.UsageError("--admin-email and --admin-password-file belong together.")
    if email is None or password_file is None:
        return None
    return email, password_file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
