"""Belt coordinates: where a thing lies on the belt, whatever the camera sees of it at the moment.

`s_mm` of a point is the odometer's reading when the point passes the picture's upstream edge. It stays the same while
the belt carries the point through the picture:

    s_mm = odometer(t) - d_mm(x)        d_mm: distance of the point from the upstream edge, along the belt

so a point that enters later has a larger s, and a gate `g_mm` below the upstream edge is reached at odometer s + g.
The other axis, across the belt, does not move. A belt that runs at an angle to the picture's sides has its upstream
edge at the picture's most upstream corner; seen at a slant, a homography maps the picture to the belt. See
docs/decisions/0004-belt-coordinates.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from stream_inspect.config.models import BeltConfig, CameraConfig
from stream_inspect.config.region import WHOLE, Point, in_px
from stream_inspect.messages import Box, Corners, Interval

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_FARTHEST = 0.25
"""A slanted view ends where the belt is four times as far away as in the middle of the rectangle that was configured:
a pixel there is sixteen of those long, and beyond the horizon there is no belt."""
_BEHIND = 1e-9
"""Nearness that what lies behind the camera, or beyond the horizon, is taken to have."""
_FACING = 0.17
"""A side of a box is cut by a side of the picture that it faces, within 80 degrees."""
_OUTWARDS = np.array([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]])
"""From the picture over its left, top, right and bottom side."""


@dataclass(frozen=True, slots=True)
class BeltBox:
    """A box on the belt: `along` in s_mm, `across` in mm from the picture's left or top edge.

    From the top one where the belt runs rather to a side, within 45 degrees, else from the left one.
    """

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
    """Pixels of one camera's picture <-> belt coordinates.

    A homography, an affine one unless the camera sees the belt at a slant (`belt.corners_px`).
    """

    def __init__(self, belt: BeltConfig, width_px: int, height_px: int) -> None:
        self.mm_per_px = belt.scale_mm_per_px
        self.width_px, self.height_px = width_px, height_px
        self.angle_deg = belt.angle_deg
        self.is_straight = belt.corners_px is None and self.angle_deg % 90 == 0
        """Whether the belt runs along one of the picture's sides."""
        to_mm = _flat(belt) if belt.corners_px is None else _slanted(belt)
        self.seen_px = _in_sight(to_mm, in_px(WHOLE, width_px, height_px))
        """Corners of what the picture shows of the belt: all of it, or up to where a slanted view ends."""
        places = _through(to_mm, np.array(self.seen_px))
        (start, near), (end, far) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
        self.length_mm: float = end - start
        self.width_mm: float = far - near
        """Size of what the picture shows, along the belt and across it."""
        self.to_mm: Floats = np.array([[1, 0, -start], [0, 1, -near], [0, 0, 1]]) @ to_mm
        """(3, 3), from pixels to mm from the upstream edge and across the belt."""
        to_px = np.linalg.inv(self.to_mm)
        self.to_px: Floats = np.asarray(to_px / (to_px[2] @ (self.length_mm / 2, self.width_mm / 2, 1)), np.float64)
        edge_px = max(2.0, 0.005 * self.length_mm / self.mm_per_px)
        self._edges_px = np.array([0, 0, width_px, height_px]) - edge_px
        """How far outwards a side of a box lies that is taken as cut: detectors do not place it better."""

    def along_mm(self, x_px: float, y_px: float) -> float:
        """Distance of a point of the picture from its upstream edge, along the belt."""
        return float(_through(self.to_mm, np.array((x_px, y_px)))[0])

    def velocity_px_s(self, speed_mm_s: float, at_px: Point | None = None) -> tuple[float, float]:
        """(x, y) velocity in the picture of what lies on the belt at this place; in the middle of what is seen."""
        if at_px is None:
            at_px = _point(_through(self.to_px, np.array((self.length_mm / 2, self.width_mm / 2))))
        return _point(self.velocities_px_s(speed_mm_s, np.array((at_px,)))[0])

    def belt_from_px(self, outline_px: Box | Corners, odometer_mm: float) -> BeltBox:
        """Where a box of the picture, or a shape with these corners, lies on the belt: what its corners span."""
        corners_px = np.array([_corners(outline_px)], np.float64)
        sides, cut = self._spanned(corners_px)
        low, high, near, far = sides[0].tolist()
        low_cut, high_cut, near_cut, far_cut = cut[0].tolist()
        return BeltBox(
            Interval(odometer_mm + low, odometer_mm + high, low_cut, high_cut), Interval(near, far, near_cut, far_cut)
        )

    def px_from_belt(self, placed: BeltBox, odometer_mm: float) -> Box:
        """Where a box on the belt lies in the picture; it may lie outside of it."""
        left, top, right, bottom = self.px_from_sides(_sides(placed), odometer_mm)[0].tolist()
        return left, top, right, bottom

    def corners_px(self, placed: BeltBox, odometer_mm: float) -> Corners:
        """Corners in the picture of a box on the belt."""
        return tuple(_point(corner) for corner in self._corners_px(_sides(placed), odometer_mm)[0])

    # --- many at once: boxes on the belt are (n, 4) low, high, near, far in mm ---------------------------------------

    def velocities_px_s(self, speed_mm_s: float, at_px: Floats) -> Floats:
        """(n, 2) (x, y) velocities in the picture of what lies on the belt at these (n, 2) places of it."""
        places = _through(self.to_mm, at_px)
        nearness = places @ self.to_px[2, :2] + self.to_px[2, 2]
        along = self.to_px[:2, 0] - _through(self.to_px, places) * self.to_px[2, 0]
        velocities: Floats = along / np.maximum(nearness, _BEHIND)[:, None] * speed_mm_s
        return velocities

    def sides_from_px(self, boxes_px: Floats) -> tuple[Floats, Bools]:
        """As `belt_from_px` with the odometer at 0, of (n, 4) boxes; and which of the sides are cut, (n, 4)."""
        return self._spanned(boxes_px[:, ((0, 1), (2, 1), (2, 3), (0, 3))])

    def px_from_sides(self, sides: Floats, odometer_mm: float) -> Floats:
        """As `px_from_belt`, of (n, 4) boxes."""
        corners = self._corners_px(sides, odometer_mm)
        return np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)

    def _spanned(self, corners_px: Floats) -> tuple[Floats, Bools]:
        """What the (n, k, 2) corners of n shapes span on the belt, with the odometer at 0; and which sides are cut."""
        places = _through(self.to_mm, corners_px)
        (start, near), (end, far) = places.min(axis=1).T, places.max(axis=1).T
        along, across = (start + end) / 2, (near + far) / 2
        middles = np.stack((end, across, start, across, along, near, along, far, along, across), axis=1)
        cut = self._cut(_through(self.to_px, middles.reshape(-1, 5, 2)))
        return np.stack((-end, -start, near, far), axis=1), cut

    def _corners_px(self, sides: Floats, odometer_mm: float) -> Floats:
        """(n, 4, 2) corners in the picture."""
        low, high, near, far = sides.T
        start, end = odometer_mm - high, odometer_mm - low
        corners = np.stack((start, near, end, near, end, far, start, far), axis=1)
        return _through(self.to_px, corners.reshape(-1, 4, 2))

    def _cut(self, middles_px: Floats) -> Bools:
        """(n, 4) whether the picture's edge hides what lies behind the four sides of n boxes.

        `middles_px` (n, 5, 2) are the middles of these sides, and that of the box.
        """
        sides = middles_px[:, :4]
        away = sides - middles_px[:, 4:]
        facing = away @ _OUTWARDS.T > _FACING * np.hypot(away[..., 0], away[..., 1])[..., None]
        cut: Bools = (facing & (sides @ _OUTWARDS.T >= self._edges_px)).any(axis=-1)
        return cut


