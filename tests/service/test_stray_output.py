"""What a process prints to stderr past its log becomes one line of the log: a crash's last words above all."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from structlog.testing import capture_logs

from stream_inspect.service.process import LOG_FD
from stream_inspect.service.stray_output import StrayOutput


def run(program: str, stray: StrayOutput) -> None:
    """Run a program as the supervisor runs a process."""
    stderr = stray.pipe("capture.top")
    try:
        subprocess.run([sys.executable, "-c", program], stderr=stderr, env={**os.environ, LOG_FD: "1"}, timeout=60)
    finally:
        os.close(stderr)


CRASHES = {
    "a segmentation fault": (
        "import ctypes, faulthandler; faulthandler.enable(); ctypes.string_at(0)",
        ["Fatal Python error: Segmentation fault", "Current thread"],
    ),
    "a crash in a decoder whose output is taken": (
        """
import ctypes, faulthandler, os
from stream_inspect.capture.library_output import library_output
faulthandler.enable(os.dup(2))
with library_output():
    ctypes.string_at(0)
""",
        ["Fatal Python error: Segmentation fault", "Current thread"],
    ),
    "an abort in C": ("import os, faulthandler; faulthandler.enable(); os.abort()", ["Fatal Python error: Aborted"]),
    "an import that fails": ("import no_such_module", ["Traceback", "ModuleNotFoundError"]),
    "text of a C library": ("import os; os.write(2, b'[h264 @ 0x5]\\nerror while decoding MB 1 2')", ["[h264", "MB 1"]),
}


@pytest.mark.parametrize("kind", CRASHES)
def test_it_is_one_line_with_the_whole_text(kind: str) -> None:
    program, parts = CRASHES[kind]
    with capture_logs() as logs:
        stray = StrayOutput()
        run(program, stray)
        stray.close()
    (line,) = logs
    assert (line["event"], line["log_level"], line["process"]) == ("output of a library", "warning", "capture.top")
    assert all(part in line["text"] for part in parts), line["text"]


def test_what_is_printed_again_and_again_is_one_line_with_a_count() -> None:
    with capture_logs() as logs:
        stray = StrayOutput()
        stderr = stray.pipe("capture.top")
        for _ in range(4):
            os.write(stderr, b"[h264] non-existing PPS\n")
            time.sleep(0.5)
        assert len(logs) == 1
        os.write(stderr, b"its last words\n")
        os.close(stderr)
        stray.close()
    assert [(line["text"], line.get("left_out")) for line in logs] == [
        ("[h264] non-existing PPS", None),
        ("its last words", 3),
    ]


def test_a_library_that_never_pauses_is_logged_and_hides_no_crash() -> None:
    program = (
        "import os, time\n"
        "for _ in range(60): os.write(2, b'[swscaler] slow ' + b'.' * 400 + b'\\n'); time.sleep(0.04)\n"
        "os.write(2, b'x' * 20000 + b'\\nFatal Python error: none of it is lost')"
    )
    with capture_logs() as logs:
        stray = StrayOutput()
        run(program, stray)
        stray.close()
    assert logs[0]["text"].startswith("[swscaler] slow"), "after a second, though it never paused"
    assert logs[-1]["text"].endswith("Fatal Python error: none of it is lost")
    assert len(logs) == 2


def test_a_library_that_prints_more_than_is_read_does_not_wait() -> None:
    stray = StrayOutput()
    stderr = stray.pipe("capture.top")
    with capture_logs() as logs:
        printed = 0
        for _ in range(2000):
            try:
                printed += os.write(stderr, b"x" * 4096)
            except BlockingIOError:
                break
        os.close(stderr)
        stray.close()
    assert printed > 0
    assert sum(len(line["text"]) for line in logs) < 20_000
