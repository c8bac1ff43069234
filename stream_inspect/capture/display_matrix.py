"""The display matrix of a video: how a player must turn its pictures, which phones write instead of turning them."""

from __future__ import annotations

import struct
from typing import Any

import av

from stream_inspect.rotation import Rotation

_NINE_INTEGERS = struct.Struct("=9i")
_TURNS: dict[tuple[int, ...], Rotation] = {(0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}
"""Clockwise turn by the matrix's upper left 2x2, row by row, in units of its greatest value."""


def display_rotation(frame: av.VideoFrame) -> Rotation:
    """How far a decoded frame must be turned clockwise to be upright.

    0 where there is no matrix, and where it mirrors or slants the picture: such a picture is taken as it is stored.
    """
    side_data: Any = frame.side_data  # PyAV's type stubs take it for something else
    if "DISPLAYMATRIX" not in side_data:
        return 0
    a, b, _, c, d, *_ = _NINE_INTEGERS.unpack(bytes(side_data["DISPLAYMATRIX"]))
    greatest = max(abs(a), abs(b), abs(c), abs(d)) or 1
    return _TURNS.get(tuple(round(value / greatest) for value in (a, b, c, d)), 0)
