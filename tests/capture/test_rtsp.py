"""RTSP against a real server, and against what only calls itself one."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import structlog.testing

from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import Camera, CameraError
from stream_inspect.config.models import CameraConfig
from stream_inspect.messages import Clock, ConditionKind
from tests.capture.harness import ArraySink, StageHarness
from tests.capture.processes import RtspServer, need_rtsp_server

pytestmark = pytest.mark.slow

PASSWORD = "p@ss/w:rd%1 &?"
CODECS = {"h264": "h264", "h265": "hevc", "mjpeg": "mjpeg"}

StartServer = Callable[..., RtspServer]


def read_for_ever(camera: Camera) -> None:
    while True:
        camera.read(ArraySink())


def config_of(url: str, **more: Any) -> CameraConfig:
    return CameraConfig.model_validate({"name": "c1", "source": {"kind": "rtsp", "url": url, **more}})


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    need_rtsp_server()
    servers: list[RtspServer] = []

    def start(*options: str) -> RtspServer:
        servers.append(RtspServer(*options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("mount", CODECS)
def test_codecs_and_transports(start_server: StartServer, mount: str, transport: str) -> None:
    server = start_server("--pattern", "red", "--width", "320", "--height", "240")
    if mount not in server.mounts:
        pytest.skip(f"GStreamer has no encoder for {mount} here")
    camera = make_camera(config_of(server.url(mount), transport=transport))
    info = camera.open()
    assert (info.codec, info.width_px, info.height_px, info.fps) == (CODECS[mount], 320, 240, 25.0)
    frames = [camera.read(ArraySink()) for _ in range(30)]
    camera.close()
    good = [frame for frame in frames if frame is not None]
    assert len(good) == 30
    assert good[0].pts == 0
    steps_s = np.diff([frame.pts for frame in good]) / 90_000
    assert steps_s == pytest.approx(1 / 25, abs=0.002), "no hole after the first frame, which comes without a pts"
    blue, green, red = good[-1].picture.to_bgr().reshape(-1, 3).mean(axis=0)
    assert (blue, green, red) == pytest.approx((0, 0, 255), abs=20)


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_authentication(start_server: StartServer, method: str) -> None:
    server = start_server("--user", "operator", "--password", PASSWORD, *(["--digest"] * (method == "digest")))
    camera = make_camera(config_of(server.url(), username="operator", password=PASSWORD))
    camera.open()
    assert camera.read(ArraySink()) is not None
    camera.close()
    for credentials in ({}, {"username": "operator", "password": "wr0ng-Secret"}):
        with pytest.raises(CameraError, match="401 Unauthorized") as refused:
            make_camera(config_of(server.url(), **credentials)).open()
        assert "wr0ng" not in str(refused.value)
        assert "operator" not in str(refused.value)


def test_no_password_in_the_logs_of_a_stage(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--user", "operator", "--password", PASSWORD)
    config = config_of(server.url("nothing-here"), username="operator", password=PASSWORD)
    with structlog.testing.capture_logs() as logs, StageHarness(config, tmp_path) as harness:
        harness.run(lambda: bool(logs))
        server.stop()
        harness.run(lambda: len(logs) > 1)
    text = repr(logs) + repr(config)
    assert "404" in text
    assert "refused" in text
    assert "p@ss" not in text
    assert "p%40ss" not in text


@pytest.mark.parametrize("mount", ["h264", "mjpeg"])
def test_the_cameras_clock_is_used_once_it_has_told_the_time(start_server: StartServer, mount: str) -> None:
    camera = make_camera(config_of(start_server().url(mount)))
    assert camera.open().clock is Clock.ARRIVAL
    end_s = time.monotonic() + 20
    late_ms: list[float] = []
    zeros_ms: list[float] = []
    while len(late_ms) < 150:
        assert time.monotonic() < end_s, "no sender report came"
        frame = camera.read(ArraySink())
        if frame is None:
            continue
        if frame.clock is Clock.RTCP:
            arrived_utc_ns = time.time_ns() - (time.monotonic_ns() - frame.capture_mono_ns)
            late_ms.append((arrived_utc_ns - frame.capture_utc_ns) / 1e6)
            zeros_ms.append(frame.capture_utc_ns / 1e6 - float(frame.pts * frame.time_base) * 1e3)
        else:
            assert not late_ms, "a camera has one clock, from its first report on"
    camera.close()
    assert all(-5 < one_ms < 500 for one_ms in late_ms), "taken before it arrived, on the same host"
    assert max(zeros_ms) - min(zeros_ms) < 20, "the first time is not one frame late, and no later report's is"


def test_a_camera_with_pixels_that_are_not_square(start_server: StartServer) -> None:
    server = start_server("--width", "720", "--height", "576", "--pixel", "16/15")
    camera = make_camera(config_of(server.url()))
    info = camera.open()
    frame = camera.read(ArraySink())
    camera.close()
    assert frame is not None
    assert (info.width_px, info.height_px) == (frame.picture.width_px, frame.picture.height_px) == (768, 576)
    assert info.notes.honoured == ("pixels of 16:15 made square: 720x576 to 768x576 px",)


def test_a_size_that_changes_in_the_middle_of_the_stream(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--width", "320", "--height", "240")
    with StageHarness(config_of(server.url("change")), tmp_path) as harness:
        harness.judging = True
        harness.run(lambda: len({(h.width_px, h.id.session) for h in harness.frames[-60:]}) >= 2)
        harness.run(lambda: harness.frames[-1].width_px == 320)
        sizes = {(header.width_px, header.height_px) for header in harness.frames}
        assert sizes == {(320, 240), (160, 120)}
        assert harness.ring.read(harness.frames[-1]).luma.shape == (240, 320)
        assert harness.totals().residual == 0


@pytest.mark.parametrize(("before", "after"), [("h264", "mjpeg"), ("mjpeg", "h264"), ("h264", "h265")])
def test_another_codec_and_size_after_a_restart(
    start_server: StartServer, tmp_path: Path, before: str, after: str
) -> None:
    server = start_server("--codec", before, "--width", "320", "--height", "240")
    if after not in server.mounts:
        pytest.skip(f"GStreamer has no encoder for {after} here")
    with StageHarness(config_of(server.url("camera")), tmp_path) as harness:
        harness.run(lambda: len(harness.frames) > 5)
        assert harness.stage._reader is not None
        assert harness.stage._reader.info is not None
        assert harness.stage._reader.info.codec == CODECS[before]
        server.stop()
        server.start("--codec", after, "--width", "480", "--height", "272")
        harness.run(lambda: harness.frames[-1].width_px == 480)
        assert harness.stage._reader.info.codec == CODECS[after]
        assert harness.frames[-1].id.session == 2


def test_packets_lost_on_the_way_make_bad_frames_and_a_condition(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--drop", "0.03", "--pattern", "smpte")
    with StageHarness(config_of(server.url(), transport="udp"), tmp_path) as harness:
        harness.judging = True
        harness.run(
            lambda: any(c.kind is ConditionKind.BAD_FRAMES and c.active for c in harness.conditions), limit_s=20
        )
        totals = harness.totals()
    assert totals.dropped[("capture", "bad_frame")] >= 3
    assert len(harness.frames) == totals.captured - totals.dropped[("capture", "bad_frame")]


class Impostor:
    """Accepts connections and answers with `answer`, again and again, or not at all."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/x"
        self._connections: list[socket.socket] = []
        self.accepted = 0
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._connections.append(connection)
            if self._answer:
                try:
                    connection.sendall(self._answer)
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._connections:
            connection.close()


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        pytest.param(b"", 2, id="silent"),
        pytest.param(os.urandom(100_000), 3, id="random"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 3, id="http"),
        pytest.param(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n", 2, id="endless"),
    ],
)
def test_what_is_no_camera_is_tried_again_and_leaves_nothing_behind(tmp_path: Path, answer: bytes, tries: int) -> None:
    impostor = Impostor(answer)
    process = psutil.Process()
    try:
        with StageHarness(config_of(impostor.url, open_timeout_s=0.5), tmp_path) as harness:
            harness.run(lambda: impostor.accepted >= tries)
            descriptors = process.num_fds()
            harness.run(lambda: impostor.accepted >= 2 * tries, limit_s=15)
            assert process.num_fds() <= descriptors + 2 * tries  # the impostor's own ends of the connections
            harness.run(lambda: bool(harness.conditions))
            assert harness.conditions[0].kind is ConditionKind.NO_SIGNAL
            assert harness.frames == []
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 3.0
    finally:
        impostor.stop()


def test_a_server_that_hangs_is_given_up_after_one_read_timeout(start_server: StartServer) -> None:
    server = start_server()
    camera = make_camera(config_of(server.url(), read_timeout_s=1.0))
    camera.open()
    for _ in range(10):
        camera.read(ArraySink())
    server.send_signal(signal.SIGSTOP)
    began_s = time.monotonic()
    with pytest.raises(CameraError, match="no data for 1 s"):
        read_for_ever(camera)
    assert time.monotonic() - began_s < 1.6
    began_s = time.monotonic()
    camera.close()
    assert time.monotonic() - began_s < 0.5


def test_closing_while_the_server_hangs_is_done_at_once(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    with StageHarness(config_of(server.url()), tmp_path) as harness:
        harness.run(lambda: len(harness.frames) > 10)
        server.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 0.6
    for thread in threading.enumerate():
        if thread.name == "read-c1":  # left behind; it ends with its call
            thread.join(4)
            assert not thread.is_alive()
