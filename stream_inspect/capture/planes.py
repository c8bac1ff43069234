"""Decoded pictures into ring slots: each plane is copied once, from the decoder's buffer into shared memory.

Eight-bit planar YUV (what nearly every camera sends) is copied plane by plane, minding strides; chroma of 4:2:2 and
4:4:4 is averaged down on the way. NV12 and packed 4:2:2 are taken apart. Everything else (10 bit, RGB) goes through
swscale first. Nothing is ever converted to BGR.

A stream that does not state its colour matrix is taken as BT.601, as FFmpeg and OpenCV do. Gray that does not state its
range is full, which is what swscale always takes it for.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import av
import cv2
import numpy as np

from stream_inspect.capture.camera import FrameSink
from stream_inspect.picture import ColorMatrix, Picture, UInt8Array
from stream_inspect.rotation import Rotation, rotated_size

_MATRIX: dict[int, ColorMatrix] = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
"""AVColorSpace (ITU-T H.273) to our names."""
LIMITED_RANGE, _FULL_RANGE = 1, 2
"""AVCOL_RANGE_MPEG and AVCOL_RANGE_JPEG."""
_PLANAR = frozenset(
    f"yuv{full}{sampling}p" for full in ("", "j") for sampling in ("420", "422", "444", "440", "411", "410")
)
_PACKED = {"yuyv422": 0, "uyvy422": 1}
"""Packed 4:2:2, what USB cameras send uncompressed, and which byte of a pixel is luma."""
_GRAY = "gray"
_GRAYS = re.compile(_GRAY + r"(\d+[lb]e)?")
"""Luma alone, of 8, 9, 10, 12, 14 or 16 bits."""
_NEUTRAL_CHROMA = 128
_CV2_ROTATION: dict[Rotation, int] = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


Field = Literal["top", "bottom"]
"""One of the two halves of an interlaced frame: its lines 0, 2, 4... or 1, 3, 5..."""
_FIRST_LINE: dict[Field, int] = {"top": 0, "bottom": 1}


class Planes(NamedTuple):
    """Views on a slot: y (padded height, padded width), u and v half of that each way; uint8."""

    y: UInt8Array
    u: UInt8Array
    v: UInt8Array


def planes_of(slot: UInt8Array) -> Planes:
    """The three planes of a C-contiguous (padded_height * 3 // 2, padded_width) array, as views."""
    height, width = slot.shape[0] * 2 // 3, slot.shape[1]
    chroma = slot[height:].reshape(2, height // 2, width // 2)
    return Planes(slot[:height], chroma[0], chroma[1])


def field_lines(field: Field | None) -> slice:
    """The lines of a plane that belong to this field; all of them for None."""
    return slice(None) if field is None else slice(_FIRST_LINE[field], None, 2)


def copy_to_slot(frame: av.VideoFrame, sink: FrameSink, *, field: Field | None = None) -> Picture:
    """Write a decoded frame of any pixel format into the sink's slot; with `field` only the lines of that one."""
    full_range = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    matrix = _MATRIX.get(int(frame.colorspace), "bt601")
    if _GRAYS.fullmatch(frame.format.name):
        full_range = frame.color_range != LIMITED_RANGE
        if frame.format.name != _GRAY:
            frame = frame.reformat(format=_GRAY)  # the depth alone: swscale takes both for full range
    elif frame.format.name not in _PLANAR and frame.format.name not in _PACKED and frame.format.name != "nv12":
        frame, matrix, full_range = _to_planar(frame, matrix, full_range)
    name, width, lines = frame.format.name, frame.width, field_lines(field)
    height = _count(frame.height, lines)
    slot = sink.slot(width, height)
    planes = planes_of(slot)
    if name in _PACKED:
        even_width = width + width % 2
        packed = _plane(frame, 0, 2 * even_width, frame.height)[lines].reshape(height, even_width, 2)
        _take_apart(packed, _PACKED[name], width, planes)
        return Picture(slot, width, height, matrix, full_range)
    _copy_luma(_plane(frame, 0, width, frame.height)[lines], planes.y)
    if name == _GRAY:
        planes.u.fill(_NEUTRAL_CHROMA)
        planes.v.fill(_NEUTRAL_CHROMA)
    elif name == "nv12":
        interleaved = _plane(frame, 1, width + width % 2, (frame.height + 1) // 2)[lines]
        planes.u[:], planes.v[:] = interleaved[:, 0::2], interleaved[:, 1::2]
    else:
        for index, target in ((1, planes.u), (2, planes.v)):
            plane = frame.planes[index]
            _copy_chroma(_plane(frame, index, plane.width, plane.height)[lines], target)
    return Picture(slot, width, height, matrix, full_range)


def copy_bgr_to_slot(bgr: UInt8Array, sink: FrameSink) -> Picture:
    """Write an (H, W, 3) uint8 BGR picture into the sink's slot, as limited-range BT.601."""
    height, width = bgr.shape[:2]
    slot = sink.slot(width, height)
    if slot.shape == (height * 3 // 2, width) and not height % 2:
        cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420, dst=slot)
        return Picture(slot, width, height)
    slot[:] = Picture.from_bgr(bgr).i420
    return Picture(slot, width, height)


def copy_gray_to_slot(gray: UInt8Array, sink: FrameSink) -> Picture:
    """Write an (H, W) uint8 picture of full range into the sink's slot."""
    height, width = gray.shape
    slot = sink.slot(width, height)
    planes = planes_of(slot)
    _copy_luma(gray, planes.y)
    planes.u.fill(_NEUTRAL_CHROMA)
    planes.v.fill(_NEUTRAL_CHROMA)
    return Picture(slot, width, height, full_range=True)


def copy_yuyv_to_slot(yuyv: UInt8Array, sink: FrameSink) -> Picture:
    """Write an (H, W, 2) uint8 picture of Y0 U Y1 V (4:2:2, W even) into the sink's slot."""
    height, width = yuyv.shape[:2]
    slot = sink.slot(width, height)
    _take_apart(yuyv, 0, width, planes_of(slot))
    return Picture(slot, width, height)


def copy_rotated_to_slot(picture: Picture, rotate_deg: Rotation, sink: FrameSink) -> Picture:
    """Write a picture into the sink's slot, turned clockwise by 90, 180 or 270.

    Samples are moved and never mixed, so four quarter turns give the same picture again. Where a side is odd, that
    shifts the chroma by half of its own pixel at most: its last sample is of one luma pixel, not two.
    """
    width, height = rotated_size(picture.width_px, picture.height_px, rotate_deg)
    slot = sink.slot(width, height)
    code, source, target = _CV2_ROTATION[rotate_deg], planes_of(picture.i420), planes_of(slot)
    cv2.rotate(picture.luma, code, dst=target.y[:height, :width])
    _pad(target.y, width, height)
    cv2.rotate(source.u, code, dst=target.u)
    cv2.rotate(source.v, code, dst=target.v)
    return replace(picture, i420=slot, width_px=width, height_px=height)


def copy_mirrored_to_slot(picture: Picture, sink: FrameSink) -> Picture:
    """Write a picture into the sink's slot with left and right exchanged. Samples are moved and never mixed."""
    slot = sink.slot(picture.width_px, picture.height_px)
    source, target = planes_of(picture.i420), planes_of(slot)
    width, height = picture.width_px, picture.height_px
    cv2.flip(picture.luma, 1, dst=target.y[:height, :width])
    _pad(target.y, width, height)
    cv2.flip(source.u, 1, dst=target.u)
    cv2.flip(source.v, 1, dst=target.v)
    return replace(picture, i420=slot)


def copy_field_to_slot(picture: Picture, field: Field, height_px: int, sink: FrameSink) -> Picture:
    """Write a field into the sink's slot at a frame's full height: its lines, and between two their mean."""
    slot = sink.slot(picture.width_px, height_px)
    source, target = planes_of(picture.i420), planes_of(slot)
    _interpolate(picture.luma, target.y[:height_px, : picture.width_px], field)
    _pad(target.y, picture.width_px, height_px)
    _interpolate(source.u, target.u, field)
    _interpolate(source.v, target.v, field)
    return replace(picture, i420=slot, height_px=height_px)


def copy_cropped_to_slot(
    picture: Picture, corner_xy_px: tuple[int, int], size_px: tuple[int, int], sink: FrameSink
) -> Picture:
    """Write the part of a picture from this upper left corner on, of this (width, height), into the sink's slot.

    From an odd column or row on, the chroma lies half of its own pixel aside.
    """
    (left, top), (width, height) = corner_xy_px, size_px
    slot = sink.slot(width, height)
    source, target = planes_of(picture.i420), planes_of(slot)
    target.y[:height, :width] = picture.luma[top : top + height, left : left + width]
    _pad(target.y, width, height)
    for plane, cropped in ((source.u, target.u), (source.v, target.v)):
        rows, columns = cropped.shape
        cropped[:] = plane[top // 2 : top // 2 + rows, left // 2 : left // 2 + columns]
    return replace(picture, i420=slot, width_px=width, height_px=height)


def copy_resized_to_slot(picture: Picture, width_px: int, height_px: int, sink: FrameSink) -> Picture:
    """Write a picture into the sink's slot at another size, interpolated linearly: for pixels that are not square."""
    slot = sink.slot(width_px, height_px)
    source, target = planes_of(picture.i420), planes_of(slot)
    for plane, resized in (
        (picture.luma, target.y[:height_px, :width_px]),
        (source.u, target.u),
        (source.v, target.v),
    ):
        resized[:] = cv2.resize(plane, (resized.shape[1], resized.shape[0]), interpolation=cv2.INTER_LINEAR)
    _pad(target.y, width_px, height_px)
    return replace(picture, i420=slot, width_px=width_px, height_px=height_px)


def _take_apart(packed: UInt8Array, luma_first: int, width: int, planes: Planes) -> None:
    """Packed 4:2:2 of (H, padded W, 2) uint8, luma in the byte `luma_first` of each pixel, to planes."""
    _copy_luma(packed[:, :width, luma_first], planes.y)
    for first, target in ((0, planes.u), (1, planes.v)):
        _copy_chroma(np.ascontiguousarray(packed[:, first::2, 1 - luma_first]), target)


def _plane(frame: av.VideoFrame, index: int, width: int, height: int) -> UInt8Array:
    """One plane of the decoder's buffer as a (height, width) view; its rows may be longer than that."""
    plane = frame.planes[index]
    buffer: Any = plane  # PyAV's planes speak the buffer protocol; their type stubs do not say so
    rows: UInt8Array = np.frombuffer(buffer, np.uint8, plane.line_size * height).reshape(height, plane.line_size)
    return rows[:, :width]


def _count(height: int, lines: slice) -> int:
    """How many lines `plane[lines]` has."""
    return len(range(height)[lines])


def _interpolate(source: UInt8Array, frame: UInt8Array, field: Field) -> None:
    """The lines of a field into their places in a frame, and the mean of two (rounded down) between them."""
    first, places = _FIRST_LINE[field], field_lines(field)
    lines = source[: _count(frame.shape[0], places)]
    frame[places] = lines
    above, below = lines[:-1], lines[1:]
    frame[first + 1 : first + 2 * len(above) : 2] = (above & below) + ((above ^ below) >> 1)
    frame[:first] = lines[:1]
    frame[first + 2 * len(lines) - 1 :] = lines[-1:]


def _copy_luma(source: UInt8Array, target: UInt8Array) -> None:
    """Copy, and repeat the last column and row where an odd size was padded."""
    height, width = source.shape
    target[:height, :width] = source
    _pad(target, width, height)


def _pad(luma: UInt8Array, width: int, height: int) -> None:
    """Repeat the last column and row of a picture of this size where the plane is larger by one."""
    if luma.shape[1] > width:
        luma[:height, width] = luma[:height, width - 1]
    if luma.shape[0] > height:
        luma[height] = luma[height - 1]


def _copy_chroma(source: UInt8Array, target: UInt8Array) -> None:
    if source.shape == target.shape:
        target[:] = source
    else:
        cv2.resize(source, (target.shape[1], target.shape[0]), dst=target, interpolation=cv2.INTER_AREA)


def _to_planar(frame: av.VideoFrame, matrix: ColorMatrix, full_range: bool) -> tuple[av.VideoFrame, ColorMatrix, bool]:
    """Convert to 8-bit planar by swscale. YUV keeps its matrix and range; RGB becomes limited-range BT.601.

    Chroma lines stay where they are (4:2:2 stays that), so that the fields of an interlaced frame are not mixed.
    """
    if frame.format.is_rgb or frame.format.has_palette:
        converted = frame.reformat(format="yuv420p", dst_colorspace=5, src_color_range=2, dst_color_range=1)
        return converted, "bt601", False
    code = next(code for code, name in _MATRIX.items() if name == matrix)
    range_code = 2 if full_range else 1
    converted = frame.reformat(
        format="yuv420p" if frame.format.chroma_height(2) == 1 else "yuv422p",
        src_colorspace=code,
        dst_colorspace=code,
        src_color_range=range_code,
        dst_color_range=range_code,
    )
    return converted, matrix, full_range
