"""GigE Vision against Aravis' fake camera."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import Camera, CameraError
from stream_inspect.capture.device_clock import DeviceClock
from stream_inspect.capture.gige import GigeCamera
from stream_inspect.config.models import CameraConfig
from stream_inspect.messages import Clock
from tests.capture.harness import ArraySink, StageHarness
from tests.capture.processes import GigeFake, need_gige

StartCamera = Callable[..., GigeFake]


def config_of(**more: Any) -> CameraConfig:
    return CameraConfig.model_validate(
        {"name": "c1", "source": {"kind": "gige", "device": "127.0.0.1", "fps": 25.0, **more}}
    )


@pytest.fixture
def start_camera() -> Iterator[StartCamera]:
    need_gige()
    cameras: list[GigeFake] = []

    def start(**options: int) -> GigeFake:
        cameras.append(GigeFake(**options))
        return cameras[-1]

    yield start
    for camera in cameras:
        camera.stop()


def read_on(camera: Camera) -> None:
    while True:
        camera.read(ArraySink())


@pytest.mark.slow
@pytest.mark.parametrize("pixel_format", ["mono8", "bayer_rg8", "rgb8"])
def test_pixel_formats(start_camera: StartCamera, pixel_format: str) -> None:
    start_camera()
    camera = make_camera(config_of(pixel_format=pixel_format))
    info = camera.open()
    frame = None
    while frame is None:
        frame = camera.read(ArraySink())
    camera.close()
    assert (info.width_px, info.height_px, info.codec) == (512, 512, pixel_format)
    assert frame.clock is Clock.DEVICE
    assert frame.picture.luma.std() > 10
    rgb = frame.picture.to_rgb().reshape(-1, 3).astype(int)
    spread = np.abs(rgb - rgb.mean(axis=1, keepdims=True)).mean()
    assert (spread < 1) if pixel_format == "mono8" else (spread > 1)


@pytest.mark.slow
def test_a_region_of_the_sensor(start_camera: StartCamera) -> None:
    start_camera()
    camera = make_camera(config_of(width_px=320, height_px=200))
    info = camera.open()
    camera.close()
    assert (info.width_px, info.height_px) == (320, 200)


@pytest.mark.slow
def test_lost_packets_are_bad_frames_and_never_judged(start_camera: StartCamera, tmp_path: Path) -> None:
    start_camera(lost_per_mille=2)
    with StageHarness(config_of(), tmp_path) as harness:
        harness.judging = True
        harness.run(lambda: len(harness.frames) + 1 > 40, limit_s=30)
        totals = harness.totals()
    bad = totals.dropped[("capture", "bad_frame")]
    assert bad >= 3
    assert totals.captured == len(harness.frames) + bad
    assert totals.judged <= len(harness.frames)
    assert totals.residual == 0


@pytest.mark.slow
def test_a_camera_that_loses_power_is_back_soon_after(start_camera: StartCamera, tmp_path: Path) -> None:
    fake = start_camera()
    with StageHarness(config_of(), tmp_path) as harness:
        harness.run(lambda: len(harness.frames) > 10)
        fake.stop()
        harness.run(lambda: any(condition.active for condition in harness.conditions))
        start_camera()
        began_s = time.monotonic()
        harness.run(lambda: harness.frames[-1].id.session == 2)
        assert time.monotonic() - began_s < 3.0


_READ_BY_ID = """
import sys
from stream_inspect.capture.build import make_camera
from stream_inspect.capture.memory_sink import FreshArrays
from stream_inspect.config.models import CameraConfig
device = {"device": sys.argv[1]} if sys.argv[1] else {}
camera = make_camera(CameraConfig.model_validate({"name": "c1", "source": {"kind": "gige", "fps": 25.0, **device}}))
camera.open()
print(camera._route)
print("read", sum(camera.read(FreshArrays()) is not None for _ in range(5)))
camera.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("device", ["Aravis-Fake-GV01", "GV01", "127.0.0.1", ""])
def test_on_a_host_with_two_interfaces_a_camera_streams_to_the_one_that_it_is_at(
    start_camera: StartCamera, device: str
) -> None:
    """In a process of its own: Aravis keeps what it found, and the first search is the one that goes wrong."""
    others = [
        address.address
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family is socket.AF_INET and address.address != "127.0.0.1" and psutil.net_if_stats()[name].isup
    ]
    if not others:
        pytest.skip("this host has one interface only")
    start_camera()
    command = [sys.executable, "-c", _READ_BY_ID, device]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout.splitlines() == [" (camera 127.0.0.1 to this host's interface 127.0.0.1)", "read 5"], ran.stderr


@pytest.mark.slow
def test_a_silent_camera_is_reported_with_the_interface(start_camera: StartCamera) -> None:
    fake = start_camera()
    camera = make_camera(config_of(device="Aravis-Fake-GV01"))
    camera.open()
    assert camera.read(ArraySink()) is not None
    fake.stop()
    route = r"GV01 \(camera 127\.0\.0\.1 to this host's interface 127\.0\.0\.1\)"
    with pytest.raises(CameraError, match=route + r": no data for 1\.5 s"):
        read_on(camera)
    camera.close()


def test_what_to_install_is_said_where_the_bindings_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gi", None)
    with pytest.raises(
        CameraError, match=r"`make demo EXTRAS=dev,gige` in a checkout, or pip install 'stream-inspect\[gige\]'"
    ):
        make_camera(config_of()).open()


@pytest.mark.parametrize(
    ("ids", "missing"),
    [
        ([1, 2, 3], [0, 0, 0]),
        ([7, 8, 11], [0, 0, 2]),
        ([65534, 65535, 1, 2], [0, 0, 0, 0]),
        ([65534, 2], [0, 2]),
        ([2**32 + 5, 2**32 + 9], [0, 3]),
        ([5000, 1], [0, 0]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_gaps_in_the_frame_numbers(ids: list[int], missing: list[int]) -> None:
    camera = GigeCamera(config_of())
    assert [camera._missing_before(frame_id) for frame_id in ids] == missing


def test_the_device_clock_takes_out_what_the_network_adds() -> None:
    clock = DeviceClock()
    rng = np.random.default_rng(1)
    taken_ns = np.arange(500) * 40_000_000
    late_ns = 2_000_000 + rng.exponential(3e6, 500).astype(int)
    offset_ns = 123_456_789_000
    found = [clock.host_mono_ns(int(t), int(t + offset_ns + late)) for t, late in zip(taken_ns, late_ns, strict=True)]
    error_ns = np.array(found) - (taken_ns + offset_ns + 2_000_000)
    assert np.abs(error_ns[100:]).max() < 500_000 < late_ns.std()
