"""A real PostgreSQL and a real Redis of the benchmark's own, configured as the product configures them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import psycopg
import redis

from aurora_atlan.persistence.embedded import EmbeddedPostgres, EmbeddedRedis


class Stores:
    """Both servers under one folder, running inside the ``with`` block. What they acknowledge is on disk."""

    def __init__(self, folder: Path) -> None:
        self.postgres = EmbeddedPostgres(folder / "postgres", folder / "postgres.log")
        self.redis = EmbeddedRedis(folder / "redis", folder / "redis.log", durability="always")

    def __enter__(self) -> Self:
        self.postgres.start()
        try:
            self.redis.start()
        except BaseException:
            self.postgres.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.redis.stop()
        finally:
            self.postgres.stop()

    def database(self, name: str) -> str:
        """Return the URL of a database, made if absent."""
        self.postgres.ensure_database(name)
        return self.postgres.url(name)

    def set_appendfsync(self, value: Literal["always", "everysec"]) -> None:
        """Set when Redis syncs its append-only file."""
        with redis.Redis(unix_socket_path=str(self.redis.socket)) as client:
            client.config_set("appendfsync", value)

    def versions(self) -> dict[str, str]:
        """Return the versions of both servers by their names."""
        with psycopg.connect(self.postgres.url("postgres")) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        with redis.Redis(unix_socket_path=str(self.redis.socket)) as client:
            known = client.info("server")
        assert row is not None
        assert isinstance(known, dict)
        return {"PostgreSQL": str(row[0]).partition(" ")[0], "Redis": str(known["redis_version"])}
