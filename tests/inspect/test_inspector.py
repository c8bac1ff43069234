"""From raw boxes and masks to detections."""

from __future__ import annotations

import time

import numpy as np
import pytest
import structlog

from stream_inspect.config.models import BeltConfig, CameraConfig, DefectConfig, FileSource, PromptParts
from stream_inspect.inspect.crowding import WINDOW_PICTURES, Crowding
from stream_inspect.inspect.detect.detector import Detector, RawDetections
from stream_inspect.inspect.inspector import CameraSettings, Inspector
from stream_inspect.inspect.masks import from_rle
from stream_inspect.inspect.part_sights import part_sights
from stream_inspect.inspect.prompts import PromptsError
from stream_inspect.inspect.segment.segmenter import CropPreference, Segmenter
from tests.inspect.scripted import ScriptedDetector, ScriptedSegmenter, black, rectangle

RED = DefectConfig(name="red-spot", prompts=["red"], threshold=0.5, severity="critical")
GREEN = DefectConfig(name="green-spot", prompts=["green"], threshold=0.5)
ANYWHERE = CameraSettings()


def _inspector(
    defects: list[DefectConfig], *, detector: Detector | None = None, segmenter: Segmenter | None = None
) -> Inspector:
    inspector = Inspector(detector or ScriptedDetector(), segmenter, model_hash="m")
    inspector.open()
    inspector.set_defects(defects)
    return inspector


def test_a_defect_is_reported_with_its_mask_measures_and_severity() -> None:
    picture = rectangle(black(), "red", (20, 30, 60, 40))
    ((found,),) = _inspector([RED], segmenter=ScriptedSegmenter()).judge([picture], [CameraSettings(scale=0.5)])
    assert (found.defect, found.severity, found.score) == ("red-spot", "critical", 1.0)
    assert found.box_xyxy_px == (20, 30, 60, 40)
    assert found.extent is not None
    assert (found.extent.area_px, found.extent.length_mm, found.extent.width_mm) == (400, 20, 5)
    assert found.mask_rle is not None
    np.testing.assert_array_equal(from_rle(found.mask_rle), picture.max(axis=2) > 0)
    assert {(20.5, 30.5), (59.5, 39.5)} <= set(found.outline_px[0])


def test_parts_are_found_in_the_same_pass_and_are_no_detections() -> None:
    sought = PromptParts(kind="prompt", prompts=["green", "a cap"], threshold=0.5)
    picture = rectangle(rectangle(black(), "red", (20, 30, 60, 40)), "green", (10, 20, 90, 60), 200)
    detector = ScriptedDetector()
    inspector = _inspector([RED], detector=detector, segmenter=ScriptedSegmenter())
    alone = inspector.judge([picture], [ANYWHERE])
    inspector.set_defects([RED], [sought])
    with_parts, without = inspector.find([picture, picture], [CameraSettings(parts=sought), ANYWHERE])
    assert detector.encoded[-1] == ("red", "a cap", "green")
    assert with_parts.detections == without.detections == alone[0]
    assert without.parts is None
    assert with_parts.parts is not None
    (part,) = with_parts.parts
    assert part.box_xyxy_px == (10, 20, 90, 60)
    assert part.clipped_share == 0
    assert part.sharpness > 0
    (explained,) = inspector.explain([picture], [CameraSettings(parts=sought)])
    assert (explained.detections, explained.parts) == (with_parts.detections, with_parts.parts)
    assert {one.defect for one in explained.candidates} <= {"red-spot"}


def test_of_parts_only_what_reaches_the_threshold_counts_and_boxes_of_one_are_one() -> None:
    raw = RawDetections(
        np.array([(10, 10, 50, 50), (12, 10, 52, 50), (100, 10, 170, 50), (60, 60, 90, 90)], dtype=np.float32),
        np.array([(0.9,), (0.8,), (0.6,), (0.4,)], dtype=np.float32),
    )
    found = part_sights(black(), raw, [0], threshold=0.5, patch_px=10, overlap=0.3)
    assert [part.box_xyxy_px[2] for part in found] == [pytest.approx(50.9, abs=0.2), 160]


