"""One contract test for every kind of camera that is registered. A new camera joins by one entry in `MAKERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stream_inspect import registry
from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import Camera, CameraError, CapturedFrame, EndOfMediaError
from stream_inspect.config.models import CameraConfig
from stream_inspect.picture import i420_shape
from tests.capture.harness import ArraySink
from tests.capture.processes import GigeFake, RtspServer, need_gige, need_rtsp_server
from tests.capture.videos import picture, write_video

FRAMES = 12

Source = dict[str, Any]


def video_file(folder: Path) -> Iterator[Source]:
    yield {"kind": "file", "path": str(write_video(folder / "clip.mp4", count=FRAMES)), "pace": "fast"}


def images(folder: Path) -> Iterator[Source]:
    for index in range(FRAMES):
        cv2.imwrite(str(folder / f"{index:03}.png"), picture(index, 160, 120))
    yield {"kind": "images", "path": str(folder), "pace": "fast"}


def synthetic(_: Path) -> Iterator[Source]:
    yield {"kind": "synthetic", "width_px": 320, "height_px": 240, "duration_s": FRAMES / 25, "pace": "fast"}


def rtsp(_: Path) -> Iterator[Source]:
    need_rtsp_server()
    server = RtspServer()
    yield {"kind": "rtsp", "url": server.url()}
    server.stop()


def gige(_: Path) -> Iterator[Source]:
    need_gige()
    camera = GigeFake()
    yield {"kind": "gige", "device": "127.0.0.1", "fps": 25.0}
    camera.stop()


def usb(_: Path) -> Iterator[Source]:
    device = Path("/dev/video0")
    if not device.exists():
        pytest.skip(f"no USB camera at {device}")
    yield {"kind": "usb", "device": str(device)}


MAKERS: dict[str, Callable[[Path], Iterator[Source]]] = {
    "file": video_file,
    "gige": gige,
    "images": images,
    "rtsp": rtsp,
    "synthetic": synthetic,
    "usb": usb,
}
FINITE = {"file", "images", "synthetic"}
REAL = {"rtsp", "gige"}
UNREACHABLE: dict[str, Source] = {
    "file": {"kind": "file", "path": "/nonexistent/clip.mp4"},
    "gige": {"kind": "gige", "device": "127.0.0.9"},
    "images": {"kind": "images", "path": "/nonexistent"},
    "rtsp": {"kind": "rtsp", "url": "rtsp://127.0.0.1:9/none"},
    "usb": {"kind": "usb", "device": "/dev/video99"},
}


def config_of(source: Source, rotate_deg: int = 0) -> CameraConfig:
    return CameraConfig.model_validate({"name": "c1", "source": source, "rotate_deg": rotate_deg})


UPRIGHT = [pytest.param(kind, 0, id=kind, marks=pytest.mark.slow if kind in REAL else ()) for kind in MAKERS]
TURNED = [pytest.param(kind, 90, id=f"{kind} turned") for kind in sorted(FINITE)]  # it is one wrapper for all kinds


@pytest.fixture
def source(kind: str, tmp_path: Path) -> Iterator[Source]:
    yield from MAKERS[kind](tmp_path)


@pytest.fixture
def camera(source: Source, rotate_deg: int) -> Iterator[Camera]:
    camera = make_camera(config_of(source, rotate_deg))
    yield camera
    camera.close()


every_camera = pytest.mark.parametrize(("kind", "rotate_deg"), UPRIGHT + TURNED)


def good_frames(camera: Camera, count: int) -> list[CapturedFrame]:
    """The next good frames; at most as many bad ones are put up with."""
    frames: list[CapturedFrame] = []
    for _ in range(2 * count):
        if len(frames) == count:
            break
        frame = camera.read(ArraySink())
        if frame is not None:
            frames.append(frame)
    assert len(frames) == count
    return frames


def test_every_registered_camera_is_in_this_test() -> None:
    assert sorted(MAKERS) == registry.names("camera")


@every_camera
def test_what_it_says_is_what_it_sends(camera: Camera) -> None:
    info = camera.open()
    for frame in good_frames(camera, 5):
        assert (frame.picture.width_px, frame.picture.height_px) == (info.width_px, info.height_px)
        assert frame.time_base == info.time_base
        assert frame.picture.i420.shape == i420_shape(info.width_px, info.height_px)
    assert info.fps is None or info.fps > 0
    assert info.codec


@every_camera
def test_pts_and_host_times_grow(camera: Camera) -> None:
    camera.open()
    frames = good_frames(camera, FRAMES)
    assert (np.diff([frame.pts for frame in frames]) > 0).all()
    assert (np.diff([frame.capture_mono_ns for frame in frames]) >= 0).all()
    assert all(abs(np.diff([frame.capture_utc_ns for frame in frames])) < 5e9)


@every_camera
def test_the_picture_lies_in_the_sinks_slot(camera: Camera) -> None:
    slots = []

    class KeepingSink(ArraySink):
        def slot(self, width_px: int, height_px: int) -> Any:
            slots.append(super().slot(width_px, height_px))
            return slots[-1]

    camera.open()
    frame = None
    while frame is None:
        frame = camera.read(KeepingSink())
    assert frame.picture.i420 is slots[-1]
    assert frame.picture.luma.std() > 1, "nothing was drawn"


@every_camera
def test_it_can_be_opened_again_after_it_was_closed(camera: Camera) -> None:
    for _ in range(2):
        camera.open()
        good_frames(camera, 2)
        camera.close()


@every_camera
def test_close_may_come_at_any_time(camera: Camera) -> None:
    camera.close()
    camera.open()
    camera.close()
    camera.close()
    with pytest.raises(CameraError, match="not open"):
        camera.read(ArraySink())


@every_camera
def test_a_finite_source_ends_and_a_live_one_does_not(camera: Camera, source: Source) -> None:
    camera.open()
    good_frames(camera, FRAMES)
    if source["kind"] in FINITE:
        with pytest.raises(EndOfMediaError):
            camera.read(ArraySink())
    else:
        good_frames(camera, 5)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind == "gige" else ()) for kind in UNREACHABLE]
)
def test_one_that_is_not_there_says_so(kind: str) -> None:
    if kind == "gige":
        pytest.importorskip("gi")
    camera = make_camera(config_of(UNREACHABLE[kind]))
    with pytest.raises(CameraError) as caught:
        camera.open()
    assert not isinstance(caught.value, EndOfMediaError)
    named = UNREACHABLE[kind].get("path") or UNREACHABLE[kind].get("device") or ""
    assert named in str(caught.value)
    camera.close()


def test_a_missing_usb_device_is_explained() -> None:
    with pytest.raises(CameraError, match="is the camera plugged in"):
        make_camera(config_of(UNREACHABLE["usb"])).open()


def test_a_file_that_is_no_device_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "video0"
    plain.write_bytes(b"")
    with pytest.raises(CameraError, match="not a device file"):
        make_camera(config_of({"kind": "usb", "device": str(plain)})).open()


def test_a_synthetic_belt_that_cannot_run_so_is_refused() -> None:
    belt = {"direction": "top_to_bottom", "speed_mm_s": 100, "mm_per_px": 0.5}
    config = CameraConfig.model_validate({"name": "c1", "source": {"kind": "synthetic"}, "belt": belt})
    with pytest.raises(CameraError, match="top_to_bottom"):
        make_camera(config).open()
