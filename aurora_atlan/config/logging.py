"""Logging of the command line; an embedding program's logging is its own.

The package itself logs through the standard library's loggers, named after its modules.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from aurora_atlan.config.redaction import redacted

# waitress warns of its queue for nearly every request under load: tens of thousands of lines.
_SILENCED = ("waitress.queue",)
# Of these only trouble is worth a line.
_QUIET = ("yoyo", "yoyo.migrations", "asyncio", "pykka", "waitress")


def configure_logging(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Log to a stream (standard error by default), as JSON lines or for a console, redacted."""
    stream = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.StackInfoRenderer(),
    ]
    rendering: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log_format == "json":
        rendering += [_traceback_to_text, _redact, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]
    else:
        colors = stream.isatty()
        rendering += [_traceback_to_text, _redact, structlog.dev.ConsoleRenderer(colors=colors)]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=rendering, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


_traceback_to_text = structlog.processors.ExceptionRenderer()


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    safe: EventDict = redacted(event)
    return safe
