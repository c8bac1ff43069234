"""`lines`: what contradicts itself, or the cameras, is refused with its place."""

from __future__ import annotations

import pytest

from tests.config.test_load import problems, right

BELT = "    belt: {direction: left_to_right, speed_mm_s: 300, mm_per_px: 1}\n"
CAMERA = "version: 1\ndefects: [{name: hole, prompts: [hole]}]\ncameras:\n  - name: top\n    source: {kind: usb}\n"
LINE = "lines:\n  - name: %s\n    parts: {kind: background, min_area_mm2: 400}\n"


def test_a_line_finds_its_parts_by_the_background_and_wants_three_views() -> None:
    config = right(CAMERA + BELT + LINE % "line1")
    line = config.parts_of("line1")
    assert line is not None
    assert (line.parts.kind, line.odometer.kind, line.views) == ("background", "speed", 3)
    assert config.parts_of("line2") is None


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        (CAMERA + LINE % "line1", "cameras[0].belt: is needed: the parts of line1 are accounted for"),
        (CAMERA + BELT + LINE % "line2", "lines[0].name: no camera watches this line; the cameras watch line1."),
        (
            CAMERA + BELT + LINE % "line1" + "  - {name: line1, parts: {kind: background, min_area_mm2: 1}}\n",
            "lines[1].name: is listed twice",
        ),
        (
            CAMERA + BELT + LINE % "line1" + "    lanes: [{from_mm: 100, to_mm: 200}, {from_mm: 0, to_mm: 150}]\n",
            "lines[0].lanes[0].from_mm: lies within lanes[1], which ends at 150: lanes must not overlap",
        ),
        (
            CAMERA + BELT + LINE % "line1" + "    lanes: [{from_mm: 100, to_mm: 90}]\n",
            "lines[0].lanes[0].to_mm: must be more than from_mm, 100",
        ),
        (CAMERA + BELT + LINE % "line1" + "    views: 0\n", "lines[0].views: "),
        (CAMERA + BELT + "lines: [{name: line1}]\n", "lines[0].parts: is missing"),
    ],
)
def test_each_mistake_of_a_line_is_reported_with_its_place(text: str, reported: str) -> None:
    (problem,) = problems(text)
    assert reported in problem
