"""Parts that the detector finds: they are known with the results of judged frames, and no sooner."""

from __future__ import annotations

from stream_inspect.decide.line_parts import LineParts
from stream_inspect.messages import (
    Doubt,
    Interval,
    Missed,
    PartChange,
    PartSight,
    PartsSeen,
    PartVerdict,
    Reason,
    Tracked,
    Verdict,
    What,
)
from tests.track.plant_line import S, config, header

STEP_MM = 200.0
PART = Interval(0.0, 120.0)
FIRST, LAST = 1, 6
"""The frames that show the whole part in the picture of 1280 mm."""


class Line:
    """A camera, each of whose frames is due, and the part in `PART`; a result comes three frames later."""

    def __init__(self, views: int = 6) -> None:
        the_config = config(parts={"kind": "prompt", "prompts": ["bottle cap"]}, views=views)
        self.parts = LineParts(the_config.lines[0], the_config.cameras)
        self.verdicts: list[PartVerdict] = []

    def capture(self, seq: int) -> None:
        self.parts.see(PartsSeen(frame=header(seq, seq * S), odometer_mm=seq * STEP_MM, changes=[], sights=[]))
        self.verdicts += self.parts.take()

    def result(self, seq: int, *, doubt: Doubt | None = None) -> None:
        """The tracks come first: they wait for what the frame shows of parts."""
        at_mm, frame = seq * STEP_MM, header(seq, seq * S)
        self.parts.judged(Tracked(frame=frame, tracks=[]), set())
        box = (at_mm - PART.high, 300.0, at_mm - PART.low, 420.0)
        sights = [PartSight(box_xyxy_px=box)] if FIRST <= seq <= LAST else []
        changes = [PartChange(What.ENTERED, 1, 0, PART, seq * S, doubt)] if seq == FIRST + 1 else []
        seen = PartsSeen(frame=frame, odometer_mm=at_mm, changes=changes, sights=sights, by_result=True)
        self.parts.see(seen)
        self.verdicts += self.parts.take()

    def run(self, *, missed: tuple[int, ...] = (), doubt: Doubt | None = None) -> PartVerdict:
        for seq in range(12):
            self.capture(seq)
            late = seq - 3
            if late in missed:
                self.parts.missed(Missed(frame=header(late, late * S), stage="capture", cause="superseded"))
            elif late >= 0:
                self.result(late, doubt=doubt)
        (verdict,) = (verdict for verdict in self.verdicts if verdict.is_final)
        return verdict


def test_each_judged_frame_that_shows_a_part_is_a_view_also_the_one_before_it_counted() -> None:
    verdict = Line().run()
    assert (verdict.verdict, verdict.views) == (Verdict.PASS, LAST - FIRST + 1)


def test_a_frame_that_was_dropped_is_no_view() -> None:
    verdict = Line().run(missed=(4,))
    assert (verdict.verdict, verdict.reason) == (Verdict.UNDECIDED, Reason.NOT_JUDGED)
    assert verdict.why == "5 usable views, 6 needed; 1 not judged"


def test_a_stretch_that_no_judged_frame_has_shown_is_undecided() -> None:
    verdict = Line(views=1).run(doubt=Doubt.NOT_SEEN)
    assert (verdict.verdict, verdict.reason) == (Verdict.UNDECIDED, Reason.NOT_SEEN)
