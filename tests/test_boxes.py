"""Boxes and polygons: the functions of one box, of many boxes and of polygons agree with counting pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_inspect import boxes
from stream_inspect.messages import Box

SIDE = 24
"""Boxes of whole pixels lie in a picture of this side."""

places = st.integers(0, SIDE)
pixel_boxes = st.tuples(places, places, places, places).map(
    lambda b: (float(min(b[0], b[2])), float(min(b[1], b[3])), float(max(b[0], b[2])), float(max(b[1], b[3])))
)
numbers = st.floats(-50, 50, allow_nan=False, width=32)
any_boxes = st.tuples(numbers, numbers, numbers, numbers)


def pixels(box: Box) -> NDArray[np.bool_]:
    """The pixels of a box, painted."""
    left, top, right, bottom = (int(value) for value in box)
    picture = np.zeros((SIDE, SIDE), dtype=np.bool_)
    picture[top:bottom, left:right] = True
    return picture


@given(pixel_boxes, pixel_boxes)
def test_areas_and_overlaps_are_the_pixels_counted(one: Box, other: Box) -> None:
    a, b = pixels(one), pixels(other)
    assert boxes.area(one) == a.sum()
    assert boxes.intersection(one, other) == (a & b).sum()
    assert boxes.iou(one, other) == (a & b).sum() / max(1, (a | b).sum())
    assert boxes.share_inside(one, other) == (a & b).sum() / max(1, a.sum())


@given(any_boxes, any_boxes)
def test_overlap_has_no_direction_and_lies_between_nothing_and_everything(one: Box, other: Box) -> None:
    assert boxes.intersection(one, other) == boxes.intersection(other, one)
    assert boxes.iou(one, other) == boxes.iou(other, one)
    assert 0 <= boxes.intersection(one, other) <= min(boxes.area(one), boxes.area(other))
    assert 0 <= boxes.iou(one, other) <= 1
    assert 0 <= boxes.share_inside(one, other) <= 1


@given(any_boxes)
def test_a_box_is_wholly_in_itself_unless_it_has_no_area(box: Box) -> None:
    has_area = boxes.area(box) > 0
    assert boxes.iou(box, box) == boxes.share_inside(box, box) == float(has_area)
    if boxes.area(box) > 1e-6:
        assert boxes.is_inside(box, box, 1.0)


@given(pixel_boxes, pixel_boxes, st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_inside_means_at_least_that_share(inner: Box, outer: Box, share: float) -> None:
    expected = boxes.area(inner) > 0 and boxes.share_inside(inner, outer) >= share
    assert boxes.is_inside(inner, outer, share) is expected


@given(any_boxes, st.integers(1, 40), st.integers(1, 40))
def test_what_is_clipped_is_what_lies_in_the_picture(box: Box, width: int, height: int) -> None:
    picture = (0.0, 0.0, float(width), float(height))
    clipped = boxes.clip(box, *picture[2:])
    assert boxes.area(clipped) == boxes.intersection(box, picture)
    if boxes.area(clipped) > 1e-6:
        assert boxes.is_inside(clipped, picture, 1.0)


@given(any_boxes)
def test_the_middle_is_as_far_from_one_side_as_from_the_other(box: Box) -> None:
    x, y = boxes.centre(box)
    left, top, right, bottom = box
    assert (x - left, y - top) == pytest.approx((right - x, bottom - y), abs=1e-9)


@given(st.lists(any_boxes, min_size=1, max_size=6), st.lists(any_boxes, min_size=1, max_size=6))
def test_many_boxes_are_each_what_one_box_is(ones: list[Box], others: list[Box]) -> None:
    rows, columns = np.array(ones), np.array(others)
    pairs = rows[:, None]
    assert boxes.areas(rows).tolist() == [boxes.area(one) for one in ones]
    shared = boxes.intersections(pairs, columns)
    assert shared.tolist() == [[boxes.intersection(one, other) for other in others] for one in ones]
    assert boxes.ious(pairs, columns).tolist() == [[boxes.iou(one, other) for other in others] for one in ones]
    for (row, column), overlap in np.ndenumerate(boxes.overlaps_of_smaller(pairs, columns)):
        one, other = ones[row], others[column]
        smaller = one if boxes.area(one) <= boxes.area(other) else other
        assert overlap == boxes.share_inside(smaller, other if smaller is one else one)
    for (row, column), distance in np.ndenumerate(boxes.centre_distances(pairs, columns)):
        (x, y), (other_x, other_y) = boxes.centre(ones[row]), boxes.centre(others[column])
        assert distance == pytest.approx(np.hypot(x - other_x, y - other_y), abs=1e-9)


def test_many_boxes_keep_their_precision() -> None:
    some = np.array([(0, 0, 10, 10), (5, 5, 15, 15)], dtype=np.float32)
    for of_them in (boxes.areas(some), boxes.intersections(some, some), boxes.ious(some, some)):
        assert of_them.dtype == np.float32


def test_boxes_the_wrong_way_round_cover_nothing() -> None:
    proper, turned = (0.0, 0.0, 10.0, 10.0), (10.0, 10.0, 0.0, 0.0)
    assert boxes.area(turned) == boxes.intersection(proper, turned) == boxes.iou(proper, turned) == 0
    assert boxes.areas(np.array([turned])).tolist() == [0]


corners = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=3, max_size=8, unique=True)


@given(corners)
def test_a_polygons_area_is_that_of_opencv_whichever_way_round(points: list[tuple[int, int]]) -> None:
    area = boxes.polygon_area(points)
    assert area == boxes.polygon_area(points[::-1])
    assert area == pytest.approx(cv2.contourArea(np.array(points, dtype=np.int32)))


@given(pixel_boxes)
def test_a_polygon_that_is_a_box_has_the_boxs_area(box: Box) -> None:
    left, top, right, bottom = box
    assert boxes.polygon_area([(left, top), (right, top), (right, bottom), (left, bottom)]) == boxes.area(box)