def test_without_a_segmenter_the_detectors_box_stands() -> None:
    ((found,),) = _inspector([RED]).judge([rectangle(black(), "red", (20, 30, 60, 40))], [ANYWHERE])
    assert found.box_xyxy_px == (20, 30, 60, 40)
    assert found.mask_rle is None
    assert found.outline_px == []
    assert found.extent is not None
    assert found.extent.area_px == 400


def test_a_mask_that_finds_nothing_leaves_the_detectors_box() -> None:
    class Blind(ScriptedSegmenter):
        def segment(self, embedding, boxes_xyxy_px):  # type: ignore[no-untyped-def]
            masks, quality = super().segment(embedding, boxes_xyxy_px)
            return [np.zeros_like(mask) for mask in masks], quality

    ((found,),) = _inspector([RED], segmenter=Blind()).judge([rectangle(black(), "red", (20, 30, 60, 40))], [ANYWHERE])
    assert found.box_xyxy_px == (20, 30, 60, 40)
    assert found.mask_rle is None


def test_the_segmenter_runs_on_hits_only_and_once_a_picture() -> None:
    segmenter = ScriptedSegmenter()
    inspector = _inspector([RED, GREEN], segmenter=segmenter)
    clean, weak, two = black(), rectangle(black(), "red", (5, 5, 20, 20), value=100), black()
    rectangle(rectangle(two, "red", (5, 5, 20, 20)), "green", (60, 60, 90, 90))
    results = inspector.judge([clean, weak, two], [ANYWHERE] * 3)
    assert [len(found) for found in results] == [0, 0, 2]
    assert segmenter.embedded == [(120, 160)]
    assert segmenter.decoded == [2]


def test_hits_near_each_other_share_a_crop_and_far_ones_do_not() -> None:
    segmenter = ScriptedSegmenter(crops=CropPreference(context=3.0, min_side_px=16))
    picture = black(400, 300)
    rectangle(picture, "red", (20, 20, 40, 40))
    rectangle(picture, "green", (44, 20, 58, 34))
    rectangle(picture, "blue", (300, 200, 320, 220))
    blue = DefectConfig(name="blue-spot", prompts=["blue"], threshold=0.5)
    (found,) = _inspector([RED, GREEN, blue], segmenter=segmenter).judge([picture], [ANYWHERE])
    assert {hit.defect: hit.box_xyxy_px for hit in found} == {
        "red-spot": (20, 20, 40, 40),
        "green-spot": (44, 20, 58, 34),
        "blue-spot": (300, 200, 320, 220),
    }
    assert sorted(segmenter.embedded) == [(60, 60), (60, 60)]
    assert sorted(segmenter.decoded) == [1, 2]


@pytest.mark.parametrize(
    ("defect", "mm_per_px", "kept"),
    [
        ({"min_area_px": 400.0}, None, True),
        ({"min_area_px": 401.0}, None, False),
        ({"min_area_mm2": 100.0}, 0.5, True),
        ({"min_area_mm2": 101.0}, 0.5, False),
        ({"min_area_mm2": 1.0, "min_area_px": 1000.0}, 0.5, True),  # the scale is known: mm2 decide
        ({"min_area_mm2": 1000.0, "min_area_px": 1.0}, None, True),  # it is not: px decide
        ({"min_area_mm2": 1000.0}, None, True),  # nothing to compare with
    ],
)
def test_smallest_area(defect: dict[str, float], mm_per_px: float | None, kept: bool) -> None:
    picture = rectangle(black(), "red", (20, 30, 60, 40))
    inspector = _inspector([RED.model_copy(update=defect)], segmenter=ScriptedSegmenter())
    (found,) = inspector.judge([picture], [CameraSettings(scale=mm_per_px)])
    assert len(found) == kept


def test_the_smallest_area_is_that_of_the_mask_not_of_the_box() -> None:
    picture = black()
    for step in range(40):  # a thin diagonal scratch: 40x40 box, 80 px of mask
        picture[20 + step, 20 + step : 22 + step, 0] = 255
    inspector = _inspector([RED.model_copy(update={"min_area_px": 200.0})], segmenter=ScriptedSegmenter())
    assert inspector.judge([picture], [ANYWHERE]) == [[]]


