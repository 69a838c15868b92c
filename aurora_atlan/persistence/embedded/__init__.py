"""Real PostgreSQL and Redis servers as children of the command line: for development, demonstration and tests."""

from aurora_atlan.persistence.embedded.connect import connect_or_start
from aurora_atlan.persistence.embedded.errors import EmbeddedServerError
from aurora_atlan.persistence.embedded.postgres import EmbeddedPostgres
from aurora_atlan.persistence.embedded.redis import EmbeddedRedis
from aurora_atlan.persistence.embedded.servers import EmbeddedServers

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "EmbeddedServerError", "EmbeddedServers", "connect_or_start"]
