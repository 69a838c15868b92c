"""The stores for a command that may run beside the service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from aurora_atlan.config import ConfigurationError, Settings
from aurora_atlan.persistence.embedded.data_dir import DataDirectory, DataDirectoryInUseError
from aurora_atlan.persistence.embedded.servers import EmbeddedServers

_SERVICE = "serve"
_WAIT_MAX_S = 60.0
_POLL_S = 0.1


@contextmanager
def connect_or_start(settings: Settings, *, purpose: str, redis: bool = False) -> Iterator[Settings]:
    """Give the settings that lead to PostgreSQL, and to Redis if asked for.

    What the settings do not name is found in the data directory: where the service runs it, the block
    connects to that; else it is started for the duration of the block. Another command's servers are
    waited for, up to a minute, since they end with it. Raises :class:`ConfigurationError`, and
    :class:`EmbeddedServerError` when a server does not start.
    """
    with EmbeddedServers(settings, purpose=purpose, redis=redis) as servers:
        deadline = time.monotonic() + _WAIT_MAX_S
        while True:
            try:
                effective = servers.start()
            except DataDirectoryInUseError:
                found = _service(settings, redis)
                if found is None and time.monotonic() > deadline:
                    raise
            else:
                break
            if found is not None:
                effective = found
                break
            time.sleep(_POLL_S)
        yield effective


def _service(settings: Settings, redis: bool) -> Settings | None:
    directory = DataDirectory(settings.data_dir)
    running = directory.told()
    if running is None or not running.ready or running.purpose != _SERVICE:
        return None
    found = directory.settings(settings, running)
    missing = ["DATABASE_URL"] if found.database_url is None else []
    missing += ["REDIS_URL"] if redis and found.redis_url is None else []
    if missing:
        raise ConfigurationError(f"{missing[0]} must be set as it is for the service that uses {directory.path}")
    return found
