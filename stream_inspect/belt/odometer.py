"""How far the belt has run, in millimetres."""

from __future__ import annotations

from typing import Protocol


class Odometer(Protocol):
    """How far the belt has run. A fixed speed today; an encoder will be another class."""

    correction: float
    """True speed over the speed it goes by, as the tracker has observed it: 1.04 for a belt that runs 4 % fast. To be
    set from outside; a change moves nothing that has been read."""

    def advance_to(self, pts_s: float) -> float:
        """The reading in mm at this time, which is not before the last one."""

    @property
    def speed_mm_s(self) -> float:
        """The present speed, as well as it is known."""


class FixedSpeedOdometer:
    """Integrates a configured speed times the correction."""

    def __init__(self, nominal_mm_s: float) -> None:
        self._nominal_mm_s = nominal_mm_s
        self._last_pts_s: float | None = None
        self._position_mm = 0.0
        self.correction = 1.0

    @property
    def speed_mm_s(self) -> float:
        return self._nominal_mm_s * self.correction

    def advance_to(self, pts_s: float) -> float:
        if self._last_pts_s is not None:
            self._position_mm += (pts_s - self._last_pts_s) * self.speed_mm_s
        self._last_pts_s = pts_s
        return self._position_mm
