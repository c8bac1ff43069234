"""Which crops a segmenter that wants crops is given."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.inspect.segment.crops import SHARED_SCALE, plan_crops
from stream_inspect.inspect.segment.segmenter import CropPreference

TWICE = CropPreference(context=2.0, min_side_px=24)


@st.composite
def boxes_in(draw: st.DrawFn, width: int, height: int) -> np.ndarray:
    count = draw(st.integers(1, 10))
    boxes = []
    for _ in range(count):
        left, top = draw(st.floats(0, width - 2)), draw(st.floats(0, height - 2))
        boxes.append((left, top, draw(st.floats(left + 1, width)), draw(st.floats(top + 1, height))))
    return np.array(boxes)


def test_a_crop_is_centred_and_twice_as_large() -> None:
    (crop,) = plan_crops(np.array([(100.0, 100, 140, 120)]), TWICE, 640, 480)
    assert (crop.left, crop.top, crop.width, crop.height) == (80, 70, 80, 80)


def test_at_the_edge_the_crop_moves_inside() -> None:
    (crop,) = plan_crops(np.array([(600.0, 460, 640, 480)]), TWICE, 640, 480)
    assert (crop.left, crop.top, crop.width, crop.height) == (560, 400, 80, 80)


def test_a_tiny_hit_gets_the_smallest_crop() -> None:
    (crop,) = plan_crops(np.array([(100.0, 100, 104, 102)]), TWICE, 640, 480)
    assert (crop.width, crop.height) == (24, 24)


def test_a_crop_larger_than_the_picture_is_the_picture() -> None:
    (crop,) = plan_crops(np.array([(0.0, 0, 500, 100)]), TWICE, 640, 480)
    assert (crop.left, crop.top, crop.width, crop.height) == (0, 0, 640, 480)


def test_a_much_smaller_hit_inside_a_crop_gets_its_own() -> None:
    assert len(plan_crops(np.array([(100.0, 100, 200, 200), (110, 110, 120, 120)]), TWICE, 640, 480)) == 2
    assert len(plan_crops(np.array([(100.0, 100, 200, 200), (110, 110, 190, 190)]), TWICE, 640, 480)) == 1


@given(boxes_in(320, 200))
def test_every_hit_is_decoded_once_in_a_crop_that_shows_it_large_enough(boxes: np.ndarray) -> None:
    crops = plan_crops(boxes, TWICE, 320, 200)
    assert sorted(index for crop in crops for index in crop.hits) == list(range(len(boxes)))
    for crop in crops:
        assert 0 <= crop.left <= crop.left + crop.width <= 320
        assert 0 <= crop.top <= crop.top + crop.height <= 200
        for left, top, right, bottom in boxes[crop.hits]:
            assert left >= crop.left - 0.5
            assert right <= crop.left + crop.width + 0.5
            assert top >= crop.top - 0.5
            assert bottom <= crop.top + crop.height + 0.5
            wanted = max(24, 2 * max(right - left, bottom - top))
            assert max(crop.width, crop.height) <= SHARED_SCALE * wanted + 1
