"""Why a process has failed, in one line: it leaves its error in the run's folder, where the supervisor finds it."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

from stream_inspect.config.base import secrets_in
from stream_inspect.config.models import Config
from stream_inspect.errors import StreamInspectError
from stream_inspect.redact import redact

MAX_CHARS = 300
"""A longer text is cut off: it goes into events, and to every output."""


def leave_error(path: Path, error: Exception, config: Config) -> None:
    """Write the error as one line without the secrets of `config`. Never raises: the process is failing already."""
    text = str(error) if isinstance(error, StreamInspectError) else f"{type(error).__name__}: {error}"
    text = redact(" ".join(text.split()), [secret.get_secret_value() for _, secret in secrets_in(config)])
    with suppress(OSError):
        path.write_text(text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…")


def take_error(path: Path, exit_code: int) -> str:
    """What a process left at its end, which is removed; how it ended where it left nothing."""
    text = ""
    with suppress(OSError):
        text = path.read_text(errors="replace").strip()
        path.unlink()
    return text or exit_text(exit_code)


def exit_text(exit_code: int) -> str:
    """How a process ended: a signal by its name, or its exit status."""
    if exit_code >= 0:
        return f"exited with status {exit_code}"
    with suppress(ValueError):  # a real-time signal has no name
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"killed by signal {-exit_code}"
