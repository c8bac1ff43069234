"""Quarter turns, in degrees clockwise: what they do to a picture's size.

Turned by 90, a picture's top edge becomes its right edge (`numpy.rot90` with k=-1).
"""

from __future__ import annotations

from typing import Literal

Rotation = Literal[0, 90, 180, 270]


def rotated_size(width_px: int, height_px: int, rotate_deg: Rotation) -> tuple[int, int]:
    """(width, height) of a picture of this size once it is turned."""
    return (height_px, width_px) if rotate_deg in (90, 270) else (width_px, height_px)
