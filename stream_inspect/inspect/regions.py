"""The region of interest: a polygon in the judged picture, outside which nothing counts."""

from __future__ import annotations

from collections.abc import Sequence

from stream_inspect.boxes import area, polygon_area
from stream_inspect.messages import Box

MIN_SHARE = 0.5
"""A detection counts when at least this share of its box lies in the region."""

_Points = Sequence[tuple[float, float]]


def share_inside(box_xyxy_px: Box, region_px: _Points) -> float:
    """The share of the box, 0..1, that lies inside the polygon (which may be concave, in either direction)."""
    left, top, right, bottom = box_xyxy_px
    whole = area(box_xyxy_px)
    if whole <= 0:
        return 0.0
    # Clipping by one border after the other may leave seams along the borders; their area is zero.
    clipped: _Points = region_px
    clipped = _clip(clipped, axis=0, limit=left, keep_above=True)
    clipped = _clip(clipped, axis=0, limit=right, keep_above=False)
    clipped = _clip(clipped, axis=1, limit=top, keep_above=True)
    clipped = _clip(clipped, axis=1, limit=bottom, keep_above=False)
    return min(1.0, polygon_area(clipped) / whole)


def _clip(points: _Points, *, axis: int, limit: float, keep_above: bool) -> list[tuple[float, float]]:
    """The part of a polygon on one side of a line parallel to an axis."""
    kept: list[tuple[float, float]] = []
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
