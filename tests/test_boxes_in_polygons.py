"""The share of a box that lies in a polygon, as in a region of interest."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.boxes import share_in_polygon

SQUARE = [(10.0, 10.0), (50.0, 10.0), (50.0, 50.0), (10.0, 50.0)]
L_SHAPE = [(0.0, 0.0), (60.0, 0.0), (60.0, 20.0), (20.0, 20.0), (20.0, 60.0), (0.0, 60.0)]


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((20, 20, 30, 30), 1.0),
        ((0, 20, 20, 30), 0.5),
        ((0, 0, 20, 20), 0.25),
        ((0, 0, 100, 100), 0.16),
        ((60, 60, 70, 70), 0.0),
        ((50, 10, 60, 50), 0.0),
        ((20, 20, 20, 30), 0.0),
    ],
)
def test_share_of_a_box_in_a_square(box: tuple[float, float, float, float], share: float) -> None:
    assert share_in_polygon(box, SQUARE) == pytest.approx(share)
    assert share_in_polygon(box, SQUARE[::-1]) == pytest.approx(share)


def test_the_notch_of_a_concave_region_is_outside() -> None:
    assert share_in_polygon((30, 30, 50, 50), L_SHAPE) == 0
    assert share_in_polygon((10, 10, 30, 30), L_SHAPE) == pytest.approx(0.75)
    assert share_in_polygon((0, 0, 60, 60), L_SHAPE) == pytest.approx(2000 / 3600)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=3, max_size=3, unique=True),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_agrees_with_painting_the_region(corners: list[tuple[int, int]], left: int, top: int) -> None:
    scale = 16
    canvas = np.zeros((64 * scale, 64 * scale), dtype=np.uint8)
    cv2.fillPoly(canvas, [np.array(corners) * scale], 1)
    box = (left, top, left + 20, top + 20)
    painted = canvas[top * scale : (top + 20) * scale, left * scale : (left + 20) * scale].mean()
    assert share_in_polygon(box, [(float(x), float(y)) for x, y in corners]) == pytest.approx(painted, abs=0.02)
