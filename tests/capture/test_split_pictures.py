"""Senders that put parameter sets before every slice of a key frame: FFmpeg's parsers split such pictures."""

from __future__ import annotations

import contextlib
from pathlib import Path

import av
import numpy as np
import pytest
import structlog.testing

from stream_inspect.capture.av_reader import AvReader
from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import CapturedFrame, EndOfMediaError
from stream_inspect.config.models import CameraConfig
from stream_inspect.messages import Clock
from stream_inspect.picture import UInt8Array
from tests.capture.bitstreams import encoded, is_slice, joined, kind, units, write_for_server, write_raw
from tests.capture.harness import ArraySink
from tests.capture.processes import UnitsServer, need_rtsp_server

PICTURES, GOP = 40, 10
PARAMETER_SETS = {"h264": (7, 8), "hevc": (32, 33, 34)}
SUFFIX = {"h264": "h264", "hevc": "h265"}


def parameter_sets_before_every_slice(codec: str, packet: bytes) -> bytes:
    parts = units(packet)
    heads = [part for part in parts if kind(codec, part) in PARAMETER_SETS[codec]]
    return joined([each for part in parts if is_slice(codec, part) for each in (*heads, part)])


@pytest.fixture(scope="module", params=["h264", "hevc"])
def codec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(codec: str) -> list[bytes]:
    return encoded(codec, PICTURES, gop=GOP, slices="4")


@pytest.fixture(scope="module")
def intact(codec: str, whole: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> list[UInt8Array]:
    path = write_raw(tmp_path_factory.mktemp("intact") / f"clip.{SUFFIX[codec]}", whole)
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(), np.uint8) for frame in container.decode(video=0)]


@pytest.fixture
def split(codec: str, whole: list[bytes]) -> list[bytes]:
    return [parameter_sets_before_every_slice(codec, packet) for packet in whole]


def read_to_the_end(reader: AvReader) -> list[CapturedFrame | None]:
    frames: list[CapturedFrame | None] = []
    with contextlib.suppress(EndOfMediaError):
        while True:
            frames.append(reader.read(ArraySink()))
    reader.close()
    return frames


def index_of(frame: CapturedFrame | None, intact: list[UInt8Array]) -> int | None:
    """Which of the intact pictures it is, exactly; None for a bad frame and for a wrong picture."""
    found = [at for at, each in enumerate(intact) if frame is not None and np.array_equal(frame.picture.i420, each)]
    return found[0] if found else None


@pytest.mark.slow
def test_over_the_network_they_are_whole(
    codec: str, split: list[bytes], intact: list[UInt8Array], tmp_path: Path
) -> None:
    need_rtsp_server()
    sent = write_for_server(tmp_path / "sent", split)
    server = UnitsServer("--codec", SUFFIX[codec], str(sent))
    camera = make_camera(CameraConfig.model_validate({"name": "c1", "source": {"kind": "rtsp", "url": server.url()}}))
    try:
        with structlog.testing.capture_logs() as logs:
            camera.open()
            frames = [camera.read(ArraySink()) for _ in range(3 * GOP)]
    finally:
        camera.close()
        server.stop()
    assert [index_of(frame, intact) for frame in frames] == list(range(3 * GOP))
    assert [log["event"] for log in logs].count("stream splits its pictures; joining them, one frame later") == 1


def test_in_a_file_they_are_whole(codec: str, split: list[bytes], intact: list[UInt8Array], tmp_path: Path) -> None:
    path = write_raw(tmp_path / f"clip.{SUFFIX[codec]}", split)
    reader = AvReader(av.open(str(path)))
    reader.open(Clock.MEDIA)
    frames = read_to_the_end(reader)
    assert [index_of(frame, intact) for frame in frames] == list(range(PICTURES))


def test_when_it_begins_later_nothing_wrong_passes_as_good(
    codec: str, whole: list[bytes], split: list[bytes], intact: list[UInt8Array], tmp_path: Path
) -> None:
    """The first split picture could not be foreseen: it and those that follow it up to the next key frame are bad.

    The decoder of H.265 does not notice missing slices: there this first one passes.
    """
    path = write_raw(tmp_path / f"clip.{SUFFIX[codec]}", [*whole[: 2 * GOP], *split[2 * GOP :]])
    found = [index_of(frame, intact) for frame in read_to_the_end(AvReader(av.open(str(path)))) if frame is not None]
    assert found.count(None) <= (0 if codec == "h264" else 1)
    right = [at for at in found if at is not None]
    assert right == sorted(right)
    assert {*range(2 * GOP), *range(3 * GOP, PICTURES)} <= set(right)
