"""Commands that work on the database and end."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from aurora_atlan.http.passwords import Passwords
from aurora_atlan.persistence.accounts import normalise_password
from harness.command_line import run_command
from harness.databases import Databases

PASSWORD = "correct horse battery staple"


def test_migrate_says_what_it_did(databases: Databases):
    with databases.empty() as url:
        first = run_command("migrate", environ={"DATABASE_URL": url})
        second = run_command("migrate", environ={"DATABASE_URL": url})

    assert first.returncode == 0
    assert first.stdout.startswith("Applied ")
    assert second.stdout == "The schema is up to date.\n"


def test_migrate_prefers_the_migrators_url(databases: Databases):
    with databases.empty() as url:
        environ = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "AURORA_MIGRATOR_DATABASE_URL": url}

        assert run_command("migrate", environ=environ).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [("migrate",), ("create-admin", "--email", "a@example.org", "--name", "A"), ("make-buyers", "--count", "1")],
)
def test_a_database_that_is_away_is_one_sentence_and_exit_code_1(arguments: tuple[str, ...], tmp_path: Path):
    if arguments[0] == "make-buyers":
        arguments = (*arguments, "--out", str(tmp_path / "buyers"))

    done = run_command(*arguments, environ={"DATABASE_URL": "postgresql://127.0.0.1:1/x", "JWT_SECRET": "s" * 32})

    assert done.returncode == 1
    assert done.stderr.startswith("error: PostgreSQL or Redis cannot be used: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "buyers").exists()


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_newline_at_the_end_of_a_password_file_is_no_part_of_the_password(
    ending: str, database_url: str, tmp_path: Path
):
    file = tmp_path / "password"
    file.write_bytes(f"{PASSWORD} {ending}".encode())

    done = run_command(
        *("create-admin", "--email", "a@example.org", "--name", "A", "--password-file", str(file)),
        environ={"DATABASE_URL": database_url},
    )

    assert done.returncode == 0, done.stderr
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT password_hash, role FROM users WHERE email = 'a@example.org'").fetchone()
    assert row is not None
    assert row[1] == "ADMIN"
    assert Passwords(waiting_max=1).verify(row[0], normalise_password(f"{PASSWORD} "))


def test_a_password_may_come_from_standard_input(database_url: str):
    done = run_command(
        *("create-admin", "--email", "a@example.org", "--name", "A", "--password-file", "-"),
        environ={"DATABASE_URL": database_url},
        given=f"{PASSWORD}\n",
    )

    assert (done.returncode, done.stdout) == (0, "Created the administrator a@example.org.\n")


def test_without_a_terminal_or_a_file_there_is_no_password(database_url: str):
    done = run_command(
        *("create-admin", "--email", "a@example.org", "--name", "A"), environ={"DATABASE_URL": database_url}
    )

    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_make_buyers_needs_the_secret_that_signs_their_tokens(database_url: str, tmp_path: Path):
    done = run_command(
        *("make-buyers", "--count", "1", "--out", str(tmp_path / "buyers")), environ={"DATABASE_URL": database_url}
    )

    assert done.returncode == 2
    assert "JWT_SECRET" in done.stderr


def test_make_buyers_replaces_a_file_that_others_could_read(database_url: str, tmp_path: Path):
    out = tmp_path / "buyers"
    out.write_text("old")
    out.chmod(0o644)

    done = run_command(
        *("make-buyers", "--count", "6000", "--out", str(out)),
        environ={"DATABASE_URL": database_url, "JWT_SECRET": "s" * 32},
    )

    assert done.returncode == 0, done.stderr
    assert oct(out.stat().st_mode & 0o777) == "0o600"
    ids = [int(line.split()[0]) for line in out.read_text().splitlines()]
    assert len(set(ids)) == 6000


def test_commands_start_embedded_servers_and_stop_them(data_dir: Path, tmp_path: Path):
    out = tmp_path / "buyers"

    done = run_command("make-buyers", "--count", "3", "--out", str(out), environ={"AURORA_DATA_DIR": str(data_dir)})

    assert done.returncode == 0, done.stderr
    assert len(out.read_text().splitlines()) == 3
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
    assert not (data_dir / "redis").exists()
