"""What counts as a fragment of another detection of the same frame."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.messages import Rle
from stream_inspect.track.fragments import without_fragments
from tests.track.line import found

number = st.integers(0, 60)
size = st.integers(1, 60)
detections = st.lists(
    st.builds(
        lambda left, top, width, height, name: found((left, top, left + width, top + height), name),
        number,
        number,
        size,
        size,
        st.sampled_from(["scratch", "crack"]),
    ),
    max_size=6,
)


@pytest.mark.parametrize(
    ("inside_px", "kept"),
    [(10, 1), (8, 1), (7, 2), (0, 2)],
)
def test_a_box_that_lies_nearly_wholly_in_a_larger_one_is_a_fragment(inside_px, kept):
    whole, other = found((100, 100, 200, 200)), found((200 - inside_px, 120, 210 - inside_px, 130))
    assert without_fragments([other, whole])[-1] is whole
    assert len(without_fragments([other, whole])) == len(without_fragments([whole, other])) == kept


def test_what_is_inside_a_box_of_another_name_is_not_a_fragment():
    assert len(without_fragments([found((100, 100, 200, 200), "stain"), found((120, 120, 130, 130), "hole")])) == 2


def test_a_box_without_any_area_is_not_a_fragment_of_what_lies_elsewhere():
    assert len(without_fragments([found((100, 100, 200, 200)), found((300, 300, 300, 340))])) == 2


def test_of_equal_boxes_one_stays():
    twins = [found((100, 100, 200, 200)) for _ in range(3)]
    assert [detection is twins[0] for detection in without_fragments(twins)] == [True]


def test_a_faint_large_box_hides_no_clear_small_defect():
    clear, faint = found((120, 120, 130, 130), score=0.9), found((100, 100, 200, 200), score=0.1)
    assert without_fragments([clear, faint]) == [clear, faint]


def test_what_pixels_told_apart_stays_apart():
    rle = Rle(size=(4, 4), counts="00b00")
    both = [msgspec.structs.replace(found(box), mask_rle=rle) for box in ((100, 100, 200, 200), (120, 120, 130, 130))]
    assert without_fragments(both) == both


@given(detections)
def test_what_is_left_out_lies_in_something_that_stays(seen):
    kept = without_fragments(seen)
    for one in seen:
        left, top, right, bottom = one.box_xyxy_px
        shares = [
            max(0, min(right, r) - max(left, x)) * max(0, min(bottom, b) - max(top, y))
            for x, y, r, b in (other.box_xyxy_px for other in kept if other.defect == one.defect)
        ]
        assert max(shares) >= 0.8 * (right - left) * (bottom - top) - 1e-9


@given(detections, st.randoms(use_true_random=False))
def test_the_order_makes_no_difference_and_twice_none_either(seen, random):
    kept = without_fragments(seen)
    shuffled = list(seen)
    random.shuffle(shuffled)
    assert sorted(d.box_xyxy_px for d in without_fragments(shuffled)) == sorted(d.box_xyxy_px for d in kept)
    assert without_fragments(kept) == kept


@given(detections)
def test_the_largest_of_each_name_stays(seen):
    kept = without_fragments(seen)
    for name in {detection.defect for detection in seen}:
        areas = [(b[2] - b[0]) * (b[3] - b[1]) for d in seen if d.defect == name for b in [d.box_xyxy_px]]
        left = [(b[2] - b[0]) * (b[3] - b[1]) for d in kept if d.defect == name for b in [d.box_xyxy_px]]
        assert max(left) == max(areas)
