"""Why a box is a detection, and why another is not: what a replay writes down of each judged picture."""

from __future__ import annotations

import numpy as np
import pytest

from stream_inspect.config.models import DefectConfig
from stream_inspect.inspect.candidate import Candidate
from stream_inspect.inspect.candidates import FLOOR, MOST_CANDIDATES, Explained
from stream_inspect.inspect.detect.detector import PromptSet, RawDetections
from stream_inspect.inspect.inspector import CameraSettings, Inspector
from stream_inspect.picture import UInt8Array
from tests.inspect.scripted import ScriptedDetector, black

HOLE = DefectConfig(
    name="hole", prompts=["a hole", "a drill hole"], counter_prompts=["a screw", "a rivet"], threshold=0.4
)
RUST = DefectConfig(name="rust", prompts=["rust"], threshold=0.1, min_area_px=200)
Row = tuple[tuple[float, float, float, float], dict[str, float]]


class Written(ScriptedDetector):
    """Finds what it was told to: boxes with the score of each query."""

    def __init__(self, rows: list[Row]) -> None:
        super().__init__()
        self._rows = rows

    def detect(self, pictures: list[UInt8Array], prompts: PromptSet) -> list[RawDetections]:
        boxes = np.array([box for box, _ in self._rows], dtype=np.float32).reshape(-1, 4)
        scores = [[of.get(query, 0.0) for query in prompts.queries] for _, of in self._rows]
        return [RawDetections(boxes, np.array(scores, np.float32).reshape(-1, len(prompts.queries)))] * len(pictures)


def explain(rows: list[Row], *, region: tuple[tuple[float, float], ...] | None = None, most: int = 50) -> Explained:
    inspector = Inspector(Written(rows), None, model_hash="m", max_detections=most)
    inspector.open()
    inspector.set_defects([HOLE, RUST])
    settings = CameraSettings(region)
    (explained,) = inspector.explain([black(320, 240)], [settings])
    assert explained.detections == inspector.judge([black(320, 240)], [settings])[0], "explaining changes nothing"
    return explained


def only(explained: Explained) -> Candidate:
    (candidate,) = explained.candidates
    return candidate


def test_each_detection_has_the_wording_that_matched_it() -> None:
    explained = explain(
        [
            ((10, 10, 30, 30), {"a hole": 0.5, "a drill hole": 0.7}),
            ((100, 10, 130, 30), {"a hole": 0.7, "rust": 0.6}),
            ((200, 200, 230, 230), {"rust": 0.3}),
        ]
    )
    found = [
        (one.defect, one.score, prompt) for one, prompt in zip(explained.detections, explained.prompts, strict=True)
    ]
    assert found == [("hole", 0.7, "a drill hole"), ("hole", 0.7, "a hole"), ("rust", 0.3, "rust")]


def test_what_is_below_its_threshold_is_kept_down_to_the_floor_as_one_box() -> None:
    explained = explain(
        [
            ((10, 10, 30, 30), {"a hole": 0.39, "a drill hole": 0.2}),
            ((12, 10, 32, 30), {"a hole": 0.3}),
            ((200, 10, 230, 30), {"a hole": 0.09, "rust": 0.06}),
            ((200, 100, 230, 130), {"rust": 0.04}),
        ]
    )
    assert explained.detections == []
    hole, rust = explained.candidates
    assert (hole.defect, hole.refused_for, hole.prompt) == ("hole", "threshold", "a hole")
    assert hole.score == pytest.approx(0.39, abs=1e-4)
    assert hole.score < HOLE.threshold
    assert hole.box_xyxy_px[0] in (10.0, pytest.approx(10.74, abs=0.02))
    assert (rust.defect, rust.box_xyxy_px[:2]) == ("rust", (200.0, 10.0))
    assert explained.floors == {"hole": FLOOR, "rust": RUST.threshold / 2}


def test_a_weak_box_on_a_detection_of_its_defect_is_part_of_it() -> None:
    explained = explain([((10, 10, 30, 30), {"a hole": 0.8}), ((14, 12, 34, 30), {"a hole": 0.3, "rust": 0.09})])
    assert [one.defect for one in explained.detections] == ["hole"]
    assert only(explained).defect == "rust", "of another defect it is a candidate of its own"


def test_the_counter_prompt_that_won_is_named_with_its_score_also_on_the_same_place() -> None:
    explained = explain(
        [
            ((10, 10, 30, 30), {"a hole": 0.6, "a screw": 0.5}),
            ((11, 10, 31, 30), {"a hole": 0.1, "a screw": 0.2, "a rivet": 0.9}),
        ]
    )
    assert explained.detections == []
    lost = only(explained)
    assert (lost.refused_for, lost.prompt, lost.score) == ("counter_prompt", "a hole", pytest.approx(0.6, abs=1e-4))
    assert (lost.counter_prompt, lost.counter_score) == ("a rivet", 0.9)


def test_what_lies_outside_of_the_region_or_is_too_small_is_named() -> None:
    region = ((0.0, 0.0), (100.0, 0.0), (100.0, 240.0), (0.0, 240.0))
    explained = explain(
        [
            ((200, 10, 230, 30), {"a hole": 0.9}),
            ((90, 100, 130, 130), {"a hole": 0.8}),
            ((10, 200, 20, 210), {"rust": 0.7}),
            ((10, 10, 30, 30), {"rust": 0.6}),
        ],
        region=region,
    )
    assert [one.defect for one in explained.detections] == ["rust"]
    refused = [(one.defect, one.refused_for, one.prompt, one.score) for one in explained.candidates]
    assert refused == [
        ("hole", "region", "a hole", 0.9),
        ("hole", "region", "a hole", 0.8),
        ("rust", "size", "rust", 0.7),
    ]
    assert explained.candidates[2].extent is not None
    assert explained.candidates[2].extent.area_px == 100


def test_many_candidates_are_cut_to_the_best_and_the_floor_says_so() -> None:
    rows: list[Row] = [
        ((x * 20.0, y * 20.0, x * 20.0 + 10, y * 20.0 + 10), {"a hole": 0.15 + 0.001 * (16 * y + x)})
        for y in range(12)
        for x in range(16)
    ]
    explained = explain(rows)
    assert len(explained.candidates) == MOST_CANDIDATES
    lowest = min(one.score for one in explained.candidates)
    assert FLOOR < explained.floors["hole"] <= lowest
    best_left_out = 0.15 + 0.001 * (len(rows) - MOST_CANDIDATES - 1)
    assert explained.floors["hole"] > best_left_out - 1e-4


def test_more_detections_than_allowed_are_named() -> None:
    rows: list[Row] = [((x * 40.0, 10, x * 40.0 + 20, 30), {"a hole": 0.9 - 0.1 * x}) for x in range(4)]
    explained = explain(rows, most=2)
    assert len(explained.detections) == 2
    assert [one.refused_for for one in explained.candidates] == ["limit", "limit"]


def test_a_picture_without_any_box_has_nothing_to_explain() -> None:
    explained = explain([])
    assert (explained.detections, explained.candidates) == ([], [])
