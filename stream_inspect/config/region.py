"""Whether a polygon of interest encloses anything: a wrong corner is found before it hides half the picture."""

from __future__ import annotations

from itertools import pairwise

from stream_inspect.boxes import polygon_area

Point = tuple[float, float]


def sane_region(corners: list[Point]) -> list[Point]:
    """The corners, [x, y] in px, unchanged. Raises ValueError for anything but a simple polygon."""
    if len(corners) < 3:
        raise ValueError("a polygon needs at least three corners")
    if any(x < 0 or y < 0 for x, y in corners):
        raise ValueError("a corner has a negative coordinate: [x, y] count from the picture's top left")
    open_corners = corners[:-1] if corners[0] == corners[-1] else corners
    if len(set(open_corners)) != len(open_corners):
        raise ValueError("the same corner is listed twice")
    if polygon_area(open_corners) < 1.0:
        raise ValueError("the polygon has no area (its corners are collinear)")
    edges = list(pairwise([*open_corners, open_corners[0]]))
    for i, first in enumerate(edges):
        for j, second in enumerate(edges[i + 2 :], i + 2):
            if (i, j) != (0, len(edges) - 1) and _cross(first, second):
                raise ValueError(f"the edges after corner {i} and after corner {j} cross: list corners going round")
    return corners


def _cross(first: tuple[Point, Point], second: tuple[Point, Point]) -> bool:
    def side(a: Point, b: Point, c: Point) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    (a, b), (c, d) = first, second
    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
