"""One JSON line per request and per turn of the server's life, on stderr. No prompt, no path, no header."""

import sys
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
