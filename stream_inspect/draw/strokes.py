"""Lines in pictures, placed to an eighth of a pixel: marks glide instead of jumping from pixel to pixel."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_inspect.messages import Box
from stream_inspect.picture import UInt8Array

Colour = tuple[int, int, int]
"""Blue, green, red."""
_FIXED_BITS = 3
"""OpenCV's fixed-point coordinates."""


def rectangle(picture_bgr: UInt8Array, box_xyxy_px: Box, colour: Colour, thickness_px: int) -> None:
    """Draw the outline of a box, in place."""
    left, top, right, bottom = box_xyxy_px
    corners = _fixed(((left, top), (right, bottom)))
    first, second = (int(corners[0, 0]), int(corners[0, 1])), (int(corners[1, 0]), int(corners[1, 1]))
    cv2.rectangle(picture_bgr, first, second, colour, thickness_px, cv2.LINE_8, _FIXED_BITS)


def ring(picture_bgr: UInt8Array, points: Sequence[tuple[float, float]], colour: Colour, thickness_px: int) -> None:
    """Draw a closed line through these points, in place."""
    cv2.polylines(picture_bgr, [_fixed(points)], True, colour, thickness_px, cv2.LINE_AA, _FIXED_BITS)


def corners(picture_bgr: UInt8Array, box_xyxy_px: Box, colour: Colour, thickness_px: int, length_px: float) -> None:
    """Draw the four corners of a box, in place, each with two arms of this length."""
    left, top, right, bottom = box_xyxy_px
    across, down = min(length_px, (right - left) / 2), min(length_px, (bottom - top) / 2)
    for x, arm_x in ((left, across), (right, -across)):
        for y, arm_y in ((top, down), (bottom, -down)):
            points = _fixed(((x + arm_x, y), (x, y), (x, y + arm_y)))
            cv2.polylines(picture_bgr, [points], False, colour, thickness_px, cv2.LINE_8, _FIXED_BITS)


def _fixed(points: Sequence[tuple[float, float]]) -> NDArray[np.int32]:
    """Fixed-point coordinates. Ours start at the picture's corner, OpenCV's at the centre of the first pixel."""
    return np.round((np.asarray(points, dtype=np.float64) - 0.5) * (1 << _FIXED_BITS)).astype(np.int32)
