"""`cameras[].belt`: the conveyor."""

from __future__ import annotations

from pydantic import Field

from stream_inspect.config.base import Model
from stream_inspect.rotation import Direction

_FASTEST = 3.0
"""The belt is believed to run at up to so many times its configured speed."""


class BeltConfig(Model):
    """A conveyor under the camera. With it, tracks use belt coordinates and sizes are in mm."""

    direction: Direction = Field(description="Direction in which parts move through the judged picture.")
    speed_mm_s: float = Field(gt=0, le=20000, description="Belt speed; within 10 % is good enough for tracking.")
    mm_per_px: float = Field(gt=0, le=100, description="Scale on the belt, in the judged picture.")
    offset_mm: float = Field(
        0.0, ge=0, le=1_000_000, description="Where the picture's upstream edge is on the line, for several cameras."
    )

    @property
    def fastest_mm_s(self) -> float:
        """What moves faster is not the belt."""
        return _FASTEST * self.speed_mm_s
