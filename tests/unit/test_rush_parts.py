"""Small parts of the rush."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from aurora_atlan.commands.rush import command
from aurora_atlan.commands.rush.own_service import OwnService
from aurora_atlan.commands.rush.preparation import in_equal_parts
from aurora_atlan.commands.rush.tally import latencies


def test_a_service_of_the_rush_s_own_never_sees_the_stores_of_the_environment(tmp_path: Path) -> None:
    inherited = {
        "DATABASE_URL": "postgresql://production/",
        "REDIS_URL_FILE": "/run/secrets/redis",
        "JWT_SECRET": "secret",
        "PORT": "80",
        "AURORA_DATA_DIR": "/srv/aurora",
        "AURORA_THREADS": "8",
        "PATH": "/bin",
    }

    environment = OwnService(tmp_path).environment(inherited)

    assert environment == {
        "AURORA_DATA_DIR": str(tmp_path / "var"),
        "AURORA_OPS_PORT": "off",
        "AURORA_RATE_LIMITS": "off",
        "AURORA_THREADS": "8",
        "PATH": "/bin",
        "PYTHONUNBUFFERED": "1",
    }


def test_a_service_that_does_not_start_is_told_with_its_own_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AURORA_THREADS", "0")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    result = CliRunner().invoke(command, ["--buyers", "5", "--seats", "2"])

    assert result.exit_code == 2
    assert "error: the service did not start:\nerror: AURORA_THREADS accepts" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("total", "parts", "expected"), [(10, 3, [4, 3, 3]), (6, 2, [3, 3]), (5, 5, [1, 1, 1, 1, 1]), (7, 1, [7])]
)
def test_a_whole_is_divided_into_parts_that_differ_by_one_at_most(total: int, parts: int, expected: list[int]) -> None:
    assert in_equal_parts(total, parts) == expected


def test_latencies_are_ranked() -> None:
    measured_s = [number / 1000 for number in range(100, 0, -1)]

    assert latencies(measured_s) == "p50 50 ms  p99 99 ms  max 100 ms"
    assert latencies(measured_s, with_max=False) == "p50 50 ms  p99 99 ms"
    assert latencies([1.5]) == "p50 1.50 s  p99 1.50 s  max 1.50 s"
    assert latencies([]) == "-"