def test_outside_the_region_nothing_counts() -> None:
    region = ((0.0, 0.0), (50.0, 0.0), (50.0, 120.0), (0.0, 120.0))
    inspector = _inspector([RED])
    for left, kept in ((10, True), (40, True), (41, False), (60, False)):
        picture = rectangle(black(), "red", (left, 30, left + 20, 40))
        assert len(inspector.judge([picture], [CameraSettings(region_px=region)])[0]) == kept, left


def test_a_region_in_parts_of_one_is_the_same_in_a_picture_of_any_size() -> None:
    camera = CameraConfig(
        name="a",
        source=FileSource(kind="file", path="x.mp4"),
        region=[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)],
    )
    inspector = _inspector([RED])
    for scale in (1, 2):
        half = CameraSettings.of(camera, 160 * scale, 120 * scale)
        for left, kept in ((10, True), (69, True), (73, False), (120, False)):
            picture = rectangle(black(160 * scale, 120 * scale), "red", (left * scale, 30, (left + 20) * scale, 40))
            assert len(inspector.judge([picture], [half])[0]) == kept, (scale, left)


def test_a_hit_outside_the_region_costs_no_segmentation() -> None:
    region = ((0.0, 0.0), (50.0, 0.0), (50.0, 120.0), (0.0, 120.0))
    segmenter = ScriptedSegmenter()
    inspector = _inspector([RED], segmenter=segmenter)
    inspector.judge([rectangle(black(), "red", (70, 30, 90, 40))], [CameraSettings(region_px=region)])
    assert segmenter.embedded == []


def test_at_most_so_many_detections_best_first() -> None:
    picture = rectangle(rectangle(black(), "red", (5, 5, 20, 20), 200), "green", (60, 60, 90, 90), 250)
    inspector = _inspector([RED, GREEN])
    assert [hit.defect for hit in inspector.judge([picture], [ANYWHERE])[0]] == ["green-spot", "red-spot"]
    inspector.set_limits(fuse_overlap=0.3, max_detections=1)
    assert [hit.defect for hit in inspector.judge([picture], [ANYWHERE])[0]] == ["green-spot"]


def test_boxes_are_cut_to_the_picture_and_what_lies_in_the_padding_is_nothing() -> None:
    class Overshooting(ScriptedDetector):
        def detect(self, pictures, prompts):  # type: ignore[no-untyped-def]
            (raw,) = super().detect(pictures, prompts)
            boxes = np.array([(-5, 100, 30, 140), (10, 121, 30, 150)], dtype=np.float32)
            return [type(raw)(boxes, np.full((2, 1), 0.9, dtype=np.float32))]

    (found,) = _inspector([RED], detector=Overshooting()).judge([black()], [ANYWHERE])
    assert [hit.box_xyxy_px for hit in found] == [(0, 100, 30, 120)]


def test_pictures_of_different_sizes_and_cameras_in_one_batch() -> None:
    first, second = rectangle(black(), "red", (20, 30, 60, 40)), rectangle(black(64, 48), "red", (2, 3, 12, 8))
    results = _inspector([RED]).judge([first, second], [ANYWHERE, CameraSettings(scale=2.0)])
    assert [found[0].box_xyxy_px for found in results] == [(20, 30, 60, 40), (2, 3, 12, 8)]
    assert results[0][0].extent is not None
    assert results[1][0].extent is not None
    assert results[0][0].extent.area_mm2 is None
    assert results[1][0].extent.area_mm2 == 200


def test_texts_are_encoded_once_and_only_when_they_change() -> None:
    detector = ScriptedDetector()
    inspector = _inspector([RED, GREEN], detector=detector)
    picture = rectangle(black(), "red", (20, 30, 60, 40), value=100)
    assert inspector.judge([picture], [ANYWHERE]) == [[]]
    inspector.set_defects([GREEN, RED.model_copy(update={"threshold": 0.3})])
    assert len(inspector.judge([picture], [ANYWHERE])[0]) == 1
    assert detector.encoded == [("green", "red")]
    inspector.set_defects([GREEN])
    assert detector.encoded == [("green", "red"), ("green",)]


