"""Whether a polygon of interest encloses anything: a wrong corner is found before it hides half the picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from stream_inspect.boxes import polygon_area

Point = tuple[float, float]
Edge = tuple[Point, Point]

WHOLE: tuple[Point, ...] = ((0, 0), (1, 0), (1, 1), (0, 1))
"""All of the picture, in parts of one."""
SMALLEST_PX2 = 16.0
"""A smaller region holds no defect: its corners are in another unit, or one of them is mistyped."""


def region_in_px(corners: list[Point]) -> list[Point]:
    """The corners, [x, y] in px, unchanged. Raises ValueError for anything but a simple polygon of some size."""
    if all(0 <= value <= 1 for corner in corners for value in corner):
        raise ValueError(
            "these are parts of the picture (0 to 1), not pixels: write them as `region`, or pixels as `region_px`"
        )
    if any(x < 0 or y < 0 for x, y in corners):
        raise ValueError("a corner has a negative coordinate: [x, y] count from the picture's top left")
    _simple(corners)
    if (area_px2 := polygon_area(corners)) < SMALLEST_PX2:
        raise ValueError(f"encloses only {area_px2:g} px²: nothing is found in it; check its corners")
    return corners


def region_in_parts(corners: list[Point]) -> list[Point]:
    """The corners, [x, y] in parts of one, unchanged. Raises ValueError for anything but a simple polygon."""
    for x, y in corners:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(
                f"corner [{x:g}, {y:g}] is not a part of the picture, from 0 to 1: write pixels as `region_px`"
            )
    _simple(corners)
    return corners


def four_corners(corners: list[Point]) -> list[Point]:
    """The corners of a rectangle seen at a slant, unchanged. Raises ValueError for what no camera shows of one."""
    turns = [_turn(corners[i - 2], corners[i - 1], corners[i]) for i in range(4)]
    if not (min(turns) > 0 or max(turns) < 0) or polygon_area(corners) < SMALLEST_PX2:
        raise ValueError("is not what a camera sees of a rectangle: list its four corners in the order of its outline")
    return corners


def in_px(corners: Sequence[Point], width_px: int, height_px: int) -> list[Point]:
    """Corners in parts of one as pixels of a picture of this size."""
    return [(x * width_px, y * height_px) for x, y in corners]


def outside(corners: Sequence[Point], width_px: int, height_px: int) -> list[Point]:
    """The corners, in px, that lie outside of a picture of this size."""
    return [(x, y) for x, y in corners if x > width_px or y > height_px]


def _simple(corners: list[Point]) -> None:
    if len(corners) < 3:
        raise ValueError("a polygon needs at least three corners")
    open_corners = corners[:-1] if corners[0] == corners[-1] else corners
    if len(set(open_corners)) != len(open_corners):
        raise ValueError("the same corner is listed twice")
    if all(_turn(open_corners[0], open_corners[1], corner) == 0 for corner in open_corners):
        raise ValueError("the polygon has no area (its corners are collinear)")
    edges = list(pairwise([*open_corners, open_corners[0]]))
    for i, first in enumerate(edges):
        for j, second in enumerate(edges[i + 1 :], i + 1):
            neighbours = j == i + 1 or (i, j) == (0, len(edges) - 1)
            if _overlap(first, second) if neighbours else _meet(first, second):
                raise ValueError(
                    f"the polygon crosses itself: the edges {_text(first)} and {_text(second)} meet; "
                    "list its corners in the order of its outline"
                )


def _meet(first: Edge, second: Edge) -> bool:
    """Whether two edges have a point in common."""
    (a, b), (c, d) = first, second
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((turns[0], first, c), (turns[1], first, d), (turns[2], second, a), (turns[3], second, b))
    return any(turn == 0 and _within(edge, corner) for turn, edge, corner in ends)


def _overlap(first: Edge, second: Edge) -> bool:
    """Whether two edges with a corner in common run back over each other."""
    common = next(corner for corner in first if corner in second)
    (one,), (other,) = ([corner for corner in edge if corner != common] for edge in (first, second))
    return _turn(common, one, other) == 0 and (_within((common, one), other) or _within((common, other), one))


def _turn(a: Point, b: Point, c: Point) -> float:
    """Which side of the line from a to b the point c lies on; 0 on it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _within(edge: Edge, corner: Point) -> bool:
    """Whether a point of the edge's line lies between its ends."""
    return all(min(a, b) <= value <= max(a, b) for a, b, value in zip(*edge, corner, strict=True))


def _text(edge: Edge) -> str:
    return "-".join(f"[{x:g}, {y:g}]" for x, y in edge)
