"""Every line of the log is one line that names its process, whoever wrote it: our code, a library, or Python itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SET_UP = """
import asyncio, gc, logging, sys, threading, time, warnings
from stream_inspect import log
from stream_inspect.log import uncaught
log.configure("info", STYLE, process="track")
uncaught.install()
"""


def stderr_of(program: str, style: str = "json") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"STYLE = {style!r}\n{SET_UP}\n{program}"], stderr=subprocess.PIPE, text=True
    )
    return done.stderr.splitlines()


def test_every_line_names_its_process_whichever_thread_or_library_wrote_it() -> None:
    lines = stderr_of("""
log.get_logger("stage", camera="top").info("ours")
thread = threading.Thread(target=log.get_logger("stage").info, args=("of a thread",))
thread.start()
thread.join()
logging.getLogger("paho").warning("of a library")
log.get_logger("supervisor").info("of another", process="web")
""")
    assert [(line["event"], line["process"]) for line in map(json.loads, lines)] == [
        ("ours", "track"),
        ("of a thread", "track"),
        ("of a library", "track"),
        ("of another", "web"),
    ]


STRAY = {
    "raised to the top": ("raise ValueError('boom')", "uncaught exception", "ValueError: boom"),
    "raised in a thread": (
        "threading.Thread(target=lambda: 1 / 0).start()",
        "uncaught exception in a thread",
        "ZeroDivisionError: division by zero",
    ),
    "raised in a destructor": (
        """
class Broken:
    def __del__(self):
        raise ValueError('boom')
broken = Broken()
del broken
""",
        "exception in a callback or destructor",
        "ValueError: boom",
    ),
    "raised in a callback of C": (
        """
import ctypes
ctypes.CFUNCTYPE(None)(lambda: 1 / 0)()
""",
        "exception in a callback or destructor",
        "ZeroDivisionError: division by zero",
    ),
    "raised in a callback of asyncio": (
        """
async def run():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)
asyncio.run(run())
""",
        "Exception in callback",
        "ZeroDivisionError: division by zero",
    ),
    "a task that nobody awaits": (
        """
async def fail():
    raise ValueError('boom')
async def run():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    del task
    gc.collect()
asyncio.run(run())
""",
        "Task exception was never retrieved",
        "ValueError: boom",
    ),
    "raised in a callback of paho": (
        """
import paho.mqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.enable_logger()
client.on_connect_fail = lambda *_: 1 / 0
client.connect_async("127.0.0.1", 1)
client.loop_start()
time.sleep(0.5)
""",
        "Caught exception in on_connect_fail",
        None,
    ),
    "logged with a traceback": (
        """
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("sqlalchemy.pool").exception("cannot\\nreset the connection")
""",
        "cannot",
        "ZeroDivisionError: division by zero",
    ),
    "logged with wrong arguments": (
        "logging.getLogger('uvicorn.error').error('%d requests', 'many')",
        "log call with wrong arguments",
        "TypeError: %d format: a real number is required, not str",
    ),
    "a warning": ("warnings.warn('old\\nmodel', FutureWarning)", "warning of a library", None),
}


@pytest.mark.parametrize("kind", STRAY)
def test_what_libraries_and_python_print_by_themselves_is_a_line_like_any_other(kind: str) -> None:
    program, event, error = STRAY[kind]
    line, *others = [json.loads(line) for line in stderr_of(program)]
    assert not others or "paho" in kind, "it logs, raises and connects again"
    assert line["event"].startswith(event)
    assert line["level"] == ("warning" if "warning" in kind or "wrong arguments" in kind else "error")
    assert line["process"] == "track"
    if error:
        assert line["error"] == error
        assert line["traceback"].startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize("kind", ["raised in a thread", "logged with a traceback", "a warning"])
def test_as_text_it_is_one_line_too(kind: str) -> None:
    program, event, error = STRAY[kind]
    (line,) = stderr_of(program, "text")
    assert event in line
    assert "process=track" in line
    assert error is None or error in line


def test_a_very_long_traceback_loses_its_middle() -> None:
    (line,) = stderr_of("""
def fail(n):
    if n:
        return (fail if n % 2 else again)(n - 1)
    raise ValueError('boom')
def again(n):
    return fail(n)
fail(300)
""")
    traceback = json.loads(line)["traceback"]
    assert len(traceback) < 12_100
    assert traceback.startswith("Traceback")
    assert traceback.endswith("ValueError: boom")


def test_text_is_the_format_unless_another_one_is_configured() -> None:
    """A person reads `docker logs` and a file; a collector is set up by someone who can set `log.format: json`."""
    from stream_inspect.config.models import LogConfig

    assert LogConfig().format == "text"


# --- systemd's journal ---


@pytest.fixture(scope="module")
def journal() -> Iterator[None]:
    """systemd-journald, started where it does not run."""
    daemon = Path("/lib/systemd/systemd-journald")
    if shutil.which("systemd-cat") is None or not daemon.exists():
        pytest.skip("no systemd-journald (apt install systemd)")
    socket = Path("/run/systemd/journal/stdout")
    if _answers(socket):
        yield
        return
    if os.geteuid() != 0:
        pytest.skip("systemd-journald does not run")
    process = subprocess.Popen([str(daemon)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + 10
        while not _answers(socket):
            if process.poll() is not None or time.monotonic() > deadline_s:
                pytest.skip("systemd-journald cannot be started here")
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def _answers(socket: Path) -> bool:
    tried = subprocess.run(["systemd-cat", "true"], capture_output=True, timeout=10)
    return socket.exists() and tried.returncode == 0


AS_A_SERVICE = """
import os
status = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
"""  # as systemd sets it for a service


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize("style", ["text", "json"])
def test_the_journal_knows_the_level_of_each_line(style: str) -> None:
    name = f"stream-inspect-test-{os.getpid()}-{style}"
    program = f"""{AS_A_SERVICE}
STYLE = {style!r}
{SET_UP}
logger = log.get_logger("stage")
logger.info("it began", camera="top")
logger.warning("it waits")
logger.error("it failed", error="two\\nlines")
1 / 0
"""
    subprocess.run(["systemd-cat", "-t", name, sys.executable, "-c", program], timeout=60)
    read = ["journalctl", "--no-pager", "-t", name, "-o", "json"]
    deadline_s = time.monotonic() + 10
    entries: list[dict[str, str]] = []
    while len(entries) < 4 and time.monotonic() < deadline_s:
        printed = subprocess.run(read, capture_output=True, text=True, check=True).stdout
        entries = [json.loads(line) for line in printed.splitlines()]
    assert [entry["PRIORITY"] for entry in entries] == ["6", "4", "3", "3"]
    assert "uncaught exception" in entries[3]["MESSAGE"]
    shown = subprocess.run([*read, "-p", "warning"], capture_output=True, text=True, check=True).stdout
    assert len(shown.splitlines()) == 3
    if style == "text":
        assert entries[0]["MESSAGE"].startswith("[info"), "the journal has its own time"
    else:
        assert json.loads(entries[0]["MESSAGE"])["event"] == "it began"
