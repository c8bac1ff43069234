"""How a line of the log looks. It is always one line: a traceback is a field of it, and so is whatever a library says.

systemd's journal takes the level of a line from a prefix `<N>` (sd-daemon(3)) and removes that, so that
`journalctl -p warning` shows warnings and errors alone. It has its own time of each line, and splits at newlines.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import Literal, TextIO

import structlog

TRACEBACK_CHARACTERS = 12_000
"""Of a longer one the middle is left out: Docker splits a line of more than 16 kB, journald one of more than 48 kB."""

_JOURNAL_PREFIX = {"critical": "<2>", "error": "<3>", "warning": "<4>", "info": "<6>", "debug": "<7>"}
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F)} | {0x09: " ", 0x0A: "\\n", 0x0D: "\\r"}
_CONTROL_BUT_COLORS = {code: text for code, text in _CONTROL.items() if code != 0x1B}


def is_journal(stream: TextIO) -> bool:
    """Whether what is written to this stream goes to systemd's journal."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def fold_exception(_logger: object, _method: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Make fields of an exception: `error`, unless that is given, and `traceback`."""
    found = fields.pop("exc_info", None)
    if not found:
        return fields
    if isinstance(found, BaseException):
        error: BaseException | None = found
    else:
        error = (found if isinstance(found, tuple) else sys.exc_info())[1]
    if error is not None:
        fields.setdefault("error", "".join(traceback.format_exception_only(error)).strip())
        text = "".join(traceback.format_exception(error)).strip()
        if len(text) > TRACEBACK_CHARACTERS:
            half = TRACEBACK_CHARACTERS // 2
            text = f"{text[:half]}\n  ...\n{text[-half:]}"
        fields["traceback"] = text
    return fields


class Renderer:
    """The last processor of a line: its text."""

    def __init__(self, style: Literal["text", "json"], *, colors: bool, in_journal: bool) -> None:
        self._in_journal = in_journal
        self._control = _CONTROL_BUT_COLORS if colors else _CONTROL
        self._render: structlog.typing.Processor = (
            structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=36)
            if style == "text"
            else structlog.processors.JSONRenderer()
        )

    def __call__(self, logger: object, method: str, fields: structlog.typing.EventDict) -> str:
        prefix = _JOURNAL_PREFIX.get(fields.get("level", method), "") if self._in_journal else ""
        return prefix + str(self._render(logger, method, fields)).translate(self._control)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines; a call that cannot be formatted is a line as well, where logging would print a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """Log the error of a library's call with wrong arguments. One of the stream itself has nowhere to go."""
        error = sys.exc_info()[1]
        if error is None or isinstance(error, OSError) or getattr(record, "is_wrong_call", False):
            return
        fields = {"is_wrong_call": True, "template": str(record.msg), "where": f"{record.pathname}:{record.lineno}"}
        wrong = {
            "name": record.name,
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "log call with wrong arguments",
            "exc_info": (type(error), error, error.__traceback__),
        }
        self.handle(logging.makeLogRecord({**fields, **wrong}))
