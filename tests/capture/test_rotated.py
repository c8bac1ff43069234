"""`rotate_deg`: whatever the source, what comes out of a camera is the judged picture."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from stream_inspect import registry
from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, EndOfMediaError
from stream_inspect.capture.memory_sink import FreshArrays, ScratchArray
from stream_inspect.capture.planes import copy_rotated_to_slot, planes_of
from stream_inspect.capture.synthetic import make_line
from stream_inspect.config.models import CameraConfig, SyntheticSource
from stream_inspect.picture import Picture, UInt8Array, i420_shape
from stream_inspect.rotation import Rotation
from tests.capture.harness import StageHarness
from tests.capture.scripted_camera import ScriptedCamera
from tests.capture.test_camera_contract import FINITE, MAKERS


def camera_of(source: dict[str, Any], rotate_deg: int, **more: object) -> CameraConfig:
    return CameraConfig.model_validate({"name": "c1", "source": source, "rotate_deg": rotate_deg, **more})


def everything(config: CameraConfig) -> tuple[CameraInfo, list[CapturedFrame]]:
    """What a finite camera says and sends."""
    camera = make_camera(config)
    info = camera.open()
    frames: list[CapturedFrame] = []
    try:
        while True:
            frame = camera.read(FreshArrays())
            assert frame is not None
            frames.append(frame)
    except EndOfMediaError:
        return info, frames
    finally:
        camera.close()


def turned_by_numpy(i420: UInt8Array, rotate_deg: int) -> list[UInt8Array]:
    return [np.rot90(plane, -rotate_deg // 90) for plane in planes_of(i420)]


@pytest.mark.parametrize("rotate_deg", [90, 180, 270])
@pytest.mark.parametrize("kind", sorted(FINITE))
def test_a_camera_of_every_kind_sends_the_same_frames_turned(kind: str, rotate_deg: int, tmp_path: Path) -> None:
    (source,) = MAKERS[kind](tmp_path)
    info, frames = everything(camera_of(source, 0))
    turned_info, turned_frames = everything(camera_of(source, rotate_deg))
    size = (info.width_px, info.height_px)
    assert (turned_info.width_px, turned_info.height_px) == (size if rotate_deg == 180 else size[::-1])
    assert (turned_info.fps, turned_info.codec, turned_info.time_base) == (info.fps, info.codec, info.time_base)
    assert len(turned_frames) == len(frames) > 0
    for frame, turned in zip(frames, turned_frames, strict=True):
        assert (turned.pts, turned.is_key, turned.clock) == (frame.pts, frame.is_key, frame.clock)
        expected = turned_by_numpy(frame.picture.i420, rotate_deg)
        assert all(map(np.array_equal, planes_of(turned.picture.i420), expected))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[CameraConfig]:
    """A camera from another package, with a script to its own end."""
    monkeypatch.setitem(registry.BUILT_IN["camera"], "scripted", "tests.capture.scripted_camera:ScriptedCamera")
    ScriptedCamera.scripts = itertools.repeat([0, None, 40, CameraError("the cable"), 80])
    yield camera_of({"kind": "plugin", "plugin": "scripted"}, 90)
    ScriptedCamera.scripts = iter(())


def test_a_plugin_is_turned_too_and_its_damage_and_failures_come_through(scripted: CameraConfig) -> None:
    camera = make_camera(scripted)
    info = camera.open()
    sink = FreshArrays()
    assert (info.width_px, info.height_px) == (48, 64)
    first = camera.read(sink)
    assert first is not None
    assert (first.picture.width_px, first.picture.height_px) == (48, 64)
    assert camera.read(sink) is None
    second = camera.read(sink)
    assert second is not None
    assert second.pts == 40
    with pytest.raises(CameraError, match="the cable"):
        camera.read(sink)
    camera.close()


def test_only_turned_frames_lie_in_the_ring(tmp_path: Path) -> None:
    source = {"kind": "synthetic", "width_px": 320, "height_px": 240, "pace": "fast", "duration_s": 0.6, "seed": 7}
    belt = {"direction": "bottom_to_top", "speed_mm_s": 200, "mm_per_px": 1.5}
    config = camera_of(source, 90, belt=belt, sampling={"rate_hz": 25})
    assert isinstance(config.source, SyntheticSource)
    line = make_line(config.source, config.belt, config.rotate_deg)
    assert not line.moves_right, "turned by 90, what moves to the left moves up"

    def compare(header: Any) -> None:
        assert (header.width_px, header.height_px) == (240, 320)
        planes = planes_of(harness.ring.read(header).i420)
        assert all(map(np.array_equal, planes, turned_by_numpy(line.i420(header.id.pts), 90)))

    with StageHarness(config, tmp_path) as harness:
        harness.on_frame = compare
        harness.judging = True
        harness.run(lambda: harness.stage.ended)
        assert len(harness.frames) == harness.totals().judged == 15


@pytest.mark.parametrize("rotate_deg", [90, 180, 270])
def test_turning_a_1080p_frame_takes_about_a_millisecond(rotate_deg: Rotation) -> None:
    noise = np.random.default_rng(1).integers(0, 256, i420_shape(1920, 1080), np.uint8)
    picture, sink = Picture(noise, 1920, 1080), ScratchArray()
    times_s = []
    for _ in range(50):
        began_s = time.perf_counter()
        copy_rotated_to_slot(picture, rotate_deg, sink)
        times_s.append(time.perf_counter() - began_s)
    print(f"\nturned by {rotate_deg}: {median(times_s) * 1e3:.2f} ms a 1080p frame (median of {len(times_s)})")
    assert min(times_s) < 0.01
