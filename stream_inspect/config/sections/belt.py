"""`cameras[].belt`: the conveyor."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from stream_inspect.boxes import polygon_area
from stream_inspect.config.base import Model
from stream_inspect.config.region import Point, four_corners
from stream_inspect.rotation import Direction, direction_deg_of

_FASTEST = 3.0
"""The belt is believed to run at up to so many times its configured speed."""

Millimetres = Annotated[float, Field(gt=0, le=100_000)]


class BeltConfig(Model):
    """A conveyor under the camera. With it, tracks use belt coordinates and sizes are in mm.

    Its direction is a side of the picture, an angle, or the first side of a rectangle on the belt, which also gives
    scale and perspective. `stream-inspect belt` measures all of them, and the speed.
    """

    direction: Direction | None = Field(None, description="Direction in which parts move through the judged picture.")
    direction_deg: float | None = Field(
        None, ge=-360, le=360, description="The same as an angle, clockwise: 0 is to the right, 90 downwards."
    )
    corners_px: Annotated[list[Point], AfterValidator(four_corners)] | None = Field(
        None,
        min_length=4,
        max_length=4,
        description="For a camera that sees the belt at a slant: the corners, [x, y] in the judged picture, of a "
        "rectangle on the belt. Parts move from the first to the second; the others follow around it.",
    )
    corners_mm: tuple[Millimetres, Millimetres] | None = Field(
        None, description="Size of that rectangle: along the belt, and across it."
    )
    speed_mm_s: float = Field(gt=0, le=20000, description="Belt speed; within 10 % is good enough for tracking.")
    mm_per_px: float | None = Field(
        None, gt=0, le=100, description="Scale on the belt, in the judged picture. Required without `corners_px`."
    )
    offset_mm: float = Field(
        0.0, ge=0, le=1_000_000, description="Where the picture's upstream edge is on the line, for several cameras."
    )

    @property
    def fastest_mm_s(self) -> float:
        """What moves faster is not the belt."""
        return _FASTEST * self.speed_mm_s

    @property
    def angle_deg(self) -> float:
        """Direction in which parts move, clockwise from the right, from 0 to below 360; seen at a slant, in the middle
        of the rectangle."""
        if self.corners_px is not None:
            (ax, ay), (bx, by), (cx, cy), (dx, dy) = self.corners_px
            return math.degrees(math.atan2(by + cy - ay - dy, bx + cx - ax - dx)) % 360
        if self.direction is not None:
            return direction_deg_of(self.direction)
        assert self.direction_deg is not None
        return self.direction_deg % 360

    @property
    def scale_mm_per_px(self) -> float:
        """Millimetres a pixel; seen at a slant, as a mean over the rectangle."""
        if self.corners_px is None or self.corners_mm is None:
            assert self.mm_per_px is not None
            return self.mm_per_px
        along_mm, across_mm = self.corners_mm
        return math.sqrt(along_mm * across_mm / polygon_area(self.corners_px))

    @model_validator(mode="after")
    def _one_direction_and_one_scale(self) -> BeltConfig:
        ways = [key for key in ("direction", "direction_deg", "corners_px") if getattr(self, key) is not None]
        if not ways:
            raise ValueError(
                "needs a `direction`, an angle as `direction_deg`, or a rectangle as `corners_px`; "
                "`stream-inspect belt` measures it"
            )
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} both give the direction: keep one of them")
        if (self.corners_px is None) is not (self.corners_mm is None):
            raise ValueError("corners_px and corners_mm, the size of that rectangle, need each other")
        if self.corners_px is None and self.mm_per_px is None:
            raise ValueError("needs mm_per_px, the millimetres of a pixel; `stream-inspect belt` measures it")
        if self.corners_px is not None and self.mm_per_px is not None:
            raise ValueError("mm_per_px and corners_px both give the scale: keep one of them")
        return self
