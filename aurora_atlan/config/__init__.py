"""The settings of a service, and where they come from."""

from aurora_atlan.config.errors import ConfigurationError
from aurora_atlan.config.settings import Settings

__all__ = ["ConfigurationError", "Settings"]
