"""What check-config shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from aurora_atlan.config import ConfigurationError
from aurora_atlan.config.describe import describe, masked_url

SECRET = "0123456789abcdef0123456789abcdef"


def test_every_setting_is_shown_with_where_it_comes_from(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text(SECRET)

    rows = {row.variable: row for row in describe({"PORT": "8080", "JWT_SECRET_FILE": str(file)})}

    assert (rows["PORT"].value, rows["PORT"].origin) == ("8080", "environment")
    assert (rows["JWT_SECRET"].value, rows["JWT_SECRET"].origin) == ("***", "file")
    assert (rows["AURORA_THREADS"].value, rows["AURORA_THREADS"].origin) == ("16", "default")
    assert (rows["REDIS_URL"].value, rows["REDIS_URL"].origin) == (None, "default")
    assert (rows["AURORA_JOB_MAX_AGE_S"].value, rows["AURORA_OPS_PORT"].value) == ("off", "3001")


def test_it_refuses_what_the_service_would_refuse():
    with pytest.raises(ConfigurationError):
        describe({"PORT": "x"})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:hunter2@host:5432/db", "postgresql://user:***@host:5432/db"),
        ("postgresql://user:hunt@er2@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user@/db?host=/run/pg", "postgresql://user@/db?host=/run/pg"),
        ("postgresql://h/db?password=hunter2&sslmode=require", "postgresql://h/db?password=***&sslmode=require"),
        ("postgresql://h/db?sslpassword=hunter2", "postgresql://h/db?sslpassword=***"),
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("unix:///run/redis.sock?db=1&password=hunter2", "unix:///run/redis.sock?db=1&password=***"),
        ("redis://host#hunter2", "redis://host#***"),
    ],
)
def test_passwords_in_urls_are_masked(url: str, shown: str):
    assert masked_url(url) == shown
