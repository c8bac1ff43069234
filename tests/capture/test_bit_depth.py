"""Pictures of 10, 12 and 14 bits in files of 16 are as bright as those of 8 bits, and dark ones stay dark."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import structlog.testing
from numpy.typing import NDArray

from stream_inspect.capture.bit_depth import BitDepth
from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import CameraInfo, EndOfMediaError
from stream_inspect.capture.memory_sink import FreshArrays
from stream_inspect.capture.pictures import may_be_deep
from stream_inspect.commands.replay.recording import Recording
from stream_inspect.config.models import CameraConfig
from stream_inspect.picture import Picture
from tests.capture.videos import picture


def read_all(path: Path, **camera: object) -> tuple[CameraInfo, list[Picture]]:
    source = {"kind": "images" if path.is_dir() else "file", "path": str(path), "pace": "fast"}
    camera = make_camera(CameraConfig.model_validate({"name": "c1", "source": source, **camera}))
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
    assert len(info.notes.ignored) == (bits < 16), "a guess is reported"
    assert all(f"with {bits} bits of content" in note for note in info.notes.ignored)


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
    (reported,) = info.notes.ignored
    assert reported.startswith(
        "16-bit pictures with no value above 8 bits (greatest value 200): taken as dark ones of 16;"
    )


def test_pictures_of_eight_bits_are_read_as_they_are(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), gray(0))
    cv2.imwrite(str(tmp_path / "1.png"), gray(1).astype(np.uint16) << 4)
    info, pictures = read_all(tmp_path)
    assert len(info.notes.ignored) == 1
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


# --- whatever the neighbours are ---------------------------------------------------------------------------------


def test_with_a_stated_depth_a_picture_is_the_same_alone_and_among_others(tmp_path: Path) -> None:
    for name in ("alone", "both"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), gray(0).astype(np.uint16) << 2)
    cv2.imwrite(str(tmp_path / "both" / "b.png"), gray(1).astype(np.uint16) << 4)
    shown = {name: read_all(tmp_path / name, bit_depth=12) for name in ("alone", "both")}
    assert np.array_equal(shown["alone"][1][0].luma, gray(0) >> 2)
    assert np.array_equal(shown["both"][1][0].luma, gray(0) >> 2)
    assert np.array_equal(shown["both"][1][1].luma, gray(1))
    for info, _ in shown.values():
        assert info.notes.honoured == ("16-bit pictures are taken as 12 bits, as bit_depth says",)
        assert info.notes.ignored == ()


@pytest.mark.parametrize("bits", [8, 9, 11, 16])
def test_any_depth_can_be_stated(tmp_path: Path, bits: int) -> None:
    """Those that are never guessed too: 8 bits in files of 16, and sensors of 9 and 11."""
    cv2.imwrite(str(tmp_path / "0.png"), gray(0).astype(np.uint16) << (bits - 8))
    (shown,) = read_all(tmp_path, bit_depth=bits)[1]
    assert np.array_equal(shown.luma, gray(0))


def test_what_is_brighter_than_the_stated_depth_is_white_and_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), gray(0).astype(np.uint16) << 2)
    cv2.imwrite(str(tmp_path / "b.png"), np.full((48, 64), 4000, np.uint16))
    info, pictures = read_all(tmp_path, bit_depth=10)
    assert [int(shown.luma.max()) for shown in pictures] == [250, 255]
    assert info.notes.ignored == ("values above 10 bits (up to 4000) are white: is bit_depth right? b.png",)


def test_pictures_of_different_depths_are_named(tmp_path: Path) -> None:
    """Two cameras, and one that wrote 8 bits: the smaller ones are darker than each would be alone."""
    for name, level in (("cam8", 0), ("cam10", 2), ("cam12", 4)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), gray(0).astype(np.uint16) << level)
    _, mixed = read_all(tmp_path)[0].notes.ignored
    assert mixed == (
        "2 of 3 16-bit pictures have fewer bits of content than 12, and are darker than each would be alone: "
        "cam8.png (8), cam10.png (10); set the camera's bit_depth, cameras apart"
    )


def test_all_pictures_count_before_the_first_is_judged(tmp_path: Path) -> None:
    """One bright picture of sixty, wherever it is: none of the others changes at it."""
    for number in range(60):
        cv2.imwrite(str(tmp_path / f"{number}.png"), gray(0).astype(np.uint16) << (4 if number == 31 else 2))
    with structlog.testing.capture_logs() as logs:
        pictures = read_all(tmp_path)[1]
    assert {int(shown.luma.max()) for number, shown in enumerate(pictures) if number != 31} == {62}
    assert [entry["event"] for entry in logs] == ["reading the values of pictures that may have 16 bits"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tif", "pgm", "jp2", "avif"])
def test_no_picture_of_16_bits_is_taken_for_one_of_8_unread(tmp_path: Path, suffix: str) -> None:
    deep = suffix in ("png", "tif", "pgm", "jp2")
    cv2.imwrite(str(tmp_path / f"0.{suffix}"), gray(0).astype(np.uint16) << 8 if deep else gray(0))
    assert may_be_deep(tmp_path / f"0.{suffix}") == (suffix not in ("jpg", "bmp", "webp"))
    cv2.imwrite(str(tmp_path / "1.png"), gray(0))
    assert not may_be_deep(tmp_path / "1.png")
    assert not may_be_deep(tmp_path / "absent.png")


def test_the_reason_of_a_black_picture_says_how_it_was_taken(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), gray(0).astype(np.uint16))
    source = {"kind": "images", "path": str(tmp_path), "pace": "fast"}
    config = CameraConfig.model_validate({"name": "c1", "source": source})
    recording = Recording(config, make_camera(config))
    recording.open()
    (frame,) = recording.frames()
    began, _ = frame.conditions
    assert began.detail == (
        "the picture is black (16-bit values up to 250, taken as 16 bits by the content: "
        "set the camera's bit_depth if that is wrong)"
    )


# --- video -------------------------------------------------------------------------------------------------------


COLOURS = {
    "rgb48le": ("ffv1", "mkv"),
    "rgb48be": ("png", "mov"),
    "rgba64be": ("png", "mov"),
    "gbrp16le": ("ffv1", "mkv"),
}


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("pixel_format", COLOURS)
def test_a_deep_colour_video_is_as_bright_as_the_one_of_eight_bits(
    tmp_path: Path, pixel_format: str, bits: int
) -> None:
    codec, suffix = COLOURS[pixel_format]
    path = tmp_path / f"clip.{suffix}"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for index in range(3):
            deep = picture(index, 64, 48)[:, :, ::-1].astype(np.uint16) << (bits - 8)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(deep), format="rgb48le")
            output.mux(stream.encode(frame.reformat(format=pixel_format)))
        output.mux(stream.encode())
    for stated in (None, bits):
        info, pictures = read_all(path, bit_depth=stated)
        assert len(pictures) == 3
        assert len(info.notes.ignored) == (bits < 16 and stated is None)
        for index, shown in enumerate(pictures):
            assert np.abs(shown.to_bgr().astype(int) - picture(index, 64, 48)).mean() < 3


def test_all_frames_of_a_recording_count_before_the_first_is_judged(tmp_path: Path) -> None:
    """A bright one comes last: the dark ones before it are as dark as those after it would be."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for level in (2, 2, 4):
            deep = gray(0).astype(np.uint16) << level
            output.mux(stream.encode(av.VideoFrame.from_ndarray(deep, format="gray16le")))
        output.mux(stream.encode())
    info, pictures = read_all(path)
    assert [int(shown.luma.max()) for shown in pictures] == [62, 62, 250]
    assert "with 12 bits of content" in info.notes.ignored[0]


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
    assert len(info.notes.ignored) == (bits < 16)
    for index, shown in enumerate(pictures):
        assert np.array_equal(shown.luma, gray(index))
        assert shown.full_range
