"""A whole plant on one machine: four cameras, a broker, a webhook's receiver, a small disk, and the service among them.

Everything is real and can be taken away by itself: servers are killed and stopped, a disk is filled, a log is locked.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from stream_inspect.sim.line import SyntheticLine
from tests.alerts.receivers import HttpReceiver, Mosquitto, Request, Subscriber
from tests.capture.processes import RtspServer
from tests.e2e.service import AS_IF_FULL_SIZE, Service

CAMERAS = ("belt", "loop", "top", "side")
"""The synthetic line, a looped recording of another one, and two RTSP cameras (H.264 and MJPEG)."""
SPEED_MM_S = 200.0
SIZE_PX = (640, 360)
FPS = 10
PATTERN, SPEED_PX = "checkers-8", 5
"""Of the RTSP cameras, px a frame: a picture in which nothing is found, and that is equal only when it stands."""
OUTPUT_TIMEOUT_S = 1.0
DISK_KB = 256 * 1024

# Small pictures at low rates: two cores must be able to judge every due frame while the receivers run next to it.
CONFIG = """\
version: 1
line: plant
state_dir: {state}
cameras:
  - name: belt
    source: {{kind: synthetic, seed: 3, fps: 10, width_px: 640, height_px: 360}}
    sampling: {{rate_hz: 3}}
    belt: {{direction: right_to_left, speed_mm_s: 200, mm_per_px: 1.0}}
  - name: loop
    source: {{kind: file, path: {recording}, loop: true}}
    sampling: {{rate_hz: 3}}
    belt: {{direction: right_to_left, speed_mm_s: 200, mm_per_px: 1.0}}
  - name: top
    source: {{kind: rtsp, url: "{top}"}}
    sampling: {{rate_hz: 1}}
    belt: {{direction: right_to_left, speed_mm_s: 200, mm_per_px: 1.0}}
  - name: side
    source: {{kind: rtsp, url: "{side}"}}
    sampling: {{rate_hz: 1}}
    belt: {{direction: right_to_left, speed_mm_s: 200, mm_per_px: 1.0}}
defects:
  - {{name: scratch, prompts: [scratch], threshold: 0.5}}
  - {{name: crack, prompts: [crack], threshold: 0.5}}
  - {{name: hole, prompts: [hole], threshold: 0.5}}
  - {{name: rust, prompts: [rust], threshold: 0.5}}
  - {{name: stain, prompts: [stain], threshold: 0.5}}
  - {{name: dent, prompts: [dent], threshold: 0.5}}
{inspect}
alerts:
  - {{kind: mqtt, host: 127.0.0.1, port: {mqtt_port}, timeout_s: {timeout_s}}}
  - {{kind: webhook, url: "http://127.0.0.1:{webhook_port}/events", timeout_s: {timeout_s}}}
