"""Compiling defects into queries, and scores back into defects."""

from __future__ import annotations

import numpy as np
import pytest

from stream_inspect.boxes import ious
from stream_inspect.config.models import DefectConfig
from stream_inspect.inspect.detect.detector import RawDetections
from stream_inspect.inspect.prompts import CompiledPrompts, PromptsError, compile_prompts, prompts_hash

HOLE = DefectConfig(name="hole", prompts=["a hole", "a drill hole"], counter_prompts=["a screw hole"], threshold=0.4)
RUST = DefectConfig(name="rust", prompts=["rust"], threshold=0.2)


def _raw(compiled: CompiledPrompts, rows: list[tuple[tuple[float, ...], dict[str, float]]]) -> RawDetections:
    boxes = np.array([box for box, _ in rows], dtype=np.float32)
    scores = np.array([[scores.get(query, 0.0) for query in compiled.queries] for _, scores in rows], dtype=np.float32)
    return RawDetections(boxes, scores)


def test_a_text_used_twice_is_one_query() -> None:
    compiled = compile_prompts([HOLE, DefectConfig(name="bore", prompts=["a  drill hole "])])
    assert compiled.queries == ("a drill hole", "a hole", "a screw hole")
    assert [defect.name for defect in compiled.defects] == ["bore", "hole"]
    assert compiled.prompt_columns == ((0,), (0, 1))
    assert compiled.counter_columns == ((), (2,))


def test_the_best_prompt_of_a_defect_counts_and_its_threshold_is_reached_by_equality() -> None:
    compiled = compile_prompts([HOLE, RUST])
    raw = _raw(
        compiled,
        [
            ((0, 0, 10, 10), {"a hole": 0.1, "a drill hole": 0.6}),
            ((50, 0, 60, 10), {"a hole": 0.39}),
            ((90, 0, 99, 10), {"a hole": np.float32(0.4), "rust": 0.25}),
        ],
    )
    found = compiled.candidates(RawDetections(raw.boxes_xyxy_px, raw.scores.astype(np.float64).round(3)))
    assert [
        (compiled.defects[d].name, round(float(s), 3)) for d, s in zip(found.defects, found.scores, strict=True)
    ] == [
        ("hole", 0.6),
        ("hole", 0.4),
        ("rust", 0.25),
    ]


def test_a_counter_prompt_suppresses_where_it_scores_strictly_higher() -> None:
    compiled = compile_prompts([HOLE])
    raw = _raw(
        compiled,
        [
            ((0, 0, 10, 10), {"a hole": 0.5, "a screw hole": 0.51}),
            ((50, 0, 60, 10), {"a hole": 0.5, "a screw hole": 0.5}),
        ],
    )
    np.testing.assert_array_equal(compiled.candidates(raw).boxes_xyxy_px, [(50, 0, 60, 10)])


def test_a_counter_prompt_suppresses_the_other_raw_boxes_of_the_same_thing() -> None:
    """A screw hole's neighbouring patch calls it a hole: the patch that knows better decides for both."""
    compiled = compile_prompts([HOLE])
    raw = _raw(
        compiled,
        [
            ((0, 0, 10, 10), {"a hole": 0.3, "a screw hole": 0.8}),
            ((1, 0, 11, 10), {"a hole": 0.45, "a screw hole": 0.2}),
            ((8, 0, 18, 10), {"a hole": 0.45, "a screw hole": 0.2}),  # shares too little to be the same box
        ],
    )
    np.testing.assert_array_equal(compiled.candidates(raw).boxes_xyxy_px, [(8, 0, 18, 10)])


def test_a_counter_prompt_of_one_defect_leaves_others_alone() -> None:
    compiled = compile_prompts([HOLE, RUST])
    raw = _raw(compiled, [((0, 0, 10, 10), {"a hole": 0.5, "a screw hole": 0.9, "rust": 0.3})])
    assert [compiled.defects[index].name for index in compiled.candidates(raw).defects] == ["rust"]


