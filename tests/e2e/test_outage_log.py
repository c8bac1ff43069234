"""What the log says while things fail: docs/operations.md quotes a run of this test (`pytest -s`), line by line.

A camera, a broker and the disk fail one after the other. Each outage must have its line at the beginning and at the
end.
"""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.alerts.receivers import Mosquitto
from tests.capture.processes import RtspServer, need_rtsp_server
from tests.conftest import MakeDisk
from tests.e2e.service import AS_IF_FULL_SIZE, Service, running

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

CONFIG = """\
version: 1
line: press-3
state_dir: {state}
cameras:
  - name: top
    source: {{kind: rtsp, url: "{url}"}}
    sampling: {{rate_hz: 2}}
  - name: belt
    source: {{kind: synthetic, seed: 3, fps: 10, width_px: 640, height_px: 360}}
    sampling: {{rate_hz: 4}}
    belt: {{direction: right_to_left, speed_mm_s: 200, mm_per_px: 1.0}}
defects:
  - {{name: stain, prompts: [stain, rust, a hole, a scratch], threshold: 0.5}}
alerts:
  - {{kind: mqtt, host: 127.0.0.1, port: {port}}}
{inspect}
recorder: {{min_free_gb: 0, height_px: 180, pre_roll_s: 0.5, post_roll_s: 0.5}}
web: {{enabled: false}}
"""


LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \[(debug|info|warning|error) *\] ")


def wait_for(service: Service, event: str, within_s: float, **fields: object) -> None:
    """Until the log has a line with this text and these fields."""
    wanted = [event, *(f"{key}={value}" for key, value in fields.items())]
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if any(all(part in line for part in wanted) for line in service.log.splitlines()):
            return
        time.sleep(0.2)
    raise AssertionError(f"not logged within {within_s} s: {event} {fields}\n{service.log}")


def fill(disk: Path) -> Path:
    """Use up all of the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def test_each_outage_has_a_line_when_it_begins_and_one_when_it_ends(tmp_path: Path, make_disk: MakeDisk) -> None:
    need_rtsp_server()
    disk = make_disk(24 * 1024)
    server, broker = RtspServer("--pattern", "smpte"), Mosquitto(tmp_path / "broker")
    config = tmp_path / "line.yaml"
    try:
        broker.start()
        config.write_text(
            CONFIG.format(state=disk / "state", url=server.url(), port=broker.port, inspect=AS_IF_FULL_SIZE)
        )
        with running(config, tmp_path / "log", "log.format=text") as service:
            service.wait_judging(10)

            server.stop()
            wait_for(service, "camera lost", 30, camera="top")
            wait_for(service, "condition raised", 30, camera="top", name="no_signal")
            server.start()
            wait_for(service, "camera reconnected", 30, camera="top")
            wait_for(service, "condition cleared", 30, camera="top", name="no_signal")

            broker.kill()
            wait_for(service, "output failing; events are queued", 60, output="mqtt")
            broker.start()
            wait_for(service, "output recovered", 60, output="mqtt")

            ballast = fill(disk)
            wait_for(service, "recording stopped", 60)
            wait_for(service, "cannot write the event log; events wait in its journal", 60)
            ballast.unlink()
            wait_for(service, "recording resumed", 60)
            wait_for(service, "event log writable again", 60)

            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(timeout=30) == 0
            print("\n" + service.log)
            strange = [line for line in service.log.splitlines() if not LINE.match(line)]
            assert not strange, "whoever wrote it, a line is a line"
    finally:
        server.stop()
        broker.close()
