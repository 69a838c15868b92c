"""Settings: what each variable accepts, and the one sentence when it does not."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from aurora_atlan.config import ConfigurationError, Settings
from aurora_atlan.config.option import option_of, variable_of

SECRET = "0123456789abcdef0123456789abcdef"


def test_an_empty_environment_gives_the_defaults():
    assert Settings.from_env({}) == Settings()


def test_every_default_is_accepted_when_written_out():
    for declared in fields(Settings):
        if option_of(declared).secret:
            continue
        text = option_of(declared).kind.text(declared.default)

        settings = Settings.from_env({variable_of(declared): text})

        assert getattr(settings, declared.name) == declared.default


@pytest.mark.parametrize(
    ("variable", "text", "name", "expected"),
    [
        ("HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("HOST", "::1", "host", "::1"),
        ("PORT", "0", "port", 0),
        ("PORT", "65535", "port", 65535),
        ("DATABASE_URL", "postgres://u:p@h/d", "database_url", "postgres://u:p@h/d"),
        ("DATABASE_URL", "postgresql://u@/d?host=/run/pg", "database_url", "postgresql://u@/d?host=/run/pg"),
        ("REDIS_URL", "rediss://h:6380/1", "redis_url", "rediss://h:6380/1"),
        ("REDIS_URL", "unix:///run/r.sock?db=2", "redis_url", "unix:///run/r.sock?db=2"),
        ("JWT_SECRET", SECRET, "jwt_secret", SECRET),
        ("AURORA_DATA_DIR", "/srv/aurora", "data_dir", Path("/srv/aurora")),
        ("AURORA_OPS_PORT", "off", "ops_port", None),
        ("AURORA_OPS_PORT", "9000", "ops_port", 9000),
        ("AURORA_CPU_AFFINITY", "off", "cpu_affinity", "off"),
        ("AURORA_CPU_AFFINITY", "2, 0,2", "cpu_affinity", (0, 2)),
        ("AURORA_LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("AURORA_LOG_FORMAT", "JSON", "log_format", "json"),
        ("AURORA_MIGRATE_ON_START", "off", "migrate_on_start", False),
        ("AURORA_MIGRATE_ON_START", "YES", "migrate_on_start", True),
        ("AURORA_DATABASE_ROLE", "aurora_app", "database_role", "aurora_app"),
        ("AURORA_JOB_MAX_AGE_S", "90", "job_max_age_s", 90.0),
        ("AURORA_JOB_MAX_AGE_S", "off", "job_max_age_s", None),
        ("AURORA_LEASE_S", "2.5", "lease_s", 2.5),
        ("AURORA_RATE_LIMITS", "off", "rate_limits", "off"),
        ("AURORA_RATE_LIMIT_READ_IP", "100 per 5 seconds", "rate_limit_read_ip", "100 per 5 seconds"),
        ("AURORA_RATE_LIMIT_BOOKING_IP", "off", "rate_limit_booking_ip", None),
        ("AURORA_TRUSTED_PROXY", "*", "trusted_proxy", "*"),
        ("AURORA_CORS_ORIGINS", "off", "cors_origins", ()),
        ("AURORA_CORS_ORIGINS", "https://a.example", "cors_origins", ("https://a.example",)),
        (
            "AURORA_CORS_ORIGINS",
            "https://b.example:8443, http://localhost:5173,http://127.0.0.1,https://b.example:8443",
            "cors_origins",
            ("https://b.example:8443", "http://localhost:5173", "http://127.0.0.1"),
        ),
    ],
)
def test_a_variable_sets_its_field(variable: str, text: str, name: str, expected: object):
    assert getattr(Settings.from_env({variable: text}), name) == expected


@pytest.mark.parametrize(
    ("variable", "text", "accepts"),
    [
        ("PORT", "http", "a whole number from 0 to 65535"),
        ("PORT", "65536", "a whole number from 0 to 65535"),
        ("PORT", "-1", "a whole number from 0 to 65535"),
        ("PORT", "1.0", "a whole number from 0 to 65535"),
        ("PORT", "3_000", "a whole number from 0 to 65535"),
        ("PORT", "\u0663", "a whole number from 0 to 65535"),
        ("PORT", "", "a whole number from 0 to 65535"),
        ("HOST", "not a host", "a host name or an IP address"),
        ("HOST", "http://h", "a host name or an IP address"),
        ("AURORA_OPS_PORT", "none", "a whole number from 0 to 65535, or off"),
        ("AURORA_THREADS", "0", "a whole number from 1 to 512"),
        ("AURORA_LEASE_S", "nan", "a number of seconds"),
        ("AURORA_LEASE_S", "inf", "a number of seconds"),
        ("AURORA_LEASE_S", "0", "a number of seconds"),
        ("AURORA_LEASE_S", "10s", "a number of seconds"),
        ("AURORA_CPU_AFFINITY", "all", "auto, off, or core numbers such as 0 or 0,2"),
        ("AURORA_CPU_AFFINITY", "0,,1", "auto, off, or core numbers such as 0 or 0,2"),
        ("AURORA_CPU_AFFINITY", "0-3", "auto, off, or core numbers such as 0 or 0,2"),
        ("AURORA_MIGRATE_ON_START", "maybe", "true or false"),
        ("AURORA_LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR or CRITICAL"),
        ("AURORA_LOG_FORMAT", "xml", "console or json"),
        ("AURORA_DATABASE_ROLE", "app; DROP", "the name of a PostgreSQL role"),
        ("AURORA_DATA_DIR", "", "a path"),
        ("AURORA_RATE_LIMITS", "10/minute", "on or off"),
        ("AURORA_RATE_LIMIT_READ_IP", "often", "a rate such as 10/minute"),
        ("AURORA_RATE_LIMIT_READ_IP", "10/minute; 100/hour", "a rate such as 10/minute"),
        ("AURORA_RATE_LIMIT_READ_IP", "", "a rate such as 10/minute"),
        ("AURORA_TRUSTED_PROXY", "proxy.example", "an IP address, or * for any"),
        ("AURORA_CORS_ORIGINS", "", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "*", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "null", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "https://*.example.com", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "http://shop.example.com", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "https://shop.example.com/", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "https://Shop.example.com", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "https://shop.example.com:443", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "https://shop.example.com:65536", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "https://u@shop.example.com", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "https://a.example,,https://b.example", "off, or origins such as"),
        ("AURORA_CORS_ORIGINS", "https://a.example https://b.example", "off, or origins such as"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "a URL such as postgresql://"),
        ("DATABASE_URL", "dbname=x", "a URL such as postgresql://"),
        ("DATABASE_URL", "postgresql://u:hunter2@[h/d", "a URL such as postgresql://"),
        ("REDIS_URL", "localhost:6379", "a URL such as redis://"),
        ("JWT_SECRET", "hunter2", "a secret of at least 32 bytes"),
        ("JWT_SECRET", "", "a secret of at least 32 bytes"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_variable_and_what_it_accepts(
    variable: str, text: str, accepts: str
):
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({variable: text})

    sentence = str(caught.value)
    assert variable in sentence
    assert accepts in sentence
    assert "\n" not in sentence
    assert "hunter2" not in sentence


def test_a_secret_of_few_characters_but_enough_bytes_is_accepted():
    assert Settings(jwt_secret="\u00e9" * 16).jwt_secret is not None


def test_a_long_wrong_value_is_cut_in_the_message():
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({"PORT": "9" * 5000})

    assert len(str(caught.value)) < 200


def test_values_given_in_python_are_checked_like_those_of_the_environment():
    with pytest.raises(ConfigurationError, match="AURORA_POOL_MAX accepts a whole number"):
        Settings(pool_max=1.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="PORT accepts"):
        Settings(port=True)
    with pytest.raises(ConfigurationError, match="JWT_SECRET accepts"):
        replace(Settings(), jwt_secret="short")


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"AURORA_POOL_MIN": "11"},
            "AURORA_POOL_MIN must be at most AURORA_POOL_MAX, which is 10, but it is 11",
        ),
        (
            {"AURORA_LOCK_TIMEOUT_S": "4"},
            "AURORA_LOCK_TIMEOUT_S must be less than AURORA_STATEMENT_TIMEOUT_S, which is 4, but it is 4",
        ),
        (
            {"AURORA_STATEMENT_TIMEOUT_S": "9"},
            "AURORA_STATEMENT_TIMEOUT_S must be less than AURORA_IDLE_TRANSACTION_TIMEOUT_S, which is 8, but it is 9",
        ),
        (
            {"AURORA_BACKOFF_MIN_S": "6"},
            "AURORA_BACKOFF_MIN_S must be at most AURORA_BACKOFF_MAX_S, which is 5, but it is 6",
        ),
        ({"PORT": "3001"}, "AURORA_OPS_PORT must differ from PORT, which is 3001, or be off"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(environ: dict[str, str], sentence: str):
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(environ)

    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("AURORA_POOL_MXA", "AURORA_POOL_MAX"),
        ("AURORA_PORT", "PORT"),
        ("AURORA_DATABASE_URL", "DATABASE_URL"),
        ("AURORA_JWT_SECRET_FILE", "JWT_SECRET_FILE"),
        ("AURORA_LEASE", "AURORA_LEASE_S"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(name: str, nearest: str):
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({name: "1"})

    assert str(caught.value) == f"{name} is not a setting; the nearest is {nearest}"


def test_other_peoples_variables_are_not_ours_to_judge():
    assert Settings.from_env({"PATH": "/bin", "PORTAL": "x", "aurora_port": "x"}) == Settings()


def test_a_secret_may_come_from_a_file_whose_last_newline_is_no_part_of_it(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")

    assert Settings.from_env({"JWT_SECRET_FILE": str(file)}).jwt_secret == SECRET


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL", "JWT_SECRET", "AURORA_MIGRATOR_DATABASE_URL"])
def test_every_secret_may_come_from_a_file_that_must_be_readable(variable: str, tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({f"{variable}_FILE": str(tmp_path / "missing")})

    assert str(caught.value).startswith(f"{variable}_FILE must name a readable file")


def test_what_is_no_secret_has_no_file(tmp_path: Path):
    file = tmp_path / "threads"
    file.write_text("4")

    with pytest.raises(ConfigurationError, match="AURORA_THREADS_FILE is not a setting"):
        Settings.from_env({"AURORA_THREADS_FILE": str(file)})


@pytest.mark.parametrize("content", [b"", b"\n", b"hunter2", b"\xff" * 40, b"x" * 100_000])
def test_a_file_with_a_wrong_secret_is_refused_without_telling_it(content: bytes, tmp_path: Path):
    file = tmp_path / "secret"
    file.write_bytes(content)

    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({"JWT_SECRET_FILE": str(file)})

    assert "JWT_SECRET_FILE" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_folder_is_no_secret_file(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="must name a readable file"):
        Settings.from_env({"JWT_SECRET_FILE": str(tmp_path)})


def test_a_secret_given_twice_is_refused(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text(SECRET)

    with pytest.raises(ConfigurationError, match="JWT_SECRET and JWT_SECRET_FILE are both set"):
        Settings.from_env({"JWT_SECRET": SECRET, "JWT_SECRET_FILE": str(file)})


def test_no_secret_is_in_the_representation():
    settings = Settings(database_url="postgresql://u:hunter2@h/d", redis_url="redis://:hunter2@h", jwt_secret=SECRET)

    assert "hunter2" not in repr(settings)
    assert SECRET not in repr(settings)


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]
