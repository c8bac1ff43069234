"""What Python prints to stderr by itself goes into the log: uncaught exceptions of every kind, and warnings."""

from __future__ import annotations

import sys
import threading
import warnings
from types import TracebackType
from typing import TextIO

from stream_inspect.log import Logger, get_logger


def install() -> None:
    """From now on, in this process. Exceptions of asyncio's callbacks and tasks are logged by asyncio itself."""
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    warnings.showwarning = _warning


def _uncaught(kind: type[BaseException], error: BaseException, tb: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, tb)
    else:
        _log().error("uncaught exception", exc_info=error)


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        _log().error("uncaught exception in a thread", thread=args.thread and args.thread.name, exc_info=args.exc_value)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    """Of a callback from C, a destructor, a weak reference: nothing could catch it."""
    text = args.err_msg or "exception ignored in"
    _log().error("exception in a callback or destructor", where=f"{text} {args.object!r}", exc_info=args.exc_value)


def _warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _log().warning("warning of a library", text=str(message), category=category.__name__, where=f"{filename}:{lineno}")


def _log() -> Logger:
    """Made when it is needed: a logger that was made before logging is set up would not use it."""
    return get_logger("python")
