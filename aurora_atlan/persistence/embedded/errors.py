"""What goes wrong with embedded servers."""

from __future__ import annotations

from pathlib import Path

_LOG_LINES = 5
_LOG_BYTES = 4_096


class EmbeddedServerError(Exception):
    """An embedded server did not start or did not stop; the message is for a person."""


def with_end_of_log(sentence: str, log_file: Path) -> EmbeddedServerError:
    """Return an error that ends with the last lines of the server's log."""
    try:
        with log_file.open("rb") as opened:
            opened.seek(max(0, log_file.stat().st_size - _LOG_BYTES))
            lines = opened.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:]
    except OSError:
        lines = []
    return EmbeddedServerError("\n  ".join([f"{sentence}; its log is {log_file}", *lines]))
