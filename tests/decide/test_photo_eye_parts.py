"""Parts that a photo-eye announced: each judged frame that shows their place is a view, within the region."""

from __future__ import annotations

import pytest

from stream_inspect.decide.line_parts import LineParts
from stream_inspect.messages import Doubt, Interval, PartChange, PartsSeen, PartVerdict, Reason, Tracked, Verdict, What
from tests.track.plant_line import S, config, header

STEP_MM = 100.0


def verdict_of(region_px: list[tuple[float, float]] | None = None, doubt: Doubt | None = None) -> PartVerdict:
    """The verdict of a part of 120 mm that runs through the picture of 1280 mm, 100 mm a frame."""
    the_config = config()
    cameras = [the_config.cameras[0].model_copy(update={"region_px": region_px})]
    parts = LineParts(the_config.lines[0], cameras)
    entered = PartChange(What.ENTERED, 1, 0, Interval(200, 320), 0, doubt, "A-1")
    for seq in range(20):
        frame = header(seq, seq * S // 8)
        changes = [entered] if seq == 1 else []
        parts.see(PartsSeen(frame=frame, odometer_mm=seq * STEP_MM, changes=changes, sights=[]))
        parts.judged(Tracked(frame=frame, tracks=[], ended=[], model_hash="m", prompts_hash="p"), set())
    (verdict,) = parts.take()
    return verdict


def test_every_judged_frame_that_shows_its_place_is_a_view() -> None:
    verdict = verdict_of()
    assert (verdict.verdict, verdict.views, verdict.serial) == (Verdict.PASS, 11, "A-1")


@pytest.mark.parametrize(("from_px", "views"), [(0, 11), (640, 5), (1200, 0)])
def test_only_what_is_in_the_region_is_a_view(from_px: float, views: int) -> None:
    verdict = verdict_of([(from_px, 0.0), (1280.0, 0.0), (1280.0, 720.0), (from_px, 720.0)])
    assert verdict.views == views
    assert ("outside the region" in verdict.why) is (from_px > 0)


def test_a_part_that_passed_an_eye_that_was_not_read_is_undecided() -> None:
    verdict = verdict_of(doubt=Doubt.UNREAD)
    assert (verdict.verdict, verdict.reason) == (Verdict.UNDECIDED, Reason.UNREAD)
    assert verdict.why == "passed the photo-eye while that was not read"