Scale = float | BeltView | None
"""Millimetres a pixel, where they are known; a view where they differ over the picture."""


def scale_of(camera: CameraConfig, width_px: int, height_px: int) -> Scale:
    """The scale of a camera's pictures of this size."""
    if camera.belt is None or camera.belt.corners_px is None:
        return camera.scale_mm_per_px
    return BeltView(camera.belt, width_px, height_px)


def _corners(outline_px: Box | Corners) -> Corners:
    match outline_px:
        case (float() | int() as left, float() | int() as top, float() | int() as right, float() | int() as bottom):
            return ((left, top), (right, top), (right, bottom), (left, bottom))
    return outline_px


def _sides(placed: BeltBox) -> Floats:
    return np.array([(placed.along.low, placed.along.high, placed.across.low, placed.across.high)])


def _point(of: Floats) -> Point:
    x, y = of.tolist()
    return x, y


def _through(matrix: Floats, points: Floats) -> Floats:
    """(..., 2) points through a homography. What lies beyond its horizon goes as far as can be."""
    x, y = points[..., :1], points[..., 1:]
    places = matrix[:, 0] * x + matrix[:, 1] * y + matrix[:, 2]
    through: Floats = places[..., :2] / np.maximum(places[..., 2:], _BEHIND)
    return through


def _flat(belt: BeltConfig) -> Floats:
    """Pixels to mm along and across a belt that the camera sees from straight above."""
    angle = math.radians(belt.angle_deg)
    along_x, along_y = round(math.cos(angle), 12), round(math.sin(angle), 12)
    across_x, across_y = _from_top_or_left(-along_y, along_x)
    turned = np.array([[along_x, along_y, 0], [across_x, across_y, 0], [0, 0, 1]])
    return np.asarray(np.diag([belt.scale_mm_per_px, belt.scale_mm_per_px, 1]) @ turned, np.float64)


def _slanted(belt: BeltConfig) -> Floats:
    """As `_flat`, by the rectangle's corners; in its middle the third coordinate is 1, and less farther away."""
    assert belt.corners_px is not None
    assert belt.corners_mm is not None
    along, across = belt.corners_mm
    corners = np.array(belt.corners_px, np.float32)
    flat = np.array([[0, 0], [along, 0], [along, across], [0, across]], np.float32)
    to_mm = np.asarray(cv2.getPerspectiveTransform(corners, flat), np.float64)
    across_x, across_y = (corners[2] + corners[3] - corners[0] - corners[1]).tolist()
    if _from_top_or_left(across_x, across_y) != (across_x, across_y):
        to_mm[1] *= -1
    return np.asarray(to_mm / (to_mm[2] @ (*corners.mean(axis=0), 1)), np.float64)


def _from_top_or_left(x: float, y: float) -> tuple[float, float]:
    """This direction or the opposite one, whichever leads from the picture's top, or from its left, to the belt."""
    return (x, y) if (y if abs(y) >= abs(x) else x) > 0 else (-x, -y)


def _in_sight(to_mm: Floats, corners: Sequence[Point]) -> list[Point]:
    """The part of a polygon in which the view is not too slanted."""
    ends = [(x, y, float(to_mm[2] @ (x, y, 1)) - _FARTHEST) for x, y in corners]
    seen: list[Point] = []
    for (x, y, near), (next_x, next_y, next_near) in pairwise([*ends, ends[0]]):
        if near >= 0:
            seen.append((x, y))
        if (near >= 0) != (next_near >= 0):
            share = near / (near - next_near)
            seen.append((x + share * (next_x - x), y + share * (next_y - y)))
    return seen
