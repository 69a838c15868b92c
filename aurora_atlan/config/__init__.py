"""The settings of a service, and where they come from."""

from aurora_atlan.config.errors import ConfigurationError
from aurora_atlan.config.settings import ACCESS_TOKEN_LIFETIME_MAX_S, Settings

__all__ = ["ACCESS_TOKEN_LIFETIME_MAX_S", "ConfigurationError", "Settings"]
