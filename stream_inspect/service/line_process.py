"""A process that lives with the line: a systemd unit starts it, and it outlives the supervisor and every run.

The supervisor neither starts nor stops it, and the kernel does not kill it when the supervisor dies. The sockets of
every topic that it reads or writes lie in `line_dir(state_dir)`, where the processes of the next run find them again; a
socket file that a killed process has left there is replaced when its name is bound again. A lock next to them keeps a
second process of the row from starting, and shows the supervisor whether there is one.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import IO

from stream_inspect.config.models import Config
from stream_inspect.errors import StreamInspectError
from stream_inspect.service.build import BUILDERS, ProcessContext
from stream_inspect.service.heap import HeapTrimmer
from stream_inspect.service.plan import plan
from stream_inspect.service.process import StopSignal
from stream_inspect.service.run_dir import is_locked, lock_file
from stream_inspect.service.stage import run_stage
from stream_inspect.store.files import line_dir
from stream_inspect.transport.zmq import ZmqChannels

_LOCK_WITHIN_S = 0.5
"""A supervisor that looks for the process holds a shared lock for some microseconds, so one attempt is not enough."""


class LineProcessError(StreamInspectError):
    """The process runs already, or its folder cannot be used. The text says what to do."""


def run_line_process(config: Config, name: str) -> None:
    """Run this row until SIGTERM or SIGINT. Its unit restarts it after any error.

    Raises KeyError for an unknown row, `LineProcessError`, `ChannelError` for a `state_dir` that is too long for a
    socket's path, and what the stage raises.
    """
    the_plan = plan(config)
    row = the_plan.row(name)
    folder = make_line_dir(config.state_dir)
    with lock_line_process(config.state_dir, name):
        stop = StopSignal(signal.SIGTERM, signal.SIGINT)
        os.nice(row.nice)

        def ready() -> None:
            stop.stage_is_open = True

        run_stage(
            row.name,
            BUILDERS[row.stage](ProcessContext(config, None, (), run_dir=folder, owner=0), row),
            ZmqChannels(folder, row.name, the_plan.writers()),
            row.reads,
            ready=ready,
            beat=HeapTrimmer().beat,
            stopping=stop.is_set,
        )


def lock_line_process(state_dir: Path, name: str) -> IO[bytes]:
    """Lock this row until the returned file is closed. Raises `LineProcessError` if another process has locked it."""
    deadline_s = time.monotonic() + _LOCK_WITHIN_S
    while (lock := lock_file(_lock_path(state_dir, name))) is None:
        if time.monotonic() > deadline_s:
            raise LineProcessError(f"{name} is already running with state_dir {state_dir}: stop it first")
        time.sleep(0.01)
    return lock


def is_present(state_dir: Path, name: str) -> bool:
    """Whether the process of this row runs."""
    return is_locked(_lock_path(state_dir, name))


def make_line_dir(state_dir: Path) -> Path:
    """Create the folder for the sockets if it is missing, for this user alone. Raises `LineProcessError`."""
    folder = line_dir(state_dir)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise LineProcessError(f"cannot use state_dir {state_dir}: {error.strerror}") from error
    return folder


def _lock_path(state_dir: Path, name: str) -> Path:
    return line_dir(state_dir) / f"{name}.lock"
