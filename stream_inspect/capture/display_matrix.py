"""The display matrix of a video: how a player must turn and mirror its pictures, as phones write it."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import av

from stream_inspect.capture.side_data import side_data_of
from stream_inspect.rotation import Rotation

_NINE_INTEGERS = struct.Struct("=9i")
_TURNS: dict[tuple[int, int, int, int], Rotation] = {
    (1, 0, 0, 1): 0,
    (0, 1, -1, 0): 90,
    (-1, 0, 0, -1): 180,
    (0, -1, 1, 0): 270,
}
"""Clockwise turn by the matrix's upper left 2x2, row by row, in units of its greatest value."""
_SLANTED = 0.02
"""Of the greatest value: smaller ones are rounding. One degree is 0.017."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture becomes upright: first mirrored (left and right exchanged), then turned clockwise."""

    mirrored: bool = False
    rotate_deg: Rotation = 0


UPRIGHT = Orientation()


def orientation_of(frame: av.VideoFrame) -> Orientation | None:
    """What the display matrix of a decoded frame says; `UPRIGHT` where there is none.

    None where it says anything but one of the eight orientations that move pixels without mixing them.
    """
    side_data = side_data_of(frame)
    if "DISPLAYMATRIX" not in side_data:
        return UPRIGHT
    a, b, _, c, d, *_ = _NINE_INTEGERS.unpack(bytes(side_data["DISPLAYMATRIX"]))
    greatest = max(abs(a), abs(b), abs(c), abs(d))
    if not greatest:
        return UPRIGHT  # an empty matrix, which some recorders write: players show the picture as it is
    units = [value / greatest for value in (a, b, c, d)]
    if any(min(abs(unit), abs(abs(unit) - 1)) > _SLANTED for unit in units):
        return None
    first, second, third, fourth = (round(unit) for unit in units)
    mirrored = first * fourth - second * third < 0
    if mirrored:  # (x, y) goes to (a x + c y, b x + d y): mirrored first, x has the other sign
        first, second = -first, -second
    turn = _TURNS.get((first, second, third, fourth))
    return None if turn is None else Orientation(mirrored, turn)


def angle_of(frame: av.VideoFrame) -> float:
    """By how many degrees clockwise its display matrix turns a frame's picture, for a message."""
    side_data = side_data_of(frame)
    a, b, *_ = _NINE_INTEGERS.unpack(bytes(side_data["DISPLAYMATRIX"]))
    return math.degrees(math.atan2(b, a)) % 360
