"""Quarter turns, in degrees clockwise: what they do to a picture's size, to boxes, and to the way that things move.

Turned by 90, a picture's top edge becomes its right edge (`numpy.rot90` with k=-1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast

Rotation = Literal[0, 90, 180, 270]
Direction = Literal["left_to_right", "right_to_left", "top_to_bottom", "bottom_to_top"]

_CLOCKWISE: tuple[Direction, ...] = ("left_to_right", "top_to_bottom", "right_to_left", "bottom_to_top")
"""Each direction is the one before, turned by 90."""


_COMMENT = re.compile(r"stream_inspect rotate_deg=(90|180|270)")


def combined(*turns_deg: int) -> Rotation:
    """One turn for several; a negative one turns back."""
    return cast(Rotation, sum(turns_deg) % 360)


def file_metadata(rotate_deg: Rotation) -> dict[str, str]:
    """The metadata of a video file of ours: how far its pictures have been turned already."""
    return {"comment": f"stream_inspect rotate_deg={rotate_deg}"} if rotate_deg else {}


def rotation_of_file(metadata: Mapping[str, str]) -> Rotation:
    """What `file_metadata` has put there; 0 for every other file."""
    comments = (text for key, text in metadata.items() if key.lower() == "comment")  # Matroska writes keys in capitals
    found = next((match for text in comments if (match := _COMMENT.fullmatch(text))), None)
    return combined(int(found[1])) if found else 0


def rotated_size(width_px: int, height_px: int, rotate_deg: Rotation) -> tuple[int, int]:
    """(width, height) of a picture of this size once it is turned."""
    return (height_px, width_px) if rotate_deg in (90, 270) else (width_px, height_px)


def rotated_box(
    box_xyxy_px: tuple[float, float, float, float], width_px: int, height_px: int, rotate_deg: Rotation
) -> tuple[float, float, float, float]:
    """Where a box of a picture of this size lies once the picture is turned."""
    left, top, right, bottom = box_xyxy_px
    match rotate_deg:
        case 90:
            return height_px - bottom, left, height_px - top, right
        case 180:
            return width_px - right, height_px - bottom, width_px - left, height_px - top
        case 270:
            return top, width_px - right, bottom, width_px - left
    return box_xyxy_px


def rotated_direction(direction: Direction, rotate_deg: Rotation) -> Direction:
    """Which way something moves through the turned picture that moves so through the picture."""
    return _CLOCKWISE[(_CLOCKWISE.index(direction) + rotate_deg // 90) % 4]


def direction_deg_of(direction: Direction) -> float:
    """The direction as an angle, clockwise: 0 is to the right."""
    return 90.0 * _CLOCKWISE.index(direction)


def direction_at(angle_deg: float) -> Direction | None:
    """The direction that is this angle exactly, if any."""
    quarters, rest = divmod(angle_deg % 360, 90)
    return None if rest else _CLOCKWISE[int(quarters)]


def rotated_horizontals(rotate_deg: Rotation) -> tuple[Direction, Direction]:
    """Which way something moves through the turned picture that moves to the right in the picture, and to the left."""
    return rotated_direction("left_to_right", rotate_deg), rotated_direction("right_to_left", rotate_deg)
