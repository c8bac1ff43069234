"""The synthetic line as a camera: what a frame shows is what its truth says, whoever asks and in whatever order."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from stream_inspect.sim import SyntheticLine
from stream_inspect.sim.truth import ObjectTruth

SMALL = {"width_px": 640, "height_px": 360, "speed_px_s": 200.0}


def test_the_same_seed_gives_the_same_frames_in_any_order() -> None:
    first, second = SyntheticLine(5, **SMALL), SyntheticLine(5, **SMALL)
    forwards = {n: first.frame(n) for n in range(100, 130, 3)}
    for n in (127, 100, 112, 103):
        again = second.frame(n)
        assert np.array_equal(again.i420, forwards[n].i420)
        boxes = [(d.defect_id, d.box_xyxy_px) for d in again.truth.defects]
        assert boxes == [(d.defect_id, d.box_xyxy_px) for d in forwards[n].truth.defects]


@pytest.mark.parametrize("moves_right", [False, True])
def test_objects_move_with_the_belt_and_keep_their_ids(moves_right: bool) -> None:
    line = SyntheticLine(9, moves_right=moves_right, **SMALL)
    step = (1 if moves_right else -1) * line.speed_px_s / line.fps
    places: dict[int, list[tuple[int, float]]] = {}
    for n in range(0, 200, 4):
        for part in line.truth(n).parts:
            if part.visible_fraction == 1.0:
                places.setdefault(part.part_id, []).append((n, part.box_xyxy_px[0]))
    assert len(places) >= 4
    for seen in places.values():
        (n0, x0), (n1, x1) = seen[0], seen[-1]
        assert n1 > n0
        assert x1 - x0 == pytest.approx((n1 - n0) * step, abs=2.1)
    assert sorted(places) == list(range(len(places))), "ids count the parts in the order in which they enter"


def all_objects(line: SyntheticLine, n: int) -> list[ObjectTruth]:
    truth = line.truth(n)
    return [*truth.parts, *truth.defects]


def test_boxes_are_the_tight_boxes_of_masks_in_the_picture() -> None:
    line = SyntheticLine(3, **SMALL)
    cut_off = 0
    for n in range(60, 220, 8):
        for item in all_objects(line, n):
            mask = item.mask()
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert item.box_xyxy_px == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            assert mask.shape == (360, 640)
            assert mask.sum() == item.area_px
            assert 0 < item.visible_fraction <= 1
            cut_off += item.visible_fraction < 1
    assert cut_off > 5, "the test must have seen objects at the picture's edge"


def test_visible_fraction_grows_to_one_and_shrinks_again() -> None:
    line = SyntheticLine(4, **SMALL)
    share = [next((p.visible_fraction for p in line.truth(n).parts if p.part_id == 1), 0.0) for n in range(260)]
    top = share.index(1.0)
    assert share[:top] == sorted(share[:top])
    last = len(share) - 1 - share[::-1].index(1.0)
    assert share[last:] == sorted(share[last:], reverse=True)


def test_a_defect_is_where_the_truth_says() -> None:
    line, clean = SyntheticLine(6, **SMALL), SyntheticLine(6, **SMALL)
    clean.scene = type(line.scene)(6, line.world, 1 / line.mm_per_px, draw_defects=False)
    seen = 0
    for n in range(80, 240, 20):
        change = np.abs(line.frame(n).image_bgr.astype(int) - clean.frame(n).image_bgr).max(axis=2) > 12
        for defect in line.truth(n).defects:
            if defect.visible_fraction == 1.0:
                mask = defect.mask()
                assert change[mask].mean() > 0.5
                seen += 1
        everything = np.zeros(change.shape, np.uint8)
        for defect in line.truth(n).defects:
            everything |= defect.mask().astype(np.uint8)
        # Lens blur and halved colour planes carry the change a few pixels over the edge.
        around = cv2.dilate(everything, np.ones((15, 15), np.uint8)) > 0
        assert not change[~around].any()
    assert seen >= 3


@pytest.mark.parametrize("moves_right", [False, True])
def test_passed_is_exactly_what_was_seen_and_is_gone(moves_right: bool) -> None:
    line = SyntheticLine(8, moves_right=moves_right, **SMALL)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    end = 400
    for n in range(end + 1):
        for defect in line.truth(n).defects:
            first.setdefault(defect.defect_id, n)
            last[defect.defect_id] = n
    passed = {p.object_id: p for p in line.passed_defects(end)}
    assert len(passed) >= 3
    assert set(passed) == {identity for identity, n in last.items() if n < end}
    for identity, item in passed.items():
        assert (item.first_index, item.last_index) == (first[identity], last[identity])


def test_the_line_starts_empty() -> None:
    line = SyntheticLine(2, **SMALL)
    assert line.truth(0).parts == ()


def test_pictures_come_in_both_forms_and_every_shape() -> None:
    line = SyntheticLine(1, width_px=512, height_px=512)
    frame = line.frame(40)
    assert frame.i420.shape == (768, 512)
    assert frame.image_bgr.shape == (512, 512, 3)
    assert line.mm_per_px == pytest.approx(360 / 512)
    assert line.speed_mm_s == pytest.approx(400 * 360 / 512)


def test_noise_changes_from_frame_to_frame() -> None:
    line = SyntheticLine(1, **SMALL)
    assert not np.array_equal(line.i420(0), line.i420(1)), "a frozen picture must be told from a running one"


@pytest.mark.parametrize("wrong", [{"width_px": 642}, {"height_px": 60}, {"fps": 0.0}, {"speed_px_s": -1.0}])
def test_what_cannot_be_drawn_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        SyntheticLine(0, **wrong)  # type: ignore[arg-type]


@pytest.mark.soak
def test_a_frame_costs_little() -> None:
    line = SyntheticLine(12)
    line.frame(0)
    start = time.process_time()
    count = 500
    for n in range(count):
        line.frame(n)
    assert (time.process_time() - start) / count < 0.004


@pytest.mark.parametrize("moves_right", [False, True])
def test_a_part_that_came_in_is_known_with_the_way_to_its_middle(moves_right: bool) -> None:
    line = SyntheticLine(9, moves_right=moves_right, **SMALL)
    whole = {}
    for n in range(0, 150, 5):
        for part in line.truth(n).parts:
            if part.visible_fraction == 1.0:
                left, _, right, _ = part.box_xyxy_px
                from_edge_px = (left + right) / 2 if moves_right else line.width_px - (left + right) / 2
                whole[part.part_id] = n * line.speed_px_s / line.fps - from_edge_px
    entered = {part.part_id: part for part in line.entered_parts(149)}
    assert len(whole) >= 3
    assert {number: entered[number].middle_px for number in whole} == pytest.approx(whole, abs=2.1)
    bad = {defect.part_id for n in range(0, 150, 5) for defect in line.truth(n).defects}
    assert {number for number in whole if entered[number].is_defective} == bad & whole.keys()
    assert max(entered) == max(part.part_id for part in line.truth(149).parts)
