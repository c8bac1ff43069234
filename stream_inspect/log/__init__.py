"""Structured logs on stderr: one line for each transition, with bound fields. Rates and drops are metrics."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog

from stream_inspect.log import rendering

Logger = structlog.stdlib.BoundLogger


def configure(
    level: str = "info", style: Literal["text", "json"] = "text", stream: TextIO | None = None, **bound: str
) -> None:
    """Set up the logging of this process; logs of libraries (uvicorn, paho, transformers) take the same format.

    The `bound` fields are added to each line, of every thread and library, that does not have them. `stream` is stderr
    unless given.
    """
    stream = stream or sys.stderr

    def add_bound(_logger: object, _method: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
        for name, value in bound.items():
            fields.setdefault(name, value)
        return fields

    in_journal = rendering.is_journal(stream)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_bound,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        rendering.fold_exception,
    ]
    if style == "json" or not in_journal:  # the journal has its own time of each line
        shared.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = rendering.LineHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                rendering.Renderer(style, colors=stream.isatty(), in_journal=in_journal),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "urllib3", "PIL", "transformers", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def get_logger(name: str, **bound: object) -> Logger:
    """A logger with these fields bound to every line."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger.bind(**bound)