def test_refused_defects_leave_the_earlier_ones_in_force() -> None:
    inspector = _inspector([RED])
    before = inspector.prompts_hash
    with pytest.raises(PromptsError):
        inspector.set_defects([RED, RED])
    assert inspector.prompts_hash == before
    assert len(inspector.judge([rectangle(black(), "red", (20, 30, 60, 40))], [ANYWHERE])[0]) == 1


class _Boxes(ScriptedDetector):
    """Gives these boxes, with a score for each query."""

    def __init__(self, *rows: tuple[tuple[int, int, int, int], list[float]]) -> None:
        super().__init__()
        self._raw = RawDetections(
            np.array([box for box, _ in rows], dtype=np.float32),
            np.array([scores for _, scores in rows], dtype=np.float32),
        )

    def detect(self, pictures, prompts):  # type: ignore[no-untyped-def]
        return [self._raw for _ in pictures]


class _Masks(ScriptedSegmenter):
    """Gives these rectangles as masks, one for each box in turn."""

    def __init__(self, *boxes: tuple[int, int, int, int]) -> None:
        super().__init__()
        self._boxes = boxes

    def segment(self, embedding, boxes_xyxy_px):  # type: ignore[no-untyped-def]
        masks = [np.zeros_like(embedding) for _ in boxes_xyxy_px]
        for mask, (left, top, right, bottom) in zip(masks, self._boxes, strict=True):
            mask[top:bottom, left:right] = True
        return masks, np.ones(len(masks), dtype=np.float32)


def test_parts_of_one_defect_are_joined_by_their_masks() -> None:
    detector = _Boxes(((20, 30, 35, 40), [0.9]), ((45, 30, 60, 40), [0.8]))  # too far apart to be fused
    segmenter = _Masks((20, 30, 50, 40), (40, 30, 60, 40))
    (found,) = _inspector([RED], detector=detector, segmenter=segmenter).judge([black()], [ANYWHERE])
    assert [(hit.score, hit.box_xyxy_px) for hit in found] == [(0.9, (20, 30, 60, 40))]
    assert found[0].extent is not None
    assert found[0].extent.area_px == 400


def test_a_part_that_bridges_two_others_joins_all_three() -> None:
    """Both ends of a scratch score better than the whole of it, which comes last."""
    detector = _Boxes(((20, 30, 30, 40), [0.9]), ((50, 30, 60, 40), [0.8]), ((36, 30, 44, 40), [0.7]))
    segmenter = _Masks((20, 30, 30, 40), (50, 30, 60, 40), (20, 30, 60, 40))
    (found,) = _inspector([RED], detector=detector, segmenter=segmenter).judge([black()], [ANYWHERE])
    assert [(hit.score, hit.box_xyxy_px) for hit in found] == [(0.9, (20, 30, 60, 40))]


def test_a_faint_mask_that_leaks_over_two_defects_makes_them_not_one() -> None:
    detector = _Boxes(((20, 30, 30, 40), [0.9]), ((50, 30, 60, 40), [0.8]), ((36, 30, 44, 40), [0.3]))
    segmenter = _Masks((20, 30, 30, 40), (50, 30, 60, 40), (10, 20, 70, 50))
    lenient = RED.model_copy(update={"threshold": 0.2})
    (found,) = _inspector([lenient], detector=detector, segmenter=segmenter).judge([black()], [ANYWHERE])
    assert [hit.box_xyxy_px for hit in found] == [(20, 30, 30, 40), (50, 30, 60, 40)]


def test_defects_whose_masks_hardly_touch_stay_two() -> None:
    detector = _Boxes(((20, 30, 35, 40), [0.9]), ((45, 30, 60, 40), [0.8]))
    segmenter = _Masks((20, 30, 42, 40), (40, 30, 60, 40))
    (found,) = _inspector([RED], detector=detector, segmenter=segmenter).judge([black()], [ANYWHERE])
    assert len(found) == 2


