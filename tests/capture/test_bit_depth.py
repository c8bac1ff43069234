"""Pictures of 10, 12 and 14 bits in files of 16 are as bright as those of 8 bits, and dark ones stay dark."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import structlog.testing
from numpy.typing import NDArray

from stream_inspect.capture.bit_depth import BitDepth, samples
from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import CameraInfo, EndOfMediaError
from stream_inspect.capture.memory_sink import FreshArrays
from stream_inspect.config.models import CameraConfig
from stream_inspect.picture import Picture
from tests.capture.videos import picture


def read_all(path: Path) -> tuple[CameraInfo, list[Picture]]:
    source = {"kind": "images" if path.is_dir() else "file", "path": str(path), "pace": "fast"}
    camera = make_camera(CameraConfig.model_validate({"name": "c1", "source": source}))
    info = camera.open()
    pictures = []
    try:
        while True:
            frame = camera.read(FreshArrays())
            assert frame is not None
            pictures.append(frame.picture)
    except EndOfMediaError:
        return info, pictures
    finally:
        camera.close()


def gray(index: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture(index, 64, 48), cv2.COLOR_BGR2GRAY), np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_deep_gray_picture_is_as_bright_as_the_one_of_eight_bits(tmp_path: Path, bits: int, suffix: str) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.{suffix}"), gray(index).astype(np.uint16) << (bits - 8))
    info, pictures = read_all(tmp_path)
    for index, shown in enumerate(pictures):
        assert np.array_equal(shown.luma, gray(index))
    assert len(info.notes.honoured) == (bits < 16)
    assert all(f"with {bits} bits of content" in note for note in info.notes.honoured)


def test_a_deep_colour_picture_is_as_bright_as_the_one_of_eight_bits(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), picture(0, 64, 48).astype(np.uint16) << 4)
    (shown,) = read_all(tmp_path)[1]
    assert np.abs(shown.to_bgr().astype(int) - picture(0, 64, 48)).mean() < 3


def test_a_dark_picture_among_bright_ones_stays_dark(tmp_path: Path) -> None:
    """Whichever is the first: one depth for the whole folder."""
    for name, level in (("0", 1 << 8), ("1", 1), ("2", 1 << 8)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), gray(int(name)).astype(np.uint16) * level)
    cv2.imwrite(str(tmp_path / "00.png"), gray(0).astype(np.uint16))
    assert [shown.luma.max() for shown in read_all(tmp_path)[1]] == [250, 0, 0, 250]


def test_pictures_that_are_all_but_black_stay_so(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.full((48, 64), 200, np.uint16))
    info, (shown,) = read_all(tmp_path)
    assert shown.luma.max() == 0
    assert info.notes.honoured == ()


def test_pictures_of_eight_bits_are_read_as_they_are(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), gray(0))
    cv2.imwrite(str(tmp_path / "1.png"), gray(1).astype(np.uint16) << 4)
    info, pictures = read_all(tmp_path)
    assert len(info.notes.honoured) == 1
    assert [np.array_equal(shown.luma, gray(index)) for index, shown in enumerate(pictures)] == [True, True]


def test_a_picture_that_has_more_bits_than_those_before_raises_the_depth_and_is_logged() -> None:
    depth = BitDepth()
    twelve, sixteen = np.full((2, 2), 4000, np.uint16), np.full((2, 2), 60_000, np.uint16)
    with structlog.testing.capture_logs() as logs:
        shown = [int(depth.to_eight_bits(one)[0, 0]) for one in (twelve, twelve, sixteen, twelve)]
    assert shown == [250, 250, 234, 15]
    assert [(entry["event"], entry["bits"], entry["before"]) for entry in logs] == [
        ("pictures have another bit depth than those before", 16, 12)
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 25, 26, 1000])
def test_samples_are_spread_from_the_first_to_the_last(count: int) -> None:
    found = list(samples(range(count)))
    assert len(found) == len(set(found)) == min(25, count)
    assert not count or (found[0], found[-1]) == (0, count - 1)


def test_the_numbers_of_pictures_are_their_order(tmp_path: Path) -> None:
    for number in range(1, 13):
        cv2.imwrite(str(tmp_path / f"frame_{number}.png"), np.full((8, 8), 10 * number, np.uint8))
    assert [int(shown.luma[0, 0]) for shown in read_all(tmp_path)[1]] == [10 * number for number in range(1, 13)]


@pytest.mark.parametrize("bits", [12, 14, 16])
def test_a_deep_gray_video_is_as_bright_as_the_one_of_eight_bits(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for index in range(3):
            deep = gray(index).astype(np.uint16) << (bits - 8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(deep, format="gray16le")))
        output.mux(stream.encode())
    info, pictures = read_all(path)
    assert len(info.notes.honoured) == (bits < 16)
    for index, shown in enumerate(pictures):
        assert np.array_equal(shown.luma, gray(index))
        assert shown.full_range
