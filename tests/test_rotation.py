"""Quarter turns of sizes, boxes and directions, held against pixels that numpy turns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.rotation import Direction, Rotation, rotated_box, rotated_direction, rotated_size

TURNS: list[Rotation] = [0, 90, 180, 270]


@st.composite
def boxes(draw: st.DrawFn) -> tuple[int, int, tuple[int, int, int, int]]:
    """(width, height, a box in a picture of this size)"""
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return width, height, (left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height)))


@given(boxes(), st.sampled_from(TURNS))
def test_a_turned_box_is_around_the_turned_pixels(
    drawn: tuple[int, int, tuple[int, int, int, int]], rotate_deg: Rotation
) -> None:
    width, height, (left, top, right, bottom) = drawn
    picture = np.zeros((height, width), bool)
    picture[top:bottom, left:right] = True
    turned = np.rot90(picture, -rotate_deg // 90)
    rows, columns = np.flatnonzero(turned.any(axis=1)), np.flatnonzero(turned.any(axis=0))
    expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert rotated_box((left, top, right, bottom), width, height, rotate_deg) == expected
    assert rotated_size(width, height, rotate_deg) == turned.shape[::-1]


@pytest.mark.parametrize("rotate_deg", TURNS)
@pytest.mark.parametrize(
    ("direction", "step"),
    [("left_to_right", (1, 0)), ("right_to_left", (-1, 0)), ("top_to_bottom", (0, 1)), ("bottom_to_top", (0, -1))],
)
def test_what_moves_through_the_picture_moves_so_through_the_turned_one(
    direction: Direction, step: tuple[int, int], rotate_deg: Rotation
) -> None:
    before, after = (50.0, 50.0, 52.0, 52.0), (50.0 + step[0], 50.0 + step[1], 52.0 + step[0], 52.0 + step[1])
    first, second = (rotated_box(box, 100, 100, rotate_deg) for box in (before, after))
    seen = {(1, 0): "left_to_right", (-1, 0): "right_to_left", (0, 1): "top_to_bottom", (0, -1): "bottom_to_top"}
    assert rotated_direction(direction, rotate_deg) == seen[second[0] - first[0], second[1] - first[1]]