recorder: {{min_free_gb: 0.05, max_size_gb: 0.05, height_px: 180, pre_roll_s: 0.5, post_roll_s: 0.5}}
transport: {{ring_s: 3}}
web: {{port: 0, live_rate_hz: 2, live_height_px: 180}}
log: {{format: json}}
"""


def record_line(path: Path, seconds: int = 20) -> None:
    """A recording of a synthetic line, `seconds` long."""
    line = SyntheticLine(7, *SIZE_PX, FPS, speed_px_s=SPEED_MM_S)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=FPS, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height = SIZE_PX
        stream.pix_fmt = "yuv420p"
        for index in range(seconds * FPS):
            frame = av.VideoFrame.from_ndarray(line.i420(index), format="yuv420p")
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


class Trickle:
    """A server that answers every connection with one byte of its status line every 0.3 s, and never gets to its end.

    One byte is within any time-out of one read.
    """

    def __init__(self, port: int) -> None:
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 ")
            while not self._stop.wait(0.3):
                connection.sendall(b"O")

    def close(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Plant:
    """`start`, then take away and give back what its attributes are, then `close`."""

    def __init__(self, folder: Path, disk: Path) -> None:
        self.disk = disk
        self.state = disk / "state"
        self.accepted: list[tuple[float, dict[str, Any]]] = []
        """What the webhook's receiver has accepted: (monotonic time, event)."""
        self.answer_with: Callable[[Request], int] = lambda _: 204
        self._folder = folder
        self._ballast: Path | None = None
        self._lock: sqlite3.Connection | None = None
        self._trickle: Trickle | None = None
        record_line(folder / "loop.mp4")
        moving = (
            "--width",
            "640",
            "--height",
            "360",
            "--fps",
            str(FPS),
            "--pattern",
            PATTERN,
            "--speed",
            str(SPEED_PX),
        )
        self.top, self.side = RtspServer(*moving), RtspServer(*moving)
        # Saved at each change and answered only in calm times: see tests/alerts/test_outages.py.
        saved = (
            f"persistence true\npersistence_location {folder}/broker/\nautosave_on_changes true\nautosave_interval 1"
        )
        self.broker = Mosquitto(folder / "broker", extra=saved)
        self.broker.start()
        self.subscriber = Subscriber(self.broker.port, "stream_inspect/plant/+/events", holds_acks=True)
        # Apart: what is not answered is repeated by a restarted broker, and an old status would look like a new one.
        self.status = Subscriber(self.broker.port, "stream_inspect/plant/status/#", "status")
        self.webhook = HttpReceiver()
        self.webhook.answer = self._answer
        self.webhook.start()
        config = folder / "plant.yaml"
        config.write_text(
            CONFIG.format(
                state=self.state,
                recording=folder / "loop.mp4",
                top=self.top.url("h264"),
                side=self.side.url("mjpeg"),
                mqtt_port=self.broker.port,
                webhook_port=self.webhook.port,
                timeout_s=OUTPUT_TIMEOUT_S,
                inspect=AS_IF_FULL_SIZE,
            )
        )
        self._config, self._runs = config, 1
        self.service = Service(config, folder / "log1")

    def restart_service(self) -> None:
        """Start the service again after a stop; each run has a log of its own."""
        self.service.close()
        self._runs += 1
        self.service = Service(self._config, self._folder / f"log{self._runs}")

    def _answer(self, request: Request) -> tuple[int, dict[str, str]]:
        status = self.answer_with(request)
        if status == 204:
            self.accepted.append((time.monotonic(), json.loads(request.body)))
        return status, {}

    def trickle(self) -> None:
        """The webhook's receiver answers byte by byte, until `untrickle`."""
        self.webhook.kill()
        self._trickle = Trickle(self.webhook.port)

    def untrickle(self) -> None:
        assert self._trickle is not None
        self._trickle.close()
        self.webhook.start()

    def kill_broker(self) -> None:
        """kill -9, when the subscriber is connected and has answered what it got: then nothing acknowledged is lost."""
        assert self.subscriber.is_subscribed.wait(20)
        self.subscriber.acknowledge()
        self.broker.kill()

    def fill_disk(self) -> None:
        """Use up all of the disk."""
        self._ballast = self.disk / "ballast"
        with self._ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free_disk(self) -> None:
        assert self._ballast is not None
        self._ballast.unlink()

    def lock(self, name: str) -> None:
        """Hold the write lock of this database in the state folder, as a backup tool does."""
        self._lock = sqlite3.connect(self.state / name, timeout=5, isolation_level=None)
        self._lock.execute("BEGIN IMMEDIATE")

    def unlock(self) -> None:
        assert self._lock is not None
        self._lock.execute("ROLLBACK")
        self._lock.close()
        self._lock = None

    def close(self) -> None:
        self.service.close()
        self.subscriber.close()
        self.status.close()
        self.broker.close()
        self.webhook.close()
        for server in (self.top, self.side):
            server.stop()
        if self._trickle is not None:
            self._trickle.close()
        if self._lock is not None:
            self._lock.close()
