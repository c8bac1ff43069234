"""How far the belt should have run, in millimetres, by whatever drives or measures it."""

from __future__ import annotations

from typing import Protocol


class Odometer(Protocol):
    """The reading that the belt is known by. A configured speed today; an encoder will be another class.

    What the pictures show of the belt's true way is not its business: see `track/belt_motion.py`.
    """

    def advance_to(self, pts_s: float) -> float:
        """The reading in mm at this time, which is not before the last one."""


class FixedSpeedOdometer:
    """Integrates a configured speed."""

    def __init__(self, speed_mm_s: float) -> None:
        self._speed_mm_s = speed_mm_s
        self._last_pts_s: float | None = None
        self._position_mm = 0.0

    def advance_to(self, pts_s: float) -> float:
        if self._last_pts_s is not None:
            self._position_mm += (pts_s - self._last_pts_s) * self._speed_mm_s
        self._last_pts_s = pts_s
        return self._position_mm
