"""The main function of a process that lives with the run: `python -m stream_inspect.service.process`.

The supervisor starts it. Its arguments are the supervisor's pid and, for readers of `ps`, the row. Its launch spec is
one JSON document on stdin (the configuration holds secrets: they go into no file and no argument). SIGTERM stops it in
good order, SIGINT is left to the supervisor, and when the supervisor dies, the kernel kills it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from stream_inspect import log
from stream_inspect.config.load import dump, parse_dump
from stream_inspect.config.models import Config
from stream_inspect.errors import StreamInspectError
from stream_inspect.log import uncaught
from stream_inspect.service.build import BUILDERS, ProcessContext
from stream_inspect.service.heap import HeapTrimmer
from stream_inspect.service.heartbeats import HeartbeatTable, ProcessState
from stream_inspect.service.last_error import leave_error
from stream_inspect.service.plan import plan
from stream_inspect.service.run_dir import heartbeats_path, last_error_path
from stream_inspect.service.stage import run_stage
from stream_inspect.store.files import line_dir
from stream_inspect.transport.zmq import ZmqChannels


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What a process needs from the supervisor."""

    row: str
    owner: int
    failures_in_a_row: int
    run_dir: Path
    config: Config
    config_path: Path | None
    overrides: tuple[str, ...]

    def to_json(self) -> str:
        """The document for stdin. It holds secrets."""
        return json.dumps(
            {
                "row": self.row,
                "owner": self.owner,
                "failures_in_a_row": self.failures_in_a_row,
                "run_dir": str(self.run_dir),
                "config": dump(self.config),
                "config_path": str(self.config_path) if self.config_path else None,
                "overrides": self.overrides,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> LaunchSpec:
        document = json.loads(text)
        return cls(
            row=document["row"],
            owner=document["owner"],
            failures_in_a_row=document["failures_in_a_row"],
            run_dir=Path(document["run_dir"]),
            config=parse_dump(document["config"]),
            config_path=Path(document["config_path"]) if document["config_path"] else None,
            overrides=tuple(document["overrides"]),
        )


FAILURES_LOGGED = 3
"""Failures in a row that are logged, here and by the supervisor, which then says that it will not log more of them: a
process that cannot start would otherwise fill the log with one line."""

LOG_FD = "STREAM_INSPECT_LOG_FD"
"""The environment variable that names the descriptor of the log: stderr is read by the supervisor, as what libraries
print, and what Python prints when it crashes."""

_PR_SET_PDEATHSIG = 1


class StopSignal:
    """The signals that stop a process: in good order once its stage is open, and at once before that."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self.stage_is_open = False
        self._received = False  # no threading.Event: a second signal within its lock would wait there forever
        for number in numbers:
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self._received = True
        if not self.stage_is_open:
            os._exit(0)  # loading a model does not check a flag

    def is_set(self) -> bool:
        """Whether one of them has been received."""
        return self._received


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _read_launch_spec() -> LaunchSpec:
    """Read it from stdin, then close that: a program that a stage starts must not inherit a file that holds secrets."""
    spec = LaunchSpec.from_json(sys.stdin.read())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return spec


def main() -> int:
    """Run one row of the plan until SIGTERM."""
    _die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = StopSignal(signal.SIGTERM)
    spec = _read_launch_spec()

    faulthandler.enable(os.dup(sys.stderr.fileno()))  # of its own: stderr is taken while a picture is decoded
    log_stream = os.fdopen(int(os.environ[LOG_FD]), "w", buffering=1, errors="backslashreplace")
    log.configure(spec.config.log.level, spec.config.log.format, log_stream, process=spec.row)
    uncaught.install()
    _log = log.get_logger("process")
    the_plan = plan(spec.config)
    row = the_plan.row(spec.row)
    row_index = the_plan.rows.index(row)
    os.nice(row.nice)
    heartbeats = HeartbeatTable(heartbeats_path(spec.run_dir), len(the_plan.rows))
    context = ProcessContext(spec.config, spec.config_path, spec.overrides, spec.run_dir, spec.owner)
    line_sockets = dict.fromkeys(the_plan.line_topics(), line_dir(spec.config.state_dir))

    def ready() -> None:
        stop.stage_is_open = True
        heartbeats.set_vitals(row_index, stage)  # first: a process that runs has reported them
        heartbeats.set_state(row_index, ProcessState.RUNNING)

    trimmer = HeapTrimmer()

    def beat() -> None:
        heartbeats.beat(row_index)
        trimmer.beat()
        heartbeats.set_vitals(row_index, stage)
        if getattr(stage, "ended", False):
            heartbeats.set_state(row_index, ProcessState.ENDED)

    try:
        stage = BUILDERS[row.stage](context, row)
        run_stage(
            row.name,
            stage,
            ZmqChannels(spec.run_dir, row.name, the_plan.writers(), line_sockets),
            row.reads,
            ready=ready,
            beat=beat,
            stopping=stop.is_set,
        )
    except Exception as error:
        leave_error(last_error_path(spec.run_dir, spec.row), error, spec.config)
        if spec.failures_in_a_row < FAILURES_LOGGED:
            if isinstance(error, StreamInspectError):
                _log.error("stage failed", error=str(error))
            else:
                _log.exception("stage failed")
        return 1
    heartbeats.set_state(row_index, ProcessState.STOPPED)
    return 0


if __name__ == "__main__":
    # Interpreter shutdown would join library threads that may hang (a camera's read, torch's pools): everything that
    # matters was closed in `run_stage`.
    code = main()
    sys.stderr.flush()
    os._exit(code)
