"""Boxes as arrays say what single boxes and intervals say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_inspect.belt.geometry import BeltBox, BeltView
from stream_inspect.config.models import BeltConfig
from stream_inspect.messages import Interval
from stream_inspect.track.belt_boxes import Boxes, meeting
from tests.belt.pictures import MOUNTINGS
from tests.properties import examples
from tests.track.line import HEIGHT_PX, WIDTH_PX

intervals = st.builds(
    lambda low, length, low_cut, high_cut: Interval(low, low + length, low_cut, high_cut),
    st.floats(-500, 500),
    st.floats(1, 200),
    st.booleans(),
    st.booleans(),
)
belt_boxes = st.builds(BeltBox, intervals, intervals)


def boxes_of(*boxes: BeltBox) -> Boxes:
    sides = [(b.along.low, b.along.high, b.across.low, b.across.high) for b in boxes]
    cut = [(b.along.low_cut, b.along.high_cut, b.across.low_cut, b.across.high_cut) for b in boxes]
    return Boxes(np.array(sides), np.array(cut))


def sides_of(box: BeltBox) -> tuple[float, ...]:
    return box.along.low, box.along.high, box.across.low, box.across.high


@settings(max_examples=examples(100), deadline=None)
@given(known=belt_boxes, seen=belt_boxes, other=belt_boxes, mm=st.floats(-300, 300))
def test_a_match_and_what_is_known_after_it_are_those_of_intervals(known, seen, other, mm):
    """`other` is next to it in the arrays: what is cut of one box changes nothing for the next."""
    here = meeting(boxes_of(other, known), boxes_of(seen, other))
    assert here.distance(mm)[1, 0] == pytest.approx(abs(known.along.offset_to(seen.along.shifted(mm))))
    assert np.isnan(here.known[1, 0]) == (not known.along.comparable(seen.along))
    across = meeting(boxes_of(other, known), boxes_of(seen, other), across=True)
    assert across.distance(0.0)[1, 0] == pytest.approx(abs(known.across.offset_to(seen.across)))
    after = boxes_of(other, known).followed_by(boxes_of(other, seen)).box(1)
    expected = BeltBox(known.along.followed_by(seen.along), known.across.followed_by(seen.across))
    assert sides_of(after) == pytest.approx(sides_of(expected))
    assert (after.along.low_cut, after.along.high_cut) == (expected.along.low_cut, expected.along.high_cut)
    assert (after.across.low_cut, after.across.high_cut) == (expected.across.low_cut, expected.across.high_cut)


x_px = st.one_of(st.floats(0, WIDTH_PX), st.sampled_from([0.0, 6.4, WIDTH_PX - 6.4, float(WIDTH_PX)]))
y_px = st.one_of(st.floats(0, HEIGHT_PX), st.sampled_from([0.0, 3.6, HEIGHT_PX - 3.6, float(HEIGHT_PX)]))


STRAIGHT = [
    BeltConfig(direction=direction, speed_mm_s=100.0, mm_per_px=0.7)
    for direction in ("left_to_right", "right_to_left", "top_to_bottom", "bottom_to_top")
]


@pytest.mark.parametrize("belt", [*STRAIGHT, *(mounting.belt for mounting in MOUNTINGS)])
@settings(max_examples=examples(50), deadline=None)
@given(boxes_px=st.lists(st.tuples(x_px, y_px, x_px, y_px), min_size=2, max_size=4), mm=st.floats(-1000, 1000))
def test_many_boxes_lie_on_the_belt_where_each_does(belt, boxes_px, mm):
    view = BeltView(belt, WIDTH_PX, HEIGHT_PX)
    boxes_px = [(min(x, right), min(y, bottom), max(x, right), max(y, bottom)) for x, y, right, bottom in boxes_px]
    boxes = Boxes(*view.sides_from_px(np.array(boxes_px)))
    back_px = view.px_from_sides(boxes.sides, mm).tolist()
    velocities_px_s = view.velocities_px_s(100.0, np.array(boxes_px)[:, :2]).tolist()
    for index, box_px in enumerate(boxes_px):
        assert boxes.box(index) == (placed := view.belt_from_px(box_px, 0.0))
        assert tuple(back_px[index]) == view.px_from_belt(placed, mm)
        assert velocities_px_s[index] == pytest.approx(view.velocity_px_s(100.0, box_px[:2]))
