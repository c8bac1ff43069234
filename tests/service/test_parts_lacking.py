"""A line that cannot give its parts their views, or its belt its judged frames, says so within 3 s."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import REGISTRY

from stream_inspect.messages import Reason, Verdict
from tests.service.parts_line import END, PARTS_MM, Line, S

PICTURE = {"kind": "picture"}


def told(line: Line, kind: str) -> list[str]:
    return [one.detail for one in line.conditions if one.kind == kind and one.active]


def test_frames_that_are_too_far_apart_are_a_condition_with_the_speed_when_the_first_part_has_left(
    tmp_path: Path,
) -> None:
    """One frame in 25 is due, each 600 mm: a part of 200 mm is whole for 1080 mm of the picture's 1280."""
    line = Line(tmp_path, PICTURE, due_every=25)
    line.run(0, END)
    assert line.reasons() == {(Verdict.UNDECIDED, Reason.TOO_FEW_VIEWS): len(PARTS_MM)}
    first = next(one for one in line.conditions if one.kind == "too_few_views" and one.active)
    assert first.detail == ("1 of the last 1 parts are undecided: 2 usable views, 3 needed; the belt runs at 600 mm/s")
    left_s = (PARTS_MM[0] + 200 + 1280) / 600
    assert left_s < first.mono_ns / S < left_s + 3
    views = {"line": "line1", "le": "2.0"}
    assert (REGISTRY.get_sample_value("stream_inspect_part_views_bucket", views) or 0) >= len(PARTS_MM)


def test_belt_that_passes_while_frames_are_dropped_is_a_condition_and_a_metric(tmp_path: Path) -> None:
    line = Line(tmp_path, PICTURE)
    line.run(0, 100)
    assert told(line, "belt_not_judged") == []
    line.run(100, 200, judged=False)
    line.run(200, END)
    details = told(line, "belt_not_judged")
    assert details[0].endswith("had fewer than 3 judged frames")
    passed, judged = (
        REGISTRY.get_sample_value("stream_inspect_belt_mm", {"line": "line1", "camera": "top", "state": state}) or 0
        for state in ("passed", "judged")
    )
    assert 1000 < passed - judged < 1400, (
        "dropped: 2400 mm, of which what was in the picture before and after is judged"
    )


def test_a_line_that_judges_enough_reports_neither(tmp_path: Path) -> None:
    line = Line(tmp_path, PICTURE)
    line.run(0, END)
    assert told(line, "too_few_views") == told(line, "belt_not_judged") == []
    assert {one.kind for one in line.conditions if not one.active} >= {"too_few_views", "belt_not_judged"}
