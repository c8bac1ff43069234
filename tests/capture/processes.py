"""Real counterparts for the cameras, as child processes: each is ended by its own process id."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
_RTSP_SCRIPT = Path(__file__).with_name("rtsp_server.py")
_UNITS_SCRIPT = Path(__file__).with_name("rtsp_units_server.py")
_START_LIMIT_S = 20.0
_GVCP_PORT = 3956


class RtspServer:
    """The GStreamer server of `rtsp_server.py`; it keeps its port when it is started again."""

    _script = _RTSP_SCRIPT

    def __init__(self, *options: str) -> None:
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self.mounts: list[str] = []
        self.start()

    def start(self, *more_options: str) -> None:
        command = [SYSTEM_PYTHON, str(self._script), "--port", str(self.port), *self._options, *more_options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, *rest = line.split()
            if word == "MOUNTS":
                self.mounts = rest
            if word == "READY":
                self.port = int(rest[0])
                return
        raise RuntimeError("the RTSP server did not start")

    def start_without_waiting(self, *more_options: str) -> None:
        command = [SYSTEM_PYTHON, str(self._script), "--port", str(self.port), *self._options, *more_options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)

    def show(self, pattern: str, speed: int = 0) -> None:
        """Change the picture of what is being played: a pattern of `videotestsrc`, scrolled by `speed` px a frame."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{pattern} {speed}\n")
        self._process.stdin.flush()

    def url(self, mount: str = "h264") -> str:
        return f"rtsp://127.0.0.1:{self.port}/{mount}"

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, whatever state it is in, and wait until it is gone."""
        if self._process is None:
            return
        self.send_signal(number)
        self.send_signal(signal.SIGCONT)
        self._process.wait(_START_LIMIT_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def wait_until_it_accepts(self) -> float:
        """Returns the monotonic time at which the port first accepted a connection."""
        until_s = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < until_s:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.005)
            else:
                return time.monotonic()
        raise RuntimeError("the RTSP server does not accept connections")


class UnitsServer(RtspServer):
    """The GStreamer server of `rtsp_units_server.py`: sends recorded packets, one file of them a stream."""

    _script = _UNITS_SCRIPT

    def url(self, mount: str = "camera") -> str:
        return super().url(mount)


def need_rtsp_server() -> None:
    """Skip where GStreamer's RTSP server cannot be run."""
    try:
        check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
        found = (
            subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True, timeout=20, check=False).returncode == 0
        )
    except OSError:
        found = False
    if not found:
        pytest.skip("no GStreamer RTSP server (apt install python3-gi gir1.2-gst-rtsp-server-1.0)")


class GigeFake:
    """Aravis' fake GigE Vision camera on the loopback interface; `lost_per_mille` of its packets are lost.

    The control port of GigE Vision is fixed, so there is one at a time on a machine: others wait for their turn.
    """

    def __init__(self, lost_per_mille: int = 0) -> None:
        self._turn = (Path(tempfile.gettempdir()) / "stream_inspect-fake-gige-camera.lock").open("w", encoding="ascii")
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        command = ["arv-fake-gv-camera-0.8", "-i", "127.0.0.1", "-r", str(lost_per_mille)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until_s = time.monotonic() + _START_LIMIT_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > until_s:
                self.stop()
                raise RuntimeError("the fake GigE camera did not start (is another one running?)")
            time.sleep(0.02)

    def _listens(self) -> bool:
        connections = psutil.Process(self._process.pid).net_connections("udp")
        return any(connection.laddr.port == _GVCP_PORT for connection in connections if connection.laddr)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(_START_LIMIT_S)
        self._turn.close()


def need_gige() -> None:
    """Skip where the fake camera or the bindings to Aravis are missing."""
    if shutil.which("arv-fake-gv-camera-0.8") is None:
        pytest.skip("no fake GigE camera (apt install aravis-tools)")
    gi = pytest.importorskip("gi", reason="no PyGObject in this environment (`make test EXTRAS=dev,gige`)")
    try:
        gi.require_version("Aravis", "0.8")
    except ValueError:
        pytest.skip("no Aravis typelib (apt install gir1.2-aravis-0.8)")
