"""``aurora-atlan create-admin``: the first administrator, and any further one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from aurora_atlan.commands.stores import migrated_database
from aurora_atlan.persistence.accounts import canonical_email, normalise_name, normalise_password
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.password_hashes import hash_password
from aurora_atlan.persistence.users import NewUser, User, UserStore

_ROLE = "ADMIN"
_PASSWORD_FILE_BYTES_MAX = 4_096


@click.command("create-admin")
@click.option("--email", required=True, help="The address to log in with.")
@click.option("--name", required=True, help="The name of a new account.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Read the password of a new account from this file (- for standard input) instead of asking for it.",
)
def command(email: str, name: str, password_file: Path | None) -> None:
    """Create an administrator, or make an existing account one.

    An existing account keeps its name and password; within two seconds its tokens are void, and the next ones have
    the new rights. May run while the service does, with the same environment.
    """
    address = _accepted("--email", canonical_email, email)
    full_name = _accepted("--name", normalise_name, name)
    given = None if password_file is None else _password("--password-file", _read(password_file))
    with migrated_database("create-admin") as (_, database):
        users = UserStore(database)
        promoted = _promoted(users, address)
        if not promoted:
            password = given or _password("the password", _ask())
            new = NewUser(full_name, address, hash_password(password), _ROLE)
            # None: registered while we asked.
            if users.create(new, deed=_creation) is None:
                promoted = _promoted(users, address)
    if promoted:
        click.echo(f"Made {address} an administrator; the password stays as it is.")
    else:
        click.echo(f"Created the administrator {address}.")


def _promoted(users: UserStore, address: str) -> bool:
    user = users.by_email(address)
    return user is not None and isinstance(users.change_role(user.id, _ROLE, _promotion), User)


def _creation(user: User) -> Deed:
    return Deed(actor_id=None, action="user.create", subject=f"user {user.id}", after={"role": user.role})


def _promotion(before: User, after: User) -> Deed:
    return Deed(
        actor_id=None,
        action="user.role",
        subject=f"user {after.id}",
        before={"role": before.role},
        after={"role": after.role},
    )


def _accepted(option: str, normalise: Callable[[str], str], text: str) -> str:
    try:
        return normalise(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def _password(source: str, text: str) -> str:
    return _accepted(source, normalise_password, text)


def _read(file: Path) -> str:
    # Editors and echo end a file with a newline, which is no part of the password.
    with click.open_file(str(file), "rb") as opened:
        content: bytes = opened.read(_PASSWORD_FILE_BYTES_MAX)
    try:
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise click.BadParameter("The file is not UTF-8 text.", param_hint="--password-file") from error


def _ask() -> str:
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password