def test_candidates_are_limited_to_the_best() -> None:
    compiled = compile_prompts([RUST])
    raw = _raw(compiled, [((x, 0, x + 5, 5), {"rust": 0.3 + x / 1000}) for x in (0, 30, 10, 20)])
    np.testing.assert_allclose(compiled.candidates(raw, limit=2).scores, [0.33, 0.32])


def test_the_limit_counts_for_each_defect_before_counter_prompts_are_compared() -> None:
    """Comparing thousands of boxes, each with all, would take seconds a frame."""
    compiled = compile_prompts([HOLE])
    rows = [((x, 0, x + 5, 5), {"a hole": 0.5 + x / 1000, "a screw hole": 0.9 * (x == 30)}) for x in (0, 30, 10, 20)]
    np.testing.assert_allclose(compiled.candidates(_raw(compiled, rows), limit=2).scores, [0.52])


def test_a_defect_whose_threshold_is_far_too_low_is_named_and_crowds_out_no_other() -> None:
    compiled = compile_prompts([HOLE, RUST])
    rows = [((x, 0, x + 5, 5), {"rust": 0.9}) for x in range(0, 100, 10)]
    found = compiled.candidates(_raw(compiled, [*rows, ((200, 0, 210, 10), {"a hole": 0.5})]), limit=4)
    assert found.defects.tolist().count(0) == 1
    assert len(found.scores) == 4
    assert found.crowding == 1, "rust"


@pytest.mark.parametrize("seed", range(5))
def test_counter_prompts_suppress_as_the_plain_rule_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    compiled = compile_prompts(
        [DefectConfig(name="hole", prompts=["a hole"], counter_prompts=["a screw"], threshold=0.2)]
    )
    corners, sides = rng.uniform(0, 60, (200, 2)), rng.uniform(0, 30, (200, 2))
    sides[:5] = 0  # boxes without area are nobody's
    boxes = np.concatenate((corners, corners + sides), axis=1).astype(np.float32)
    hole, screw = scores = rng.random((2, 200)).astype(np.float32)
    kept = [
        index
        for index in np.flatnonzero(hole >= 0.2)
        if screw[index] <= hole[index] and not ((ious(boxes[index], boxes) >= 0.5) & (screw > hole[index])).any()
    ]
    assert 0 < len(kept) < 100
    np.testing.assert_array_equal(compiled.candidates(RawDetections(boxes, scores.T)).boxes_xyxy_px, boxes[kept])


def test_no_raw_boxes_no_candidates() -> None:
    compiled = compile_prompts([HOLE, RUST])
    raw = RawDetections(np.zeros((0, 4), np.float32), np.zeros((0, len(compiled.queries)), np.float32))
    assert len(compiled.candidates(raw).scores) == 0


@pytest.mark.parametrize(
    ("defects", "problem"),
    [
        ([], "no defect"),
        ([RUST, RUST], "two defects are called 'rust'"),
        (
            [DefectConfig(name="dent", prompts=["a dent"], counter_prompts=["a  dent"])],
            "as prompt and as counter-prompt",
        ),
    ],
)
def test_unusable_defects_are_refused_with_the_reason(defects: list[DefectConfig], problem: str) -> None:
    with pytest.raises(PromptsError, match=problem):
        compile_prompts(defects)


def test_the_hash_is_of_the_meaning() -> None:
    turned = HOLE.model_copy(update={"prompts": ["a drill  hole", "a hole", "a hole"]})
    assert prompts_hash([HOLE, RUST]) == prompts_hash([RUST, turned])
    assert compile_prompts([RUST, turned]).prompts_hash == prompts_hash([HOLE, RUST])


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.41},
        {"prompts": ["a hole"]},
        {"counter_prompts": []},
        {"min_area_px": 4.0},
        {"min_area_mm2": 4.0},
        {"severity": "minor"},
        {"name": "bore"},
    ],
)
def test_the_hash_changes_with_everything_that_changes_verdicts(change: dict[str, object]) -> None:
    assert prompts_hash([HOLE.model_copy(update=change)]) != prompts_hash([HOLE])
