"""The command line's surface: help, and errors as one sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from aurora_atlan import __version__
from aurora_atlan.commands.cli import LazyGroup, Listed, cli
from aurora_atlan.persistence.embedded import EmbeddedServerError
from aurora_atlan.persistence.errors import SchemaError, StoreUnavailableError

CLEAN = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "JWT_SECRET", "HOST", "PORT"))


def run(*arguments: str, environ: Mapping[str, str] | None = None) -> Result:
    return CliRunner(env=CLEAN).invoke(cli, arguments, env=environ, prog_name="aurora-atlan")


def test_version():
    assert run("--version").output == f"aurora-atlan {__version__}\n"


def test_help_lists_every_command():
    output = run("--help").output

    for name in ("serve", "rush", "audit", "verify-receipt", "create-admin", "make-buyers", "migrate", "check-config"):
        assert name in output


@pytest.mark.parametrize(
    "name", ["serve", "rush", "audit", "verify-receipt", "create-admin", "make-buyers", "migrate", "check-config"]
)
def test_every_command_has_help(name: str):
    result = run(name, "--help")

    assert result.exit_code == 0
    assert f"Usage: aurora-atlan {name}" in result.output


def test_the_help_imports_neither_the_web_server_nor_the_actors():
    program = (
        "import sys; from aurora_atlan.commands.cli import cli; cli(['--help'], standalone_mode=False);"
        "sys.exit(any(name in sys.modules for name in ('falcon', 'waitress', 'pykka', 'yoyo', 'aiohttp')))"
    )

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_an_unknown_command_exits_2():
    result = run("sell")

    assert result.exit_code == 2
    assert "No such command 'sell'" in result.output


@pytest.mark.parametrize("name", ["serve", "migrate", "check-config"])
def test_a_wrong_setting_is_one_line_and_exit_code_2(name: str):
    result = run(name, environ={"PORT": "http"})

    assert result.exit_code == 2
    assert result.stderr == "error: PORT accepts a whole number from 0 to 65535, not 'http'\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--port", "70000"), "error: PORT accepts a whole number from 0 to 65535\n"),
        (("--threads", "0"), "error: AURORA_THREADS accepts a whole number from 1 to 512\n"),
        (("--host", "a b"), "error: HOST accepts a host name or an IP address\n"),
    ],
)
def test_a_wrong_option_of_serve_is_told_as_its_setting(arguments: tuple[str, ...], sentence: str):
    result = run("serve", *arguments)

    assert (result.exit_code, result.stderr) == (2, sentence)


def test_check_config_shows_settings_and_origins_and_no_secret(tmp_path: Path):
    file = tmp_path / "url"
    file.write_text("postgresql://ada:hunter2@host/db\n")
    secret = "s" * 40

    result = run("check-config", environ={"DATABASE_URL_FILE": str(file), "JWT_SECRET": secret, "PORT": "8080"})

    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert result.exit_code == 0
    assert rows["DATABASE_URL"] == ["postgresql://ada:***@host/db", "file"]
    assert rows["JWT_SECRET"] == ["***", "environment"]
    assert rows["PORT"] == ["8080", "environment"]
    assert rows["AURORA_OPS_PORT"] == ["3001", "default"]
    assert "hunter2" not in result.stdout
    assert secret not in result.stdout


def _raises(error: Exception) -> click.Command:
    def callback() -> None:
        raise error

    return click.Command("raises", callback=callback)


@pytest.mark.parametrize(
    ("error", "exit_code", "sentence"),
    [
        (EmbeddedServerError("Redis did not start"), 1, "error: Redis did not start\n"),
        (StoreUnavailableError("refused\nat 1.2.3.4"), 1, "error: PostgreSQL or Redis cannot be used: refused\n"),
        (
            SchemaError("no table"),
            1,
            "error: the database's schema is not this version's; run aurora-atlan migrate (no table)\n",
        ),
    ],
)
def test_what_a_person_can_mend_is_one_sentence(error: Exception, exit_code: int, sentence: str):
    group = LazyGroup(listed={})
    group.get_command = lambda ctx, cmd_name: _raises(error)  # type: ignore[method-assign]

    result = CliRunner().invoke(group, ["raises"])

    assert (result.exit_code, result.stderr) == (exit_code, sentence)


def test_a_missing_optional_dependency_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "needs_aiohttp.py").write_text("import aiohttp")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    group = LazyGroup(listed={"rush": Listed("needs_aiohttp", "")})

    result = CliRunner().invoke(group, ["rush"])

    assert result.exit_code == 2
    assert result.stderr == (
        "error: rush needs aiohttp, which is not installed: pip install 'aurora-atlan[embedded]'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("create-admin", "--email", "nobody", "--name", "N"), "--email"),
        (("create-admin", "--email", "a@example.org", "--name", " "), "--name"),
        (("create-admin", "--email", "a@example.org"), "--name"),
        (("make-buyers", "--count", "0", "--out", "x"), "--count"),
        (("make-buyers", "--count", "1"), "--out"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_started(arguments: tuple[str, ...], hint: str):
    result = run(*arguments, environ={"DATABASE_URL": "postgresql://127.0.0.1:1/never"})

    assert result.exit_code == 2
    assert hint in result.stderr


@pytest.mark.parametrize("content", [b"short\n", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7", b""])
def test_a_password_file_with_a_wrong_password_is_refused(content: bytes, tmp_path: Path):
    file = tmp_path / "password"
    file.write_bytes(content)

    result = run(
        "create-admin",
        "--email",
        "a@example.org",
        "--name",
        "A",
        "--password-file",
        str(file),
        environ={"DATABASE_URL": "postgresql://127.0.0.1:1/never"},
    )

    assert result.exit_code == 2
    assert "--password-file" in result.stderr
