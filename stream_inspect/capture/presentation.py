"""From the pictures as a container stores them to the pictures that it means.

A player shows more than the decoder's output: of interlaced pictures one moment at a time, without the margins that a
container crops, pixels that are not square at their true width, and lying or mirrored pictures upright. Here the same
is done to the planes, in that order. Where a stream says nothing of the kind, a picture is copied once, straight into
the slot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial

import av
from av.video.stream import VideoStream

from stream_inspect.capture.bit_depth import BitDepth
from stream_inspect.capture.camera import FrameSink, PictureNotes
from stream_inspect.capture.deep_video import is_deep, values
from stream_inspect.capture.display_matrix import UPRIGHT, Orientation, angle_of, orientation_of
from stream_inspect.capture.field_order import FieldOrder
from stream_inspect.capture.memory_sink import ScratchArray
from stream_inspect.capture.planes import (
    LIMITED_RANGE,
    Field,
    copy_bgr_to_slot,
    copy_cropped_to_slot,
    copy_field_to_slot,
    copy_gray_to_slot,
    copy_mirrored_to_slot,
    copy_resized_to_slot,
    copy_rotated_to_slot,
    copy_to_slot,
    field_lines,
)
from stream_inspect.capture.side_data import side_data_of
from stream_inspect.capture.stated_crop import NO_CROP, Crop
from stream_inspect.picture import Picture
from stream_inspect.rotation import Rotation, combined, rotated_size

_SQUARE = Fraction(1, 100)
"""A pixel whose sides differ by less than this is square: encoders write 4319:4320 for sizes that they rounded."""
_MOST_ASPECT = 4
"""Wider or narrower pixels than this (MJPEG cameras put anything into their density) are not believed."""

_Step = Callable[[Picture, FrameSink], Picture]


class Presentation:
    """Writes a stream's decoded frames into slots as its container means them.

    `crop` is what the container states (`stated_crop`). `made_with_deg` is how far the pictures of a file of ours were
    turned already (`rotation.rotation_of_file`): they are turned back by that, so that both give the sensor picture.
    `depth` is what is known of values of 16 bits.
    """

    def __init__(
        self, stream: VideoStream, crop: Crop = NO_CROP, made_with_deg: Rotation = 0, depth: BitDepth | None = None
    ) -> None:
        self._stream = stream
        self._crop = crop
        self._made_with_deg = made_with_deg
        self._depth = depth or BitDepth()
        self._field_order = FieldOrder()
        self._scratch = (ScratchArray(), ScratchArray())

    def size_px(self, frame: av.VideoFrame) -> tuple[int, int]:
        """(width, height) of the picture that `copy` gives."""
        return rotated_size(*self._square_size(frame), self._orientation(frame).rotate_deg)

    def copy(self, frame: av.VideoFrame, sink: FrameSink) -> Picture:
        """The sensor picture of a decoded frame, written into the sink's slot."""
        field = self._field(frame)
        steps = self._steps(frame, field)
        sinks = [self._scratch[number % 2] for number in range(len(steps))] + [sink]
        picture = self._stored(frame, field, sinks[0])
        for step, target in zip(steps, sinks[1:], strict=True):
            picture = step(picture, target)
        return picture

    def notes(self, frame: av.VideoFrame) -> PictureNotes:
        """What the container says of this frame's shape: what of it is honoured, and what is not."""
        honoured, ignored = [], []
        if (field := self._field(frame)) is not None:
            honoured.append(
                f"interlaced, {field} field first: of each picture one field, the earlier, is judged, at full height"
            )
        elif frame.interlaced_frame:
            ignored.append(
                "interlaced H.265: each picture is one field of half the height; set the camera to progressive"
            )
        cropped = self._cropped_size(frame)
        if cropped != (frame.width, frame.height):
            honoured.append(f"cropped from {frame.width}x{frame.height} to {_by(cropped)} px")
        elif self._crop != NO_CROP:
            ignored.append(f"a crop that leaves nothing of {frame.width}x{frame.height} px")
        aspect = self._stated_aspect()
        if not 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT:
            ignored.append(f"pixels of {_ratio(aspect)} are taken as square")
        square = self._square_size(frame)
        if square != cropped:
            honoured.append(f"pixels of {_ratio(aspect)} made square: {_by(cropped)} to {_by(square)} px")
        orientation = orientation_of(frame)
        if orientation is None:
            angle = f"{angle_of(frame):.0f} degrees"
            ignored.append(f"a display matrix that is not a quarter turn ({angle}): pictures are taken as stored")
        elif orientation != UPRIGHT:
            honoured.append(f"display matrix: {_described(orientation)}")
        if is_deep(frame.format.name):
            self._depth.learn(values(frame))
            depth = self._depth.notes()
            honoured += depth.honoured
            ignored += depth.ignored
        side_data = side_data_of(frame)
        if "STEREO3D" in side_data:
            ignored.append("stereo: both views of a pair are judged as one picture")
        if "SPHERICAL" in side_data:
            ignored.append("a panorama: its projection is judged as it is stored")
        return PictureNotes(tuple(honoured), tuple(ignored))

    def _stored(self, frame: av.VideoFrame, field: Field | None, sink: FrameSink) -> Picture:
        """The picture as it is stored, or this field of it."""
        if not is_deep(frame.format.name):
            return copy_to_slot(frame, sink, field=field)
        picture = self._depth.to_eight_bits(values(frame)[field_lines(field)])
        if picture.ndim == 3:
            return copy_bgr_to_slot(picture, sink)
        return replace(copy_gray_to_slot(picture, sink), full_range=frame.color_range != LIMITED_RANGE)

    def _steps(self, frame: av.VideoFrame, field: Field | None) -> list[_Step]:
        steps: list[_Step] = []
        if field is not None:
            steps.append(partial(_at_full_height, field, frame.height))
        cropped, square = self._cropped_size(frame), self._square_size(frame)
        if cropped != (frame.width, frame.height):
            steps.append(partial(_cropped, self._crop, cropped))
        if square != cropped:
            steps.append(partial(_resized, square))
        orientation = self._orientation(frame)
        if orientation.mirrored:
            steps.append(copy_mirrored_to_slot)
        if orientation.rotate_deg:
            steps.append(partial(_turned, orientation.rotate_deg))
        return steps

    def _field(self, frame: av.VideoFrame) -> Field | None:
        """The earlier field of an interlaced frame: its moment is that of the frame's pts.

        H.265 has no pictures of two fields: FFmpeg's decoder marks single fields as interlaced.
        """
        if not frame.interlaced_frame or self._stream.codec_context.name == "hevc":
            return None
        return self._field_order.first_of(frame)

    def _orientation(self, frame: av.VideoFrame) -> Orientation:
        stated = orientation_of(frame) or UPRIGHT
        return Orientation(stated.mirrored, combined(stated.rotate_deg, -self._made_with_deg))

    def _cropped_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """The size without the margins; that of the frame where they would leave nothing of it."""
        crop = self._crop
        width_px, height_px = frame.width - crop.left_px - crop.right_px, frame.height - crop.top_px - crop.bottom_px
        return (width_px, height_px) if width_px > 0 and height_px > 0 else (frame.width, frame.height)

    def _square_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """The size with square pixels, by the side that grows: no detail is lost."""
        width_px, height_px = self._cropped_size(frame)
        aspect = self._stated_aspect()
        if abs(aspect - 1) < _SQUARE or not 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT:
            return width_px, height_px
        if aspect > 1:
            return round(width_px * aspect), height_px
        return width_px, round(height_px / aspect)

    def _stated_aspect(self) -> Fraction:
        """Width of a pixel by its height; 1 where nothing is stated. A container's word counts before the codec's."""
        stated = self._stream.sample_aspect_ratio or self._stream.codec_context.sample_aspect_ratio
        return Fraction(stated) if stated else Fraction(1)


def _at_full_height(field: Field, height_px: int, picture: Picture, sink: FrameSink) -> Picture:
    return copy_field_to_slot(picture, field, height_px, sink)


def _cropped(crop: Crop, size_px: tuple[int, int], picture: Picture, sink: FrameSink) -> Picture:
    return copy_cropped_to_slot(picture, (crop.left_px, crop.top_px), size_px, sink)


def _resized(size_px: tuple[int, int], picture: Picture, sink: FrameSink) -> Picture:
    return copy_resized_to_slot(picture, *size_px, sink)


def _turned(rotate_deg: Rotation, picture: Picture, sink: FrameSink) -> Picture:
    return copy_rotated_to_slot(picture, rotate_deg, sink)


def _described(orientation: Orientation) -> str:
    turned = f"turned by {orientation.rotate_deg} degrees" if orientation.rotate_deg else ""
    return " and ".join(part for part in ("mirrored" if orientation.mirrored else "", turned) if part)


def _by(size_px: tuple[int, int]) -> str:
    return f"{size_px[0]}x{size_px[1]}"


def _ratio(aspect: Fraction) -> str:
    return f"{aspect.numerator}:{aspect.denominator}"
