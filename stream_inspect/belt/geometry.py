"""Belt coordinates: where a thing lies on the belt, whatever the camera sees of it at the moment.

`s_mm` of a point is the odometer's reading when the point passes the picture's upstream edge. It stays the same while
the belt carries the point through the picture:

    s_mm = odometer(t) - d_mm(x)        d_mm: distance of the point from the upstream edge, along the belt

so a point that enters later has a larger s, and a gate `g_mm` below the upstream edge is reached at odometer s + g.
The other axis, across the belt, does not move. See docs/decisions/0004-belt-coordinates.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_inspect.config.models import BeltConfig
from stream_inspect.messages import Box, Interval

_INWARDS = np.array((1.0, -1.0, 1.0, -1.0))


@dataclass(frozen=True, slots=True)
class BeltBox:
    """A box on the belt: `along` in s_mm, `across` in mm from the picture's left or top edge."""

    along: Interval
    across: Interval

    @property
    def area_mm2(self) -> float:
        return self.along.length * self.across.length

    def shifted(self, by_mm: float) -> BeltBox:
        """The same box, farther along the belt."""
        return BeltBox(self.along.shifted(by_mm), self.across)

    def shared_mm2(self, other: BeltBox) -> float:
        """Area that both cover."""
        return self.along.shared(other.along) * self.across.shared(other.across)


class BeltView:
    """Pixels of one camera's picture <-> belt coordinates, for a belt that runs along one of the picture's sides."""

    def __init__(self, belt: BeltConfig, width_px: int, height_px: int) -> None:
        self.mm_per_px = belt.mm_per_px
        self._vertical = belt.direction in ("top_to_bottom", "bottom_to_top")
        self._reversed = belt.direction in ("right_to_left", "bottom_to_top")
        self._along_px, self._across_px = (height_px, width_px) if self._vertical else (width_px, height_px)
        self._edge_px = max(2.0, 0.005 * self._along_px)
        """A side this near to the picture's edge is taken as cut: detectors do not place it better."""

    @property
    def length_mm(self) -> float:
        """The picture's size along the belt."""
        return self._along_px * self.mm_per_px

    @property
    def width_mm(self) -> float:
        """The picture's size across the belt."""
        return self._across_px * self.mm_per_px

    def along_mm(self, x_px: float, y_px: float) -> float:
        """Distance of a point of the picture from its upstream edge, along the belt."""
        start = y_px if self._vertical else x_px
        return (self._along_px - start if self._reversed else start) * self.mm_per_px

    def velocity_px_s(self, speed_mm_s: float) -> tuple[float, float]:
        """(x, y) velocity in the picture of what lies on the belt."""
        along = speed_mm_s / self.mm_per_px * (-1.0 if self._reversed else 1.0)
        return (0.0, along) if self._vertical else (along, 0.0)

    def belt_from_px(self, box_xyxy_px: Box, odometer_mm: float) -> BeltBox:
        """Where a box of the picture lies on the belt."""
        left, top, right, bottom = box_xyxy_px
        start, end, near, far = (top, bottom, left, right) if self._vertical else (left, right, top, bottom)
        if self._reversed:
            start, end = self._along_px - end, self._along_px - start
        along = Interval(
            odometer_mm - end * self.mm_per_px,
            odometer_mm - start * self.mm_per_px,
            low_cut=end >= self._along_px - self._edge_px,
            high_cut=start <= self._edge_px,
        )
        across = Interval(
            near * self.mm_per_px,
            far * self.mm_per_px,
            low_cut=near <= self._edge_px,
            high_cut=far >= self._across_px - self._edge_px,
        )
        return BeltBox(along, across)

    def px_from_belt(self, placed: BeltBox, odometer_mm: float) -> Box:
        """Where a box on the belt lies in the picture; it may lie outside of it."""
        start = (odometer_mm - placed.along.high) / self.mm_per_px
        end = (odometer_mm - placed.along.low) / self.mm_per_px
        if self._reversed:
            start, end = self._along_px - end, self._along_px - start
        near, far = placed.across.low / self.mm_per_px, placed.across.high / self.mm_per_px
        return (near, start, far, end) if self._vertical else (start, near, end, far)

    # --- many at once: boxes on the belt are (n, 4) low, high, near, far in mm ---------------------------------------

    def sides_from_px(self, boxes_px: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """As `belt_from_px` with the odometer at 0, of (n, 4) boxes; and which of the sides are cut, (n, 4)."""
        left, top, right, bottom = boxes_px.T
        start, end, near, far = (top, bottom, left, right) if self._vertical else (left, right, top, bottom)
        if self._reversed:
            start, end = self._along_px - end, self._along_px - start
        sides = np.empty(boxes_px.shape)
        sides[:, 0], sides[:, 1], sides[:, 2], sides[:, 3] = -end, -start, near, far
        limits = (self._edge_px - self._along_px, self._edge_px, self._edge_px, self._edge_px - self._across_px)
        cut = sides * _INWARDS <= limits
        return sides * self.mm_per_px, cut

    def px_from_sides(self, sides: NDArray[np.float64], odometer_mm: float) -> NDArray[np.float64]:
        """As `px_from_belt`, of (n, 4) boxes."""
        low, high, near, far = sides.T / self.mm_per_px
        odometer_px = odometer_mm / self.mm_per_px
        start, end = odometer_px - high, odometer_px - low
        if self._reversed:
            start, end = self._along_px - end, self._along_px - start
        boxes_px = np.empty(sides.shape)
        order = (1, 3, 0, 2) if self._vertical else (0, 2, 1, 3)
        for column, values in zip(order, (start, end, near, far), strict=True):
            boxes_px[:, column] = values
        return boxes_px
