"""Geometry of boxes and polygons in pixels: areas, overlaps and shares, each written once.

A box is (left, top, right, bottom) with right and bottom exclusive. The functions named in the singular take one `Box`
and compute with Python's floats; those in the plural take arrays of boxes, (..., 4), broadcast against one another, and
keep the arrays' dtype. A box whose sides are the wrong way round covers nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_inspect.messages import Box

Point = tuple[float, float]
_Float = TypeVar("_Float", bound=np.floating[Any])

_LEAST_AREA = 1e-9
"""A box without an area lies in none, so that it is not compared with zero."""

# --- one box -----------------------------------------------------------------------------------------------------


def as_box(corners: NDArray[np.floating[Any]]) -> Box:
    """The box of an array (4,)."""
    return float(corners[0]), float(corners[1]), float(corners[2]), float(corners[3])


def area(box: Box) -> float:
    """Area of a box."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def intersection(one: Box, other: Box) -> float:
    """Area that both boxes cover."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def iou(one: Box, other: Box) -> float:
    """Intersection over union, 0..1; 0 where neither has an area."""
    shared = intersection(one, other)
    union = area(one) + area(other) - shared
    return shared / union if union > 0 else 0.0


def share_inside(inner: Box, outer: Box) -> float:
    """Share of `inner` that lies in `outer`, 0..1; 0 where it has no area."""
    whole = area(inner)
    return intersection(inner, outer) / whole if whole > 0 else 0.0


def is_inside(inner: Box, outer: Box, least_share: float) -> bool:
    """Whether at least this share of `inner` lies in `outer`."""
    return intersection(inner, outer) >= least_share * max(area(inner), _LEAST_AREA)


def centre(box: Box) -> tuple[float, float]:
    """(x, y) of the middle."""
    left, top, right, bottom = box
    return (left + right) / 2, (top + bottom) / 2


def clip(box: Box, width_px: float, height_px: float) -> Box:
    """What of a box lies in a picture of this size."""
    left, top, right, bottom = box
    return max(left, 0.0), max(top, 0.0), min(right, width_px), min(bottom, height_px)


# --- many boxes --------------------------------------------------------------------------------------------------


def areas(boxes: NDArray[_Float]) -> NDArray[_Float]:
    """Areas (...) of boxes (..., 4)."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def intersections(one: NDArray[_Float], other: NDArray[_Float]) -> NDArray[_Float]:
    """Areas (...) that boxes (..., 4) of both arrays cover, broadcast: (N, 1, 4) with (M, 4) gives (N, M)."""
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    sides = np.maximum(sides, 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def ious(one: NDArray[_Float], other: NDArray[_Float]) -> NDArray[_Float]:
    """Intersections over unions, broadcast; 0 where neither has an area."""
    shared = intersections(one, other)
    return _divided(shared, areas(one) + areas(other) - shared)


def overlaps_of_smaller(one: NDArray[_Float], other: NDArray[_Float]) -> NDArray[_Float]:
    """Intersections over the smaller of the two areas, broadcast; 0 where that is zero."""
    return _divided(intersections(one, other), np.minimum(areas(one), areas(other)))


def centre_distances(one: NDArray[_Float], other: NDArray[_Float]) -> NDArray[_Float]:
    """Distances of the boxes' middles, broadcast."""
    offsets = (other[..., :2] + other[..., 2:] - one[..., :2] - one[..., 2:]) / 2
    return np.asarray(np.hypot(offsets[..., 0], offsets[..., 1]))


def gaps(one: NDArray[_Float], other: NDArray[_Float]) -> NDArray[_Float]:
    """Widest of the horizontal and the vertical gap between boxes, broadcast; 0 or less where they meet."""
    between = np.maximum(one[..., :2], other[..., :2]) - np.minimum(one[..., 2:], other[..., 2:])
    return np.asarray(between.max(axis=-1))


def _divided(shared: NDArray[_Float], by: NDArray[_Float]) -> NDArray[_Float]:
    return np.asarray(np.divide(shared, by, out=np.zeros_like(shared), where=by > 0))


# --- polygons ----------------------------------------------------------------------------------------------------


def polygon_area(corners: Sequence[Point]) -> float:
    """Area of a simple polygon, by the shoelace formula, whichever way round its corners are listed."""
    doubled = 0.0
    for index, (x, y) in enumerate(corners):
        before_x, before_y = corners[index - 1]
        doubled += before_x * y - x * before_y
    return abs(doubled) / 2


def share_in_polygon(box: Box, polygon: Sequence[Point]) -> float:
    """The share of the box, 0..1, that lies inside the polygon (which may be concave, in either direction)."""
    left, top, right, bottom = box
    whole = area(box)
    if whole <= 0:
        return 0.0
    # Clipping by one border after the other may leave seams along the borders; their area is zero.
    clipped: Sequence[Point] = polygon
    clipped = _clipped(clipped, axis=0, limit=left, keep_above=True)
    clipped = _clipped(clipped, axis=0, limit=right, keep_above=False)
    clipped = _clipped(clipped, axis=1, limit=top, keep_above=True)
    clipped = _clipped(clipped, axis=1, limit=bottom, keep_above=False)
    return min(1.0, polygon_area(clipped) / whole)


def _clipped(points: Sequence[Point], *, axis: int, limit: float, keep_above: bool) -> list[Point]:
    """The part of a polygon on one side of a line parallel to an axis."""
    kept: list[Point] = []
    for index, point in enumerate(points):
        previous = points[index - 1]
        here_in = (point[axis] >= limit) == keep_above or point[axis] == limit
        before_in = (previous[axis] >= limit) == keep_above or previous[axis] == limit
        if here_in != before_in:
            share = (limit - previous[axis]) / (point[axis] - previous[axis])
            other = previous[1 - axis] + share * (point[1 - axis] - previous[1 - axis])
            kept.append((limit, other) if axis == 0 else (other, limit))
        if here_in:
            kept.append(point)
    return kept
