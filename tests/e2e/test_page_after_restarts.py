"""A camera that is black when `live` or `web` is restarted: picture and page have its banner again."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.e2e.service import AS_IF_FULL_SIZE, Service, crowding, free_port, running

CONFIG = """
version: 1
state_dir: {folder}/state
cameras:
  - name: top
    source: {{kind: file, path: {folder}/black.mp4}}
    sampling: {{rate_hz: 1}}
defects: [{{name: crack, prompts: [crack]}}]
{inspect}
recorder: {{enabled: false}}
web: {{port: {port}}}
"""


class Page:
    """What the page is given."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def kinds(self) -> list[str]:
        """Of the conditions of the camera; none while the page does not answer."""
        try:
            with urllib.request.urlopen(f"{self._url}/api/status", timeout=3) as answer:
                status: dict[str, Any] = json.load(answer)
        except OSError:
            return []
        return [one["kind"] for one in status["conditions"] if one["camera"] == "top"]

    def has_banner(self) -> bool:
        """Whether the live picture has the red bar of a warning over it."""
        try:
            with urllib.request.urlopen(f"{self._url}/live/top.mjpeg", timeout=3) as answer:
                data = b""
                while b"\xff\xd9" not in data:
                    data += answer.read1(65536)
        except OSError:
            return False
        jpeg = data[data.index(b"\xff\xd8") : data.index(b"\xff\xd9") + 2]
        bgr = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)).astype(int)
        return float(((bgr[..., 2] > 180) & (bgr[..., 1] < 110)).mean()) > 0.15


def write_black(path: Path, seconds: int) -> None:
    """Ten frames a second, 640 x 360."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        black = av.VideoFrame.from_ndarray(np.zeros((360, 640, 3), np.uint8), format="bgr24")
        for index in range(10 * seconds):
            black.pts = index
            output.mux(stream.encode(black))
        output.mux(stream.encode())


def wait_for_banner(page: Page, service: Service, within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while not ("black" in page.kinds() and page.has_banner()):
        assert time.monotonic() < deadline_s, f"no banner: {page.kinds()}\n{service.log}"
        time.sleep(0.1)


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_black_camera_has_its_banner_after_a_restart_of_live_and_of_web(tmp_path: Path):
    write_black(tmp_path / "black.mp4", seconds=240)
    port = free_port()
    config = tmp_path / "line.yaml"
    config.write_text(CONFIG.format(folder=tmp_path, port=port, inspect=AS_IF_FULL_SIZE))
    with running(config, tmp_path / "log") as service:
        page = Page(port)
        wait_for_banner(page, service, 60 * crowding())
        for row in ("live", "web"):
            service.children()[row].send_signal(signal.SIGKILL)
            service.wait_for(
                lambda seen, row=row: seen["processes"][row]["restarts"] >= 1 and seen["processes"][row]["running"],
                20 * crowding(),
                f"{row} restarted",
            )
            wait_for_banner(page, service, 10 * crowding())
        assert service.stop() == 0
