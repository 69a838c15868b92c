"""The one error of configuration."""

from __future__ import annotations


class ConfigurationError(Exception):
    """A setting is wrong or missing.

    The message is one sentence for the person who set it: the variable's name, and what it accepts. It
    never holds a secret's value.
    """