def test_two_names_of_different_severity_for_one_mask_are_both_reported() -> None:
    """The higher score of a minor defect must not hide a critical one."""
    detector = _Boxes(((20, 30, 45, 40), [0.9, 0.1]), ((36, 30, 60, 40), [0.1, 0.8]))  # columns: green, red
    segmenter = _Masks((20, 30, 60, 40), (22, 30, 60, 40))
    (found,) = _inspector([RED, GREEN], detector=detector, segmenter=segmenter).judge([black()], [ANYWHERE])
    assert [(hit.defect, hit.severity) for hit in found] == [("green-spot", "major"), ("red-spot", "critical")]


def test_two_names_for_one_mask_leave_the_better_name_and_its_mask() -> None:
    detector = _Boxes(((20, 30, 45, 40), [0.1, 0.9]), ((36, 30, 60, 40), [0.8, 0.1]))  # columns: green, red
    segmenter = _Masks((20, 30, 60, 40), (22, 30, 60, 40))
    red = RED.model_copy(update={"severity": "major"})
    (found,) = _inspector([red, GREEN], detector=detector, segmenter=segmenter).judge([black()], [ANYWHERE])
    assert [(hit.defect, hit.box_xyxy_px) for hit in found] == [("red-spot", (20, 30, 60, 40))]


def test_a_small_defect_on_a_large_one_stays() -> None:
    detector = _Boxes(((20, 30, 60, 60), [0.1, 0.9]), ((30, 40, 36, 46), [0.8, 0.1]))
    segmenter = _Masks((20, 30, 60, 60), (30, 40, 36, 46))
    (found,) = _inspector([RED, GREEN], detector=detector, segmenter=segmenter).judge([black()], [ANYWHERE])
    assert [hit.defect for hit in found] == ["red-spot", "green-spot"]


def _seconds_for(above: int) -> float:
    """Seconds for a picture of 3600 boxes of which this many are above the threshold of each of six defects."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 900, (3600, 2))
    boxes = np.hstack((corners, corners + rng.uniform(5, 60, (3600, 2)))).astype(np.float32)
    scores = rng.uniform(0.5, 0.9, (3600, 7)).astype(np.float32)
    scores[above:] = 0.01
    defects = [
        DefectConfig(name=f"defect{n}x", prompts=[f"p{n}"], counter_prompts=["q"], threshold=0.3) for n in range(6)
    ]
    detector = _Boxes(((0, 0, 1, 1), [0.0]))
    detector._raw = RawDetections(boxes, scores)
    inspector = _inspector(defects, detector=detector)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        inspector.judge([black(1000, 1000)], [ANYWHERE])
        times.append(time.perf_counter() - began)
    return min(times)


def test_thresholds_far_too_low_cost_little_more_than_two_hundred_boxes_in_all() -> None:
    assert _seconds_for(3600) < 20 * _seconds_for(200 // 6)


def test_a_threshold_too_low_for_most_pictures_is_warned_of_once() -> None:
    crowding = Crowding()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3 * WINDOW_PICTURES):
            crowding.judged("rust")
        for _ in range(2 * WINDOW_PICTURES):
            crowding.judged(None)
    assert [(line["log_level"], line["defect"]) for line in logs] == [("warning", "rust"), ("info", "rust")]


def test_a_detector_that_loses_a_picture_is_not_believed() -> None:
    class Forgetful(ScriptedDetector):
        def detect(self, pictures, prompts):  # type: ignore[no-untyped-def]
            return super().detect(pictures, prompts)[:-1]

    with pytest.raises(RuntimeError, match="1 results for 2 pictures"):
        _inspector([RED], detector=Forgetful()).judge([black(), black()], [ANYWHERE] * 2)


def test_settings_of_a_camera_on_a_belt() -> None:
    camera = CameraConfig(
        name="a",
        source=FileSource(kind="file", path="x.mp4"),
        region_px=[(0, 0), (10, 0), (10, 10)],
        belt=BeltConfig(direction="left_to_right", speed_mm_s=100, mm_per_px=0.25),
    )
    assert CameraSettings.of(camera, 40, 30) == CameraSettings([(0, 0), (10, 0), (10, 10)], 0.25)
