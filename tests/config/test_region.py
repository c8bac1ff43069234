"""A polygon of interest is refused exactly where its outline meets itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.config.region import region_in_parts, region_in_px


def _circle(corners: int) -> list[tuple[float, float]]:
    """Corners of a convex polygon, in the order of its outline."""
    turns = [2 * math.pi * index / corners for index in range(corners)]
    return [(round(200 + 150 * math.cos(turn), 1), round(200 + 150 * math.sin(turn), 1)) for turn in turns]


@given(st.integers(3, 9).flatmap(lambda corners: st.permutations(list(range(corners)))), st.booleans())
def test_corners_of_a_convex_polygon_are_right_in_the_order_of_its_outline_alone(
    order: list[int], closed: bool
) -> None:
    count = len(order)
    outline = _circle(count)
    steps = {(after - before) % count for before, after in zip(order, [*order[1:], order[0]], strict=True)}
    corners = [outline[index] for index in order]
    corners += corners[:1] if closed else []
    parts = [(x / 400, y / 400) for x, y in corners]
    if steps in ({1}, {count - 1}):
        assert region_in_px(corners) == corners
        assert region_in_parts(parts) == parts
        return
    for refuse, polygon in ((region_in_px, corners), (region_in_parts, parts)):
        with pytest.raises(ValueError, match="crosses itself"):
            refuse(polygon)


def test_a_concave_polygon_is_fine() -> None:
    notched: list[tuple[float, float]] = [(0, 0), (90, 0), (90, 90), (45, 30), (0, 90)]
    assert region_in_px(notched) == notched
