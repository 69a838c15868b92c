"""Aurora-Atlan: an event booking service that never oversells."""

from aurora_atlan._version import __version__

__all__ = ["__version__"]
