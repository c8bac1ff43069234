"""Every pixel format must give the picture that swscale gives, whatever its strides and odd sizes."""

from __future__ import annotations

from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.capture.planes import (
    Field,
    copy_bgr_to_slot,
    copy_field_to_slot,
    copy_gray_to_slot,
    copy_mirrored_to_slot,
    copy_resized_to_slot,
    copy_rotated_to_slot,
    copy_to_slot,
    copy_yuyv_to_slot,
    field_lines,
    planes_of,
)
from stream_inspect.picture import ColorMatrix, Picture, UInt8Array
from stream_inspect.rotation import Rotation
from tests.capture.harness import ArraySink

SIZES = [(64, 48), (63, 48), (64, 47), (101, 57), (2, 2), (3, 3)]
FORMATS = [
    "yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuv440p", "yuv411p", "nv12", "gray",
    "yuv420p10le", "yuv422p10le", "p010le", "gray16le", "rgb24", "bgr24", "bgra", "gbrp", "yuyv422", "uyvy422",
]  # fmt: skip


def smooth_bgr(width: int, height: int) -> UInt8Array:
    """Colour that changes slowly, so that formats may differ in chroma sampling and still agree."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([60 + x % 97, 90 + y % 83, 200 - (x + y) // 2 % 101], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_each_pixel_format_shows_the_same_picture(pixel_format: str, size: tuple[int, int]) -> None:
    width, height = size
    bgr = smooth_bgr(width, height)
    frame = av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format=pixel_format)
    picture = copy_to_slot(frame, ArraySink())
    assert (picture.width_px, picture.height_px) == size
    expected = frame.reformat(format="bgr24").to_ndarray()
    if pixel_format.startswith("gray"):
        assert np.abs(picture.to_bgr().astype(int) - expected).max() <= 3
    else:
        difference = np.abs(picture.to_bgr().astype(int) - bgr)
        assert np.median(difference) <= 3
        assert np.percentile(difference, 90) <= 12


def test_planes_are_copied_bit_for_bit_whatever_their_strides() -> None:
    rng = np.random.default_rng(1)
    frame = av.VideoFrame(100, 50, "yuv420p")  # FFmpeg pads its rows to 128 and 64 bytes
    for plane in frame.planes:
        plane.update(rng.integers(0, 256, plane.buffer_size, np.uint8).tobytes())
    assert frame.planes[0].line_size > 100
    picture = copy_to_slot(frame, ArraySink())
    assert np.array_equal(picture.i420, frame.to_ndarray())


@pytest.mark.parametrize(("pixel_format", "full_range"), [("yuv420p", False), ("yuvj420p", True), ("gray", True)])
def test_the_range_is_kept(pixel_format: str, full_range: bool) -> None:
    frame = av.VideoFrame.from_ndarray(smooth_bgr(64, 48), format="bgr24").reformat(format=pixel_format)
    assert copy_to_slot(frame, ArraySink()).full_range is full_range


@pytest.mark.parametrize("depth", ["", "10le", "12le", "16le", "16be"])
@pytest.mark.parametrize(("stated", "full_range"), [(0, True), (1, False), (2, True)])
def test_gray_keeps_its_levels_and_is_of_the_range_that_it_states(depth: str, stated: int, full_range: bool) -> None:
    """What is black at 16 in a mono camera's H.265 must be black, not dark gray."""
    levels = np.repeat(np.arange(0, 256, dtype=np.uint8)[None], 4, axis=0)
    bits = int(depth[:-2] or 8)
    if depth:
        deep = (levels.astype(np.uint16) << (bits - 8)).astype(">u2" if depth.endswith("be") else "<u2")
        frame = av.VideoFrame(256, 4, f"gray{depth}")
        frame.planes[0].update(np.pad(deep, ((0, 0), (0, frame.planes[0].line_size // 2 - 256))).tobytes())
    else:
        frame = av.VideoFrame.from_ndarray(levels, format="gray")
    frame.color_range = stated
    picture = copy_to_slot(frame, ArraySink())
    assert picture.full_range is full_range
    assert np.abs(picture.luma.astype(int) - levels).max() <= 1
    assert planes_of(picture.i420).u.min() == planes_of(picture.i420).u.max() == 128
    black, white = (0, 255) if full_range else (16, 235)
    shown = picture.to_bgr()
    assert shown[:, black].max() <= 1
    assert shown[:, white].min() >= 254


@pytest.mark.parametrize(("code", "name"), [(1, "bt709"), (5, "bt601"), (6, "bt601"), (9, "bt2020"), (2, "bt601")])
def test_the_colour_matrix_is_kept_and_bt601_where_none_is_stated(code: int, name: str) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    frame.colorspace = code
    assert copy_to_slot(frame, ArraySink()).matrix == name


def test_odd_sizes_repeat_the_last_row_and_column() -> None:
    picture = copy_gray_to_slot(np.arange(15, dtype=np.uint8).reshape(3, 5), ArraySink())
    luma = planes_of(picture.i420).y
    assert luma.shape == (4, 6)
    assert np.array_equal(luma[:, 5], luma[:, 4])
    assert np.array_equal(luma[3], luma[2])


@pytest.mark.parametrize("size", SIZES)
def test_bgr_survives(size: tuple[int, int]) -> None:
    bgr = smooth_bgr(*size)
    assert np.abs(copy_bgr_to_slot(bgr, ArraySink()).to_bgr().astype(int) - bgr).mean() <= 3


def test_yuyv_is_taken_apart() -> None:
    frame = av.VideoFrame.from_ndarray(smooth_bgr(64, 48), format="bgr24").reformat(format="yuyv422")
    picture = copy_yuyv_to_slot(frame.to_ndarray(), ArraySink())
    assert np.abs(picture.to_bgr().astype(int) - smooth_bgr(64, 48)).mean() <= 4


def noise(width: int, height: int, seed: int, **more: object) -> Picture:
    """A picture of random planes, padded as a picture is."""
    rng = np.random.default_rng(seed)
    picture = copy_gray_to_slot(rng.integers(0, 256, (height, width), np.uint8), ArraySink())
    for plane in planes_of(picture.i420)[1:]:
        plane[:] = rng.integers(0, 256, plane.shape, np.uint8)
    return replace(picture, **more)  # type: ignore[arg-type]


@given(st.integers(1, 41), st.integers(4, 41), st.sampled_from(["top", "bottom"]), st.integers(0, 2**32))
def test_a_field_keeps_its_lines_and_lies_between_them_in_the_mean(
    width: int, height: int, which: Field, seed: int
) -> None:
    frame, own = noise(width, height, seed), field_lines(which)
    field = noise(width, len(range(height)[own]), seed)
    shown = copy_field_to_slot(field, which, height, ArraySink())
    assert (shown.width_px, shown.height_px) == (frame.width_px, frame.height_px)
    for lines, plane in zip(planes_of(field.i420), planes_of(shown.i420), strict=True):
        kept = plane[: height if plane.shape[1] == planes_of(shown.i420).y.shape[1] else None][own]
        assert np.array_equal(kept, lines[: kept.shape[0]])
    lines, luma, first = field.luma.astype(int), shown.luma, own.start
    for row in range(first + 1, height - 1, 2):
        above = (row - first) // 2
        assert np.array_equal(luma[row], (lines[above] + lines[above + 1]) // 2)
    for edge, next_to_it in ((0, 1), (height - 1, height - 2)):
        if edge not in range(height)[own]:
            assert np.array_equal(luma[edge], luma[next_to_it])


@given(st.integers(1, 41), st.integers(1, 41), st.integers(0, 2**32))
def test_mirroring_moves_each_sample_to_where_numpy_moves_it(width: int, height: int, seed: int) -> None:
    picture = noise(width, height, seed)
    mirrored = copy_mirrored_to_slot(picture, ArraySink())
    assert np.array_equal(mirrored.luma, picture.luma[:, ::-1])
    for before, after in zip(planes_of(picture.i420)[1:], planes_of(mirrored.i420)[1:], strict=True):
        assert np.array_equal(after, before[:, ::-1])
    assert np.array_equal(copy_mirrored_to_slot(mirrored, ArraySink()).i420, picture.i420)


@pytest.mark.parametrize("size", SIZES)
def test_another_size_shows_the_same_picture(size: tuple[int, int]) -> None:
    bgr = smooth_bgr(*size)
    larger = copy_resized_to_slot(copy_bgr_to_slot(bgr, ArraySink()), 2 * size[0], size[1], ArraySink())
    assert (larger.width_px, larger.height_px) == (2 * size[0], size[1])
    wide = cv2.resize(bgr, (2 * size[0], size[1]), interpolation=cv2.INTER_LINEAR)
    assert np.percentile(np.abs(larger.to_bgr().astype(int) - wide), 90) <= 12


sides = st.integers(1, 41)
turns = st.sampled_from([90, 180, 270])
seeds = st.integers(0, 2**32)


@given(sides, sides, turns, seeds)
def test_turning_moves_each_sample_to_where_numpy_moves_it(
    width: int, height: int, rotate_deg: Rotation, seed: int
) -> None:
    picture = noise(width, height, seed)
    turned = copy_rotated_to_slot(picture, rotate_deg, ArraySink())
    quarters = -rotate_deg // 90
    assert np.array_equal(turned.luma, np.rot90(picture.luma, quarters))
    before, after = planes_of(picture.i420), planes_of(turned.i420)
    assert np.array_equal(after.u, np.rot90(before.u, quarters))
    assert np.array_equal(after.v, np.rot90(before.v, quarters))
    assert np.array_equal(after.y[-1], after.y[turned.height_px - 1]), "the last row is repeated"
    assert np.array_equal(after.y[:, -1], after.y[:, turned.width_px - 1]), "the last column is repeated"


@given(sides, sides, turns, seeds)
def test_turning_four_times_changes_nothing(width: int, height: int, rotate_deg: Rotation, seed: int) -> None:
    picture = turned = noise(width, height, seed)
    for _ in range(4):
        turned = copy_rotated_to_slot(turned, rotate_deg, ArraySink())
    assert np.array_equal(turned.i420, picture.i420)
    back = copy_rotated_to_slot(copy_rotated_to_slot(picture, 90, ArraySink()), 270, ArraySink())
    assert np.array_equal(back.i420, picture.i420)


@pytest.mark.parametrize(("matrix", "full_range"), [("bt601", False), ("bt709", False), ("bt601", True)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rotate_deg", [90, 180, 270])
def test_turning_changes_no_colour(
    size: tuple[int, int], rotate_deg: Rotation, matrix: ColorMatrix, full_range: bool
) -> None:
    picture = replace(copy_bgr_to_slot(smooth_bgr(*size), ArraySink()), matrix=matrix, full_range=full_range)
    turned = copy_rotated_to_slot(picture, rotate_deg, ArraySink()).to_rgb().astype(int)
    expected = np.rot90(picture.to_rgb(), -rotate_deg // 90)
    assert turned.shape == expected.shape
    difference = np.abs(turned - expected)
    if any(side % 2 for side in size):  # the chroma lies half of its own pixel aside
        assert np.percentile(difference, 95) <= 4
    else:
        assert not difference.any()
