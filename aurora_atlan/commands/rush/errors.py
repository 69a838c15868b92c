"""What ends a rush before its verdict."""

from __future__ import annotations


class RushError(Exception):
    """The rush cannot be prepared or finished; one sentence for the person who started it."""


class ServiceGoneError(RushError):
    """The service did not answer for as long as one was ready to wait."""
