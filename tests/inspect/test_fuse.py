"""Fusion of partial boxes: its rule on examples, and what holds for any boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_inspect.boxes import gaps, ious, overlaps_of_smaller
from stream_inspect.inspect.fuse import CONTACT_PATCHES, NEAR_PATCHES, Boxes, fuse

PATCH_PX = 12.5
PICTURE_PX = 1920
GRIDS = {"embedded": PICTURE_PX / 16, "full size": PICTURE_PX / 60}
"""Patch pitch of the embedded model and of OWLv2-base in a Full HD picture."""


@st.composite
def scenes(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    count = draw(st.integers(0, 12))
    number = st.floats(0, 150, width=32)
    size = st.floats(0, 50, width=32)
    boxes = []
    for _ in range(count):
        left, top, width, height = draw(number), draw(number), draw(size), draw(size)
        boxes.append((left, top, left + width, top + height))
    scores = draw(st.lists(st.sampled_from([0.0, 0.1, 0.1, 0.35, 0.5, 0.9]), min_size=count, max_size=count))
    classes = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    return np.array(boxes).reshape(-1, 4), np.array(scores), np.array(classes, dtype=np.int64)


def _fuse(
    boxes: object,
    scores: object,
    classes: object,
    overlap: float = 0.3,
    *,
    severities: Sequence[str] = ("major", "major", "major"),
    patch_px: float = PATCH_PX,
) -> Boxes:
    return fuse(
        np.asarray(boxes, dtype=float),
        np.asarray(scores, dtype=float),
        np.asarray(classes, dtype=np.int64),
        severities=severities,
        patch_px=patch_px,
        overlap=overlap,
    )


def test_two_halves_of_one_scratch_become_one_box() -> None:
    fused = _fuse([(10, 50, 60, 60), (40, 50, 100, 60)], [0.8, 0.4], [0, 0])
    # Overlap 20 of the smaller's 50 px. Weights 0.64 and 0.16: the mean is 4/5 of the way to the better box.
    np.testing.assert_allclose(fused.boxes_xyxy, [[16, 50, 68, 60]])
    assert fused.scores.tolist() == [0.8]


def test_neighbours_of_one_class_that_hardly_touch_stay_two() -> None:
    assert len(_fuse([(10, 50, 60, 60), (50, 50, 100, 60)], [0.8, 0.4], [0, 0])) == 2


def test_the_configured_overlap_decides() -> None:
    boxes = [(10, 50, 60, 60), (40, 50, 100, 60)]
    assert len(_fuse(boxes, [0.8, 0.4], [0, 0], overlap=0.39)) == 1
    assert len(_fuse(boxes, [0.8, 0.4], [0, 0], overlap=0.41)) == 2


def test_one_place_is_one_defect_and_the_better_name_wins() -> None:
    fused = _fuse([(10, 10, 50, 50), (12, 10, 52, 50)], [0.5, 0.7], [0, 1])
    assert fused.classes.tolist() == [1]
    assert fused.scores.tolist() == [0.7]


def test_overlapping_defects_of_two_classes_stay_two() -> None:
    assert len(_fuse([(10, 10, 50, 50), (30, 10, 70, 50)], [0.5, 0.7], [0, 1])) == 2


def test_a_hole_on_a_stain_is_not_swallowed_by_it() -> None:
    assert len(_fuse([(0, 0, 100, 100), (45, 45, 55, 55)], [0.9, 0.7], [0, 1])) == 2


def test_boxes_of_like_size_with_one_centre_are_one() -> None:
    upright, flat = (45, 30, 55, 70), (30, 45, 70, 55)
    assert overlaps_of_smaller(np.array(upright, dtype=float), np.array([flat], dtype=float))[0] < 0.3
    assert len(_fuse([upright, flat], [0.6, 0.5], [0, 0])) == 1


def test_chains_are_fused_to_the_end() -> None:
    """Boxes that overlap only after a first fusion are fused in the next pass."""
    fused = _fuse([(0, 0, 40, 10), (20, 0, 100, 10), (45, 0, 80, 10)], [0.9, 0.89, 0.3], [0, 0, 0])
    again = _fuse(fused.boxes_xyxy, fused.scores, fused.classes)
    np.testing.assert_array_equal(again.boxes_xyxy, fused.boxes_xyxy)


def test_nothing_in_nothing_out() -> None:
    assert len(_fuse(np.zeros((0, 4)), [], [])) == 0


def test_lengths_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ValueError, match="2 boxes, 1 scores, 2 classes"):
        _fuse(np.zeros((2, 4)), [0.1], [0, 0])


def test_two_pores_far_enough_apart_for_the_detector_stay_two() -> None:
    pores = [(500, 500, 510, 510), (570, 500, 580, 510)]
    fused = _fuse(pores, [0.8, 0.7], [0, 0], patch_px=GRIDS["full size"])
    np.testing.assert_array_equal(fused.boxes_xyxy, pores)


def test_a_ring_of_pores_is_not_one_box_in_its_empty_middle() -> None:
    angles = np.arange(8) * np.pi / 4
    centres = 600 + 30 * np.column_stack((np.cos(angles), np.sin(angles)))
    pores = np.hstack((centres - 5, centres + 5))
    fused = _fuse(pores, np.linspace(0.9, 0.6, 8), np.zeros(8), patch_px=GRIDS["full size"])
    np.testing.assert_allclose(fused.boxes_xyxy, pores)


def test_boxes_in_contact_that_do_not_overlap_are_one_at_the_better_of_them() -> None:
    fused = _fuse([(10, 10, 14, 14), (15, 10, 19, 14)], [0.5, 0.7], [0, 0])
    np.testing.assert_array_equal(fused.boxes_xyxy, [(15, 10, 19, 14)])
    assert fused.scores.tolist() == [0.7]


@pytest.mark.parametrize("offset_px", [0, 5, 12])
def test_a_critical_defect_keeps_its_name_next_to_a_minor_one_of_a_higher_score(offset_px: int) -> None:
    stain, hole = (10, 10, 20, 20), (10 + offset_px, 10, 20 + offset_px, 20)
    severities = ("critical", "minor")
    fused = _fuse([stain, hole], [0.9, 0.6], [1, 0], severities=severities, patch_px=GRIDS["embedded"])
    np.testing.assert_array_equal(fused.boxes_xyxy, [stain, hole])
    assert fused.classes.tolist() == [1, 0]


@pytest.mark.parametrize("patch_px", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("classes", [(0, 0), (0, 1)], ids=["one name", "two names"])
def test_two_objects_are_two_at_every_distance_beyond_contact(patch_px: float, classes: tuple[int, int]) -> None:
    """Two objects of any size and direction, with a gap from contact to four patches."""
    for size_px in (4.0, 10.0, 40.0):
        for angle in np.arange(0, np.pi / 2 + 0.1, np.pi / 12):
            for distance_px in np.arange(0, 4 * patch_px, 2.0):
                x, y = distance_px * np.cos(angle), distance_px * np.sin(angle)
                boxes = np.array([(0, 0, size_px, size_px), (x, y, x + size_px, y + size_px)]) + 500
                fused = _fuse(boxes, [0.8, 0.7], classes, patch_px=patch_px)
                gap_px = gaps(boxes[0], boxes[1])
                if gap_px > CONTACT_PATCHES * patch_px:
                    np.testing.assert_array_equal(fused.boxes_xyxy, boxes)
                elif len(fused) == 1:
                    assert distance_px < max(NEAR_PATCHES * patch_px, size_px)
                    assert ious(fused.boxes_xyxy, boxes).max() > 0


@given(scenes(), scenes(), st.sampled_from(sorted(GRIDS.values())))
def test_groups_of_boxes_beyond_contact_never_mix(
    one: tuple[NDArray, NDArray, NDArray], other: tuple[NDArray, NDArray, NDArray], patch_px: float
) -> None:
    """What one object's boxes become does not depend on another object beyond contact."""
    (boxes, scores, classes), (more_boxes, more_scores, more_classes) = one, other
    more_boxes = more_boxes + np.array((201 + CONTACT_PATCHES * patch_px, 0) * 2)
    apart = [_fuse(*one, patch_px=patch_px), _fuse(more_boxes, more_scores, more_classes, patch_px=patch_px)]
    together = _fuse(
        np.concatenate((boxes, more_boxes)),
        np.concatenate((scores, more_scores)),
        np.concatenate((classes, more_classes)),
        patch_px=patch_px,
    )
    expected = np.concatenate([fused.boxes_xyxy for fused in apart])
    assert sorted(together.boxes_xyxy.tolist()) == sorted(expected.tolist())


