"""What a failing process leaves for the supervisor: one bounded line without secrets."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from stream_inspect.errors import StreamInspectError
from stream_inspect.service.last_error import MAX_CHARS, exit_text, leave_error, take_error
from tests.commands.replays import config

SECRET = "correct horse battery"
CONFIG = config(alerts=[{"kind": "mqtt", "host": "127.0.0.1", "username": "press", "password": SECRET}])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TypeError("Encoding objects of type numpy.bool is unsupported"), "TypeError: Encoding objects of type"),
        (StreamInspectError("cannot write /data: disk full; make room"), "cannot write /data: disk full; make room"),
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (KeyError("top"), "KeyError: 'top'"),
        (RuntimeError(f"login with {SECRET} failed"), "RuntimeError: login with *** failed"),
        (OSError("rtsp://user:pw@10.0.0.1/1 refused"), "OSError: rtsp://***@10.0.0.1/1 refused"),
    ],
)
def test_an_error_is_one_line_without_secrets_and_is_taken_once(tmp_path: Path, error: Exception, text: str):
    path = tmp_path / "capture.top.error"
    leave_error(path, error, CONFIG)
    taken = take_error(path, 1)
    assert taken.startswith(text)
    assert "\n" not in taken
    assert take_error(path, 1) == "exited with status 1"


def test_a_long_error_is_cut_off(tmp_path: Path):
    leave_error(tmp_path / "error", ValueError("x" * 10_000), CONFIG)
    taken = take_error(tmp_path / "error", 1)
    assert len(taken) == MAX_CHARS
    assert taken.endswith("…")


def test_a_full_disk_does_not_hide_the_error_that_ends_the_process(tmp_path: Path):
    leave_error(tmp_path / "absent" / "error", ValueError("x"), CONFIG)
    assert take_error(tmp_path / "absent" / "error", -signal.SIGKILL) == "killed by SIGKILL"


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "exited with status 0"), (-11, "killed by SIGSEGV"), (-40, "killed by signal 40")],
)
def test_an_end_without_an_error_is_named(code: int, text: str):
    assert exit_text(code) == text
