"""The embedded PostgreSQL and Redis: started, killed, found again, and gone when they should be."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from aurora_atlan.config import ConfigurationError, Settings
from aurora_atlan.persistence.embedded import (
    EmbeddedPostgres,
    EmbeddedRedis,
    EmbeddedServerError,
    EmbeddedServers,
    connect_or_start,
)
from harness.short_paths import short_folder


def servers_of(folder: Path) -> list[str]:
    """Name the server processes that work in a folder."""
    found = []
    for process in psutil.process_iter(["name", "status"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE or not process.info["name"].startswith(("postgres", "redis")):
            continue
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process.info["name"])
        except (psutil.Error, OSError):
            continue
    return found


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def value_of(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture(scope="module")
def shared_dir() -> Iterator[Path]:
    """A data directory that all tests here use in turn: initialising PostgreSQL takes longer than all else."""
    with short_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", folder / "postgres.log")
        server.start()
        server.stop()
        yield folder


@pytest.fixture
def used_dir(shared_dir: Path) -> Path:
    """A data directory that has been used before, as far as PostgreSQL is concerned."""
    for path in shared_dir.iterdir():
        if path.name == "redis":
            shutil.rmtree(path)
        elif path.name != "postgres":
            path.unlink()
    return shared_dir


@pytest.fixture
def postgres(used_dir: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(used_dir / "postgres", used_dir / "postgres.log")


@pytest.fixture
def redis_(data_dir: Path) -> EmbeddedRedis:
    return EmbeddedRedis(data_dir / "redis", data_dir / "redis.log")


class TestPostgres:
    def test_it_keeps_what_was_committed_over_a_stop_and_leaves_nothing_running(
        self, postgres: EmbeddedPostgres, used_dir: Path
    ):
        postgres.start()
        postgres.ensure_database("aurora")
        postgres.ensure_database("aurora")
        with psycopg.connect(postgres.url("aurora")) as connection:
            connection.execute("DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 42 AS answer")
        postgres.stop()
        assert (postgres.pid, servers_of(used_dir)) == (None, [])

        postgres.start()
        try:
            assert value_of(postgres.url("aurora"), "SELECT answer FROM kept") == 42
        finally:
            postgres.stop()

        assert servers_of(used_dir) == []

    def test_it_is_durable_and_closed_to_others(self, postgres: EmbeddedPostgres, used_dir: Path):
        postgres.start()
        try:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                assert value_of(postgres.url("postgres"), f"SHOW {name}") == "on"
            assert value_of(postgres.url("postgres"), "SHOW listen_addresses") == ""
            assert stat.S_IMODE((used_dir / "postgres").stat().st_mode) == 0o700
            assert stat.S_IMODE((used_dir / "postgres" / ".s.PGSQL.5432").stat().st_mode) == 0o700
            assert stat.S_IMODE((used_dir / "postgres.log").stat().st_mode) == 0o600
        finally:
            postgres.stop()

    def test_stopping_what_does_not_run_does_nothing(self, postgres: EmbeddedPostgres):
        postgres.stop()

    @pytest.mark.parametrize("also_postmaster", [False, True])
    def test_one_left_behind_by_a_killed_process_is_replaced(
        self, postgres: EmbeddedPostgres, used_dir: Path, also_postmaster: bool
    ):
        postgres.start()
        with psycopg.connect(postgres.url("postgres")) as connection:
            connection.execute("DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 42 AS answer")
        left_behind = postgres.pid
        assert left_behind is not None
        if also_postmaster:
            os.kill(left_behind, signal.SIGKILL)

        successor = EmbeddedPostgres(used_dir / "postgres", used_dir / "postgres.log")
        successor.start()
        try:
            assert value_of(successor.url("postgres"), "SELECT answer FROM kept") == 42
            assert postgres.pid is None
        finally:
            successor.stop()

        assert servers_of(used_dir) == []

    def test_a_recorded_process_id_that_is_another_programs_by_now_is_not_believed(
        self, postgres: EmbeddedPostgres, used_dir: Path
    ):
        postgres.start()
        assert postgres.pid is not None
        records = [used_dir / "postgres" / name for name in ("postmaster.pid", ".s.PGSQL.5432.lock")]
        texts = [record.read_text() for record in records]
        postgres.stop()
        for record, text in zip(records, texts, strict=True):
            record.write_text(text.replace(text.splitlines()[0], str(os.getpid()), 1))
            os.chown(record, (used_dir / "postgres").stat().st_uid, -1)

        postgres.start()
        try:
            assert value_of(postgres.url("postgres"), "SELECT 1") == 1
        finally:
            postgres.stop()

    def test_programs_that_cannot_be_run_are_one_sentence(
        self, postgres: EmbeddedPostgres, data_dir: Path, monkeypatch
    ):
        program = data_dir / "postgres"
        program.touch(mode=0o600)
        monkeypatch.setattr("aurora_atlan.persistence.embedded.postgres_programs.bundled", lambda *_: program)

        with pytest.raises(EmbeddedServerError, match="cannot be run: Permission denied"):
            postgres.start()

    def test_without_its_programs_one_sentence_says_what_to_install(self, postgres: EmbeddedPostgres, monkeypatch):
        monkeypatch.setattr("aurora_atlan.persistence.embedded.postgres_programs.bundled", lambda *_: None)

        with pytest.raises(ConfigurationError, match=r"pip install 'aurora-atlan\[embedded\]'"):
            postgres.start()

    def test_an_interrupted_initialisation_is_begun_again(self, data_dir: Path):
        postgres = EmbeddedPostgres(data_dir / "postgres", data_dir / "postgres.log")
        (data_dir / "postgres.new").mkdir()
        (data_dir / "postgres.new" / "PG_VERSION").write_text("18")

        postgres.start()
        postgres.stop()

        assert not (data_dir / "postgres.new").exists()

    def test_a_data_folder_that_is_none_is_one_sentence_with_the_end_of_the_log(
        self, postgres: EmbeddedPostgres, used_dir: Path
    ):
        postgres.start()
        postgres.stop()
        version = used_dir / "postgres" / "PG_VERSION"
        right = version.read_text()
        version.write_text("9\n")

        with pytest.raises(EmbeddedServerError, match=r"(?s)PostgreSQL did not start; its log is .*incompatible"):
            postgres.start()

        assert postgres.pid is None
        version.write_text(right)

    def test_a_path_too_long_for_a_socket_moves_only_the_socket(self, used_dir: Path, monkeypatch):
        with short_folder() as folder:
            deep = folder / ("d" * 60) / ("e" * 60)
            deep.mkdir(parents=True)
            monkeypatch.setattr("tempfile.gettempdir", lambda: str(folder))
            (used_dir / "postgres").rename(deep / "postgres")
            server = EmbeddedPostgres(deep / "postgres", deep / "postgres.log")
            try:
                server.start()
                assert str(deep) not in server.url("postgres")
                assert value_of(server.url("postgres"), "SHOW data_directory") == str(deep / "postgres")
                socket_folder = Path(server.url("postgres").partition("?host=")[2])
                assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
            finally:
                server.stop()
                (deep / "postgres").rename(used_dir / "postgres")

    @pytest.mark.parametrize("name", ["a b", "c,d", "e'f\"g", "100%", "h?i#j&k=l", "\u00e9"])
    def test_any_name_of_a_folder_works(self, name: str, used_dir: Path, monkeypatch: pytest.MonkeyPatch):
        with short_folder() as folder:
            monkeypatch.setattr("tempfile.gettempdir", lambda: str(folder))
            (folder / name).mkdir()
            data = folder / name / "postgres"
            (used_dir / "postgres").rename(data)
            server = EmbeddedPostgres(data, folder / name / "postgres.log")
            try:
                server.start()
                assert value_of(server.url("postgres"), "SHOW data_directory") == str(data)
            finally:
                server.stop()
                data.rename(used_dir / "postgres")

    def test_a_socket_folder_that_somebody_else_made_is_refused(self, data_dir: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("tempfile.gettempdir", lambda: str(data_dir))
        deep = data_dir / ("d" * 120)
        deep.mkdir()
        server = EmbeddedRedis(deep / "redis", deep / "redis.log")
        monkeypatch.setattr("os.geteuid", lambda: 4_000_000)

        with pytest.raises(ConfigurationError, match="belongs to somebody else"):
            server.start()

    @pytest.mark.skipif(os.geteuid() != 0, reason="concerns root alone")
    def test_root_may_not_keep_data_in_a_home_directory(self, data_dir: Path, monkeypatch: pytest.MonkeyPatch):
        home = data_dir / "home"
        home.mkdir(mode=0o700)
        import pwd  # noqa: PLC0415 - not everywhere

        entry = pwd.getpwuid(0)
        monkeypatch.setattr(pwd, "getpwall", lambda: [pwd.struct_passwd((*entry[:5], str(home), entry[6]))])
        settings = Settings(data_dir=home / "var")

        with pytest.raises(ConfigurationError, match=f"may not enter {home}"):
            EmbeddedServers(settings, purpose="serve").start()

        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert list(home.iterdir()) == []


class TestRedis:
    def test_it_keeps_what_was_acknowledged_over_a_kill(self, redis_: EmbeddedRedis, data_dir: Path):
        redis_.start()
        with redis.Redis.from_url(redis_.url()) as client:
            client.set("answer", "42")
        assert redis_.pid is not None
        os.kill(redis_.pid, signal.SIGKILL)
        wait_until(lambda: redis_.pid is None)

        redis_.start()
        try:
            with redis.Redis.from_url(redis_.url()) as client:
                assert client.get("answer") == b"42"
        finally:
            redis_.stop()

        assert servers_of(data_dir) == []

    def test_it_is_durable_evicts_nothing_and_is_closed_to_others(self, redis_: EmbeddedRedis, data_dir: Path):
        redis_.start()
        try:
            with redis.Redis.from_url(redis_.url(), decode_responses=True) as client:
                configuration = client.config_get("*")
            expected = {
                "port": "0",
                "appendonly": "yes",
                "appendfsync": "always",
                "maxmemory-policy": "noeviction",
                "save": "",
            }
            assert {name: configuration[name] for name in expected} == expected
            assert stat.S_IMODE((data_dir / "redis").stat().st_mode) == 0o700
            assert stat.S_IMODE(redis_.socket.stat().st_mode) == 0o700
        finally:
            redis_.stop()

    @pytest.mark.parametrize(("durability", "kept"), [("everysec", b"42"), ("none", None)])
    def test_other_durabilities_keep_as_much_as_they_say(self, durability: str, kept: bytes | None, data_dir: Path):
        server = EmbeddedRedis(data_dir / "redis", data_dir / "redis.log", durability=durability)  # type: ignore[arg-type]
        for _ in range(2):
            server.start()
            with redis.Redis.from_url(server.url()) as client:
                found = client.get("answer")
                client.set("answer", "42")
            server.stop()

        assert found == kept

    def test_one_left_behind_by_a_killed_process_is_replaced(self, redis_: EmbeddedRedis, data_dir: Path):
        redis_.start()
        with redis.Redis.from_url(redis_.url()) as client:
            client.set("answer", "42")

        successor = EmbeddedRedis(data_dir / "redis", data_dir / "redis.log")
        successor.start()
        try:
            assert redis_.pid is None
            with redis.Redis.from_url(successor.url()) as client:
                assert client.get("answer") == b"42"
        finally:
            successor.stop()

    def test_one_left_behind_that_hangs_is_replaced_too(self, redis_: EmbeddedRedis, data_dir: Path, monkeypatch):
        monkeypatch.setattr("aurora_atlan.persistence.embedded.redis._STOP_TIMEOUT_S", 0.2)
        redis_.start()
        assert redis_.pid is not None
        os.kill(redis_.pid, signal.SIGSTOP)

        successor = EmbeddedRedis(data_dir / "redis", data_dir / "redis.log")
        successor.start()
        successor.stop()

        assert redis_.pid is None

    def test_it_waits_while_the_data_is_loaded(self, redis_: EmbeddedRedis):
        redis_.start()
        with redis.Redis.from_url(redis_.url()) as client:
            client.execute_command("DEBUG", "POPULATE", "300000")
            client.execute_command("BGREWRITEAOF")
            wait_until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0, 30.0)
        redis_.stop()

        redis_.start()
        try:
            with redis.Redis.from_url(redis_.url()) as client:
                assert client.dbsize() == 300_000
        finally:
            redis_.stop()

    def test_paths_with_spaces_and_quotes_work(self, data_dir: Path):
        folder = data_dir / "a 'b' \"c\" %20"
        folder.mkdir()
        server = EmbeddedRedis(folder / "redis", folder / "redis.log")
        server.start()
        try:
            with redis.Redis.from_url(server.url()) as client:
                assert client.ping()
        finally:
            server.stop()

    def test_a_broken_log_of_commands_is_one_sentence(self, redis_: EmbeddedRedis, data_dir: Path):
        redis_.start()
        redis_.stop()
        (data_dir / "redis" / "appendonly.aof").write_bytes(b"*3\r\nthis is none\r\n")

        with pytest.raises(EmbeddedServerError, match="Redis did not start; its log is"):
            redis_.start()

    def test_a_program_that_cannot_be_run_is_one_sentence(self, redis_: EmbeddedRedis, data_dir: Path, monkeypatch):
        program = data_dir / "redis-server"
        program.touch(mode=0o600)
        monkeypatch.setattr("aurora_atlan.persistence.embedded.redis.bundled", lambda *_: program)

        with pytest.raises(EmbeddedServerError, match="cannot be run: Permission denied"):
            redis_.start()

    def test_without_any_redis_one_sentence_says_what_to_install(self, redis_: EmbeddedRedis, monkeypatch):
        monkeypatch.setattr("aurora_atlan.persistence.embedded.redis.bundled", lambda *_: None)
        monkeypatch.setenv("PATH", "/nowhere")

        with pytest.raises(ConfigurationError, match="install redis-server or valkey-server"):
            redis_.start()


class TestServers:
    def test_a_first_start_gives_the_settings_that_lead_to_both(self, data_dir: Path):
        with EmbeddedServers(Settings(data_dir=data_dir), purpose="serve") as servers:
            effective = servers.start()

            assert effective.database_url == effective.migrator_database_url
            assert effective.database_role == "aurora_app"
            assert effective.jwt_secret is not None
            assert len(effective.jwt_secret) >= 32
            assert value_of(effective.database_url or "", "SELECT current_database()") == "aurora"
            assert stat.S_IMODE((data_dir / "jwt-secret").stat().st_mode) == 0o600

        assert servers_of(data_dir) == []

    def test_the_secret_and_the_data_are_those_of_the_first_start(self, used_dir: Path):
        settings = Settings(data_dir=used_dir)
        secrets = []
        for _ in range(2):
            with EmbeddedServers(settings, purpose="serve") as servers:
                secrets.append(servers.start().jwt_secret)

        assert secrets[0] == secrets[1]

    def test_what_the_settings_name_is_left_alone(self, used_dir: Path):
        settings = Settings(
            data_dir=used_dir / "none", database_url="postgresql://h/d", redis_url="redis://h", jwt_secret="x" * 32
        )
        with EmbeddedServers(settings, purpose="serve") as servers:
            assert servers.start() == settings

        assert not (used_dir / "none").exists()

    def test_a_given_secret_is_kept(self, used_dir: Path):
        with EmbeddedServers(Settings(data_dir=used_dir, jwt_secret="x" * 32), purpose="serve") as servers:
            assert servers.start().jwt_secret == "x" * 32

        assert not (used_dir / "jwt-secret").exists()

    def test_only_one_service_may_use_a_data_directory(self, used_dir: Path):
        settings = Settings(data_dir=used_dir)
        with EmbeddedServers(settings, purpose="serve") as first:
            effective = first.start()

            with pytest.raises(ConfigurationError) as caught:
                EmbeddedServers(settings, purpose="serve").start()

            assert str(caught.value) == (
                "AURORA_DATA_DIR must be a folder that nobody else uses,"
                f" but aurora-atlan serve (process {os.getpid()}) uses {used_dir}"
            )
            assert value_of(effective.database_url or "", "SELECT 1") == 1

    def test_two_that_start_at_the_same_moment_do_not_both_succeed(self, used_dir: Path):
        settings = Settings(data_dir=used_dir)
        barrier = threading.Barrier(2)
        started: list[EmbeddedServers] = []
        refused: list[ConfigurationError] = []

        def start() -> None:
            servers = EmbeddedServers(settings, purpose="serve")
            barrier.wait()
            try:
                servers.start()
                started.append(servers)
            except ConfigurationError as error:
                refused.append(error)

        threads = [threading.Thread(target=start) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for servers in started:
            servers.stop()

        assert (len(started), len(refused)) == (1, 1)

    def test_a_second_start_works_after_the_first_process_was_killed(self, used_dir: Path):
        program = (
            "import os, sys, pathlib\n"
            "from aurora_atlan.config import Settings\n"
            "from aurora_atlan.persistence.embedded import EmbeddedServers\n"
            "EmbeddedServers(Settings(data_dir=pathlib.Path(sys.argv[1])), purpose='serve').start()\n"
            "os.kill(os.getpid(), 9)\n"
        )
        killed = subprocess.run([sys.executable, "-c", program, str(used_dir)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert len(servers_of(used_dir)) > 1

        with EmbeddedServers(Settings(data_dir=used_dir), purpose="serve") as servers:
            effective = servers.start()
            assert value_of(effective.database_url or "", "SELECT 1") == 1

        assert servers_of(used_dir) == []

    def test_what_was_killed_is_started_again(self, used_dir: Path):
        with EmbeddedServers(Settings(data_dir=used_dir), purpose="serve") as servers:
            effective = servers.start()
            # Not the session's own, which are children of this process too.
            for process in psutil.Process().children():
                if Path(process.cwd()).is_relative_to(used_dir):
                    process.kill()
                    process.wait()

            assert servers.ended
            servers.revive()
            assert not servers.ended

            assert value_of(effective.database_url or "", "SELECT 1") == 1
            with redis.Redis.from_url(effective.redis_url or "") as client:
                assert client.ping()

    def test_when_one_server_does_not_start_the_other_is_stopped(self, used_dir: Path, monkeypatch):
        def fail(_server: EmbeddedRedis) -> None:
            raise EmbeddedServerError("Redis did not start")

        monkeypatch.setattr(EmbeddedRedis, "start", fail)
        settings = Settings(data_dir=used_dir)

        with pytest.raises(EmbeddedServerError):
            EmbeddedServers(settings, purpose="serve").start()

        assert servers_of(used_dir) == []
        monkeypatch.undo()
        with EmbeddedServers(settings, purpose="serve") as servers:
            servers.start()

    def test_a_data_directory_that_cannot_be_made_is_one_sentence(self, used_dir: Path):
        (used_dir / "file").touch()

        with pytest.raises(ConfigurationError, match="AURORA_DATA_DIR must be a folder that can be written"):
            EmbeddedServers(Settings(data_dir=used_dir / "file" / "var"), purpose="serve").start()


class TestConnectOrStart:
    def test_beside_the_service_it_connects(self, used_dir: Path):
        settings = Settings(data_dir=used_dir)
        with EmbeddedServers(settings, purpose="serve") as servers:
            effective = servers.start()

            with connect_or_start(settings, purpose="audit", redis=True) as found:
                assert found == effective

            assert value_of(effective.database_url or "", "SELECT 1") == 1

    def test_alone_it_starts_only_what_is_needed_and_stops_it(self, used_dir: Path):
        with connect_or_start(Settings(data_dir=used_dir), purpose="audit") as found:
            assert value_of(found.database_url or "", "SELECT 1") == 1
            assert found.redis_url is None
            assert "redis-server" not in servers_of(used_dir)

        assert servers_of(used_dir) == []

    def test_two_commands_at_once_take_turns(self, used_dir: Path):
        settings = Settings(data_dir=used_dir)
        barrier = threading.Barrier(3)
        answers: list[object] = []

        def run() -> None:
            barrier.wait()
            with connect_or_start(settings, purpose="audit") as found:
                answers.append(value_of(found.database_url or "", "SELECT 1"))

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert answers == [1, 1, 1]

    def test_a_command_that_holds_on_too_long_is_named(self, used_dir: Path, monkeypatch):
        monkeypatch.setattr("aurora_atlan.persistence.embedded.connect._WAIT_MAX_S", 0.1)
        settings = Settings(data_dir=used_dir)

        with (
            connect_or_start(settings, purpose="audit"),
            pytest.raises(ConfigurationError, match=r"aurora-atlan audit \(process \d+\)"),
            connect_or_start(settings, purpose="migrate"),
        ):
            pass

    def test_a_database_that_the_service_was_given_must_be_given_here_too(self, used_dir: Path):
        with EmbeddedServers(Settings(data_dir=used_dir, database_url="postgresql://h/d"), purpose="serve") as servers:
            servers.start()

            with (
                pytest.raises(ConfigurationError, match="DATABASE_URL must be set as it is for the service"),
                connect_or_start(Settings(data_dir=used_dir), purpose="audit"),
            ):
                pass

    def test_what_the_settings_name_is_used(self, used_dir: Path):
        settings = Settings(data_dir=used_dir / "none", database_url="postgresql://h/d")

        with connect_or_start(settings, purpose="audit") as found:
            assert found == settings

        assert not (used_dir / "none").exists()