@given(scenes())
def test_every_fused_box_lies_on_a_box_of_the_detector(scene: tuple[NDArray, NDArray, NDArray]) -> None:
    boxes, scores, classes = scene
    boxes = boxes + np.array((0, 0, 1, 1))  # each has an area
    for box in _fuse(boxes, scores, classes).boxes_xyxy:
        assert ious(box, boxes).max() > 0


@given(scenes())
def test_every_severity_keeps_its_best_box(scene: tuple[NDArray, NDArray, NDArray]) -> None:
    boxes, scores, classes = scene
    fused = _fuse(boxes, scores, classes, severities=("minor", "major", "critical"))
    for index in np.unique(classes):
        assert fused.scores[fused.classes == index].max() == scores[classes == index].max()


@given(scenes())
def test_fusing_twice_changes_nothing(scene: tuple[NDArray, NDArray, NDArray]) -> None:
    once = _fuse(*scene)
    twice = _fuse(once.boxes_xyxy, once.scores, once.classes)
    np.testing.assert_array_equal(twice.boxes_xyxy, once.boxes_xyxy)
    np.testing.assert_array_equal(twice.scores, once.scores)
    np.testing.assert_array_equal(twice.classes, once.classes)


@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_boxes_come_in_makes_no_difference(scene: tuple[NDArray, NDArray, NDArray], random: object) -> None:
    boxes, scores, classes = scene
    order = list(range(len(boxes)))
    random.shuffle(order)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(
        _fuse(boxes[order], scores[order], classes[order]).boxes_xyxy, _fuse(boxes, scores, classes).boxes_xyxy
    )


@given(scenes())
def test_fused_boxes_stay_in_the_hull_and_the_best_survives(scene: tuple[NDArray, NDArray, NDArray]) -> None:
    boxes, scores, _ = scene
    fused = _fuse(*scene)
    assert len(fused) <= len(boxes)
    assert (len(fused) == 0) == (len(boxes) == 0)
    if len(boxes):
        assert (fused.boxes_xyxy >= boxes.min(axis=0)).all()
        assert (fused.boxes_xyxy <= boxes.max(axis=0)).all()
        assert fused.scores[0] == scores.max()
        assert (np.diff(fused.scores) <= 0).all()


@given(scenes())
def test_what_fusion_leaves_of_one_class_overlaps_no_more_than_allowed(scene: tuple[NDArray, NDArray, NDArray]) -> None:
    fused = _fuse(*scene)
    for index, box in enumerate(fused.boxes_xyxy):
        rivals = fused.boxes_xyxy[index + 1 :][fused.classes[index + 1 :] == fused.classes[index]]
        assert (overlaps_of_smaller(box, rivals) <= 0.3).all()
