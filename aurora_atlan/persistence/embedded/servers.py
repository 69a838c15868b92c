"""Whatever stores the settings do not name, embedded."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from aurora_atlan.config import ConfigurationError, Settings
from aurora_atlan.persistence.embedded.data_dir import DataDirectory, Running
from aurora_atlan.persistence.embedded.errors import EmbeddedServerError
from aurora_atlan.persistence.embedded.postgres import EmbeddedPostgres
from aurora_atlan.persistence.embedded.postgres_programs import PostgresPrograms
from aurora_atlan.persistence.embedded.redis import EmbeddedRedis

_DATABASE = "aurora"
_REVIVE_AGAIN_AFTER_S = 5.0

log = logging.getLogger(__name__)


class EmbeddedServers:
    """PostgreSQL and Redis for the settings that name none, under ``settings.data_dir``.

    ``start`` and ``stop`` belong to one thread. Nothing is touched when both are named.
    """

    def __init__(self, settings: Settings, *, purpose: str, redis: bool = True) -> None:
        self._settings = settings
        self._purpose = purpose
        self._directory = DataDirectory(settings.data_dir)
        self._postgres: EmbeddedPostgres | None = None
        self._redis: EmbeddedRedis | None = None
        self._revive_from = 0.0
        if settings.database_url is None:
            self._postgres = EmbeddedPostgres(self._directory.postgres, self._directory.log_file("postgres"))
        if settings.redis_url is None and redis:
            self._redis = EmbeddedRedis(self._directory.redis, self._directory.log_file("redis"))

    @property
    def needed(self) -> bool:
        """Whether there is anything to embed."""
        return self._postgres is not None or self._redis is not None

    def start(self) -> Settings:
        """Start what is needed and return the settings that lead to it.

        Raises :class:`ConfigurationError` when another process holds the data directory, or something is
        not installed; :class:`EmbeddedServerError` when a server does not start. Nothing runs then.
        """
        if not self.needed:
            return self._settings
        if self._postgres is not None:
            PostgresPrograms.find().make_reachable(self._directory.path)
        self._directory.hold(self._purpose)
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop what was started, Redis first, and let go of the data directory."""
        try:
            if self._redis is not None:
                self._redis.stop()
        finally:
            try:
                if self._postgres is not None:
                    self._postgres.stop()
            finally:
                self._directory.release()

    @property
    def ended(self) -> bool:
        """Whether a server has ended by itself or was killed, and it is time to start it again."""
        return time.monotonic() >= self._revive_from and any(server.pid is None for _, server in self._servers)

    def revive(self) -> None:
        """Start again what has ended; what does not start is logged, and tried again after some seconds."""
        for name, server in self._servers:
            if server.pid is not None:
                continue
            log.error("the embedded %s has ended; starting it again", name)
            try:
                server.start()
            except (EmbeddedServerError, ConfigurationError) as error:
                log.error("the embedded %s did not start: %s", name, error)  # noqa: TRY400 - the sentence says it all
                self._revive_from = time.monotonic() + _REVIVE_AGAIN_AFTER_S

    @property
    def names(self) -> list[str]:
        """What is embedded."""
        return [name for name, _ in self._servers]

    @property
    def database_is_ours(self) -> bool:
        """Whether PostgreSQL is embedded."""
        return self._postgres is not None

    @property
    def _servers(self) -> list[tuple[str, EmbeddedPostgres | EmbeddedRedis]]:
        both = (("PostgreSQL", self._postgres), ("Redis", self._redis))
        return [(name, server) for name, server in both if server is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> Settings:
        running = Running(os.getpid(), self._purpose)
        if self._postgres is not None:
            self._postgres.start()
            self._postgres.ensure_database(_DATABASE)
            running = replace(running, database_url=self._postgres.url(_DATABASE))
        if self._redis is not None:
            self._redis.start()
            running = replace(running, redis_url=self._redis.url())
        running = replace(running, ready=True)
        self._directory.tell(running)
        return self._directory.settings(self._settings, running)
