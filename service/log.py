"""One JSON line per request and per turn of the server's life, on stderr. No prompt, no path, no header."""

import sys
from pathlib import Path
from traceback import extract_tb
from typing import TextIO

import structlog
from structlog.typing import FilteringBoundLogger


def make_logger(stream: TextIO | None = None) -> FilteringBoundLogger:
    """A logger of its own: nothing global is configured."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream or sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        cache_logger_on_first_use=True,
    )
    return logger


def log_bug(log: FilteringBoundLogger, error: Exception, **fields: str) -> None:
    """An exception that nobody raises on purpose: its kind and where it happened, without any value."""
    frames = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)]
    log.error("exception", kind=type(error).__name__, frames=frames, **fields)
