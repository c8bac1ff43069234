"""The ledger of parts: what a verdict needs, when it is given, and that the sum closes at every moment."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.decide.part_views import CameraWindow, View
from stream_inspect.decide.parts import Binding, LaneCounts, LineLayout, PartsLedger
from stream_inspect.messages import Doubt, Interval, PartChange, PartDefect, PartVerdict, Reason, Verdict, What

TOP = {"top": CameraWindow(offset_mm=0, length_mm=1000, views_needed=3)}
BOTH = {**TOP, "side": CameraWindow(offset_mm=2000, length_mm=500, views_needed=1)}
PASS, FAIL, UNDECIDED = Verdict.PASS, Verdict.FAIL, Verdict.UNDECIDED
USABLE = View.USABLE


class Line:
    """A line with one lane, in the terms of a test: parts are `length_mm` long, and each frame is due."""

    def __init__(self, layout: LineLayout | None = None, ledger: PartsLedger | None = None) -> None:
        self.layout = layout or LineLayout(TOP)
        self.ledger = ledger or PartsLedger(self.layout)
        self.found = 0
        self.due = 0
        self.given: list[PartVerdict] = []

    def enter(
        self,
        low: float,
        high: float,
        finder: str = "top",
        *,
        doubt: Doubt | None = None,
        serial: str = "",
        lane: int = 0,
    ) -> int | None:
        self.found += 1
        change = PartChange(What.ENTERED, self.found, lane, Interval(low, high), 0, doubt, serial)
        return self.ledger.place(finder, change)

    def frame(self, at_mm: float, view: View | None = USABLE, camera: str = "top", *, reported: bool = True) -> int:
        """A due frame at this reading, which shows all parts alike; None: it is dropped."""
        number = self.due
        self.due += 1
        self.ledger.frame(camera, at_mm, number)
        if reported:
            self.report(number, at_mm, view, camera)
        self.settle()
        return number

    def report(self, number: int, at_mm: float, view: View | None = USABLE, camera: str = "top") -> None:
        for part in self.ledger.parts_in(camera, at_mm) if view else ():
            self.ledger.view(part, camera, number, at_mm, view or USABLE)
        self.ledger.report(camera, number, judged=view is not None)
        self.settle()

    def settle(self) -> None:
        self.ledger.settle()
        assert all(counts.residual == 0 for counts in self.ledger.counts().values())
        self.given += self.ledger.take()

    def defect(
        self, part: int, *, confirmed: bool = True, track: int = 1, score: float = 0.5, name: str = "scratch"
    ) -> Binding:
        found = PartDefect(camera="top", track=track, defect=name, score=score, confirmed=confirmed)
        binding = self.ledger.defect(part, found)
        self.settle()
        return binding

    @property
    def counts(self) -> LaneCounts:
        return self.ledger.counts()[0]

    @property
    def verdicts(self) -> list[tuple[int, Verdict, Reason]]:
        """As they were given first."""
        first: dict[int, PartVerdict] = {}
        for verdict in self.given:
            first.setdefault(verdict.part, verdict)
        return [(one.part, one.verdict, one.reason) for one in first.values()]

    def why(self, part: int) -> str:
        return next(one.why for one in self.given if one.part == part)


def a_part(layout: LineLayout | None = None, *, doubt: Doubt | None = None) -> tuple[Line, int]:
    """A line with one part on it, of 100 mm, with its leading edge at s = 0."""
    line = Line(layout)
    part = line.enter(0, 100, doubt=doubt)
    assert part is not None
    return line, part


# --- what a verdict needs ---


def test_a_part_with_enough_usable_views_and_no_defect_passes_when_it_has_left():
    line, part = a_part()
    for at_mm in (200, 500, 800):
        line.frame(at_mm)
        assert line.given == []
    line.frame(1100)
    assert line.verdicts == [(part, PASS, Reason.ENOUGH_VIEWS)]
    assert line.why(part) == "3 usable views, 3 needed"
    assert line.given[0].views == 3


def test_a_part_with_too_few_usable_views_is_undecided_and_says_what_the_others_were():
    line, part = a_part()
    line.frame(50)
    line.frame(200)
    line.frame(400, View.OUT_OF_FOCUS)
    line.frame(600)
    line.frame(1100)
    assert line.verdicts == [(part, UNDECIDED, Reason.TOO_FEW_VIEWS)]
    assert line.why(part) == "2 usable views, 3 needed; 1 cut, 1 out of focus"


@pytest.mark.parametrize("at_mm", [100, 1000])
def test_a_view_is_whole_from_edge_to_edge_of_the_picture(at_mm: float):
    line, part = a_part(LineLayout({"top": CameraWindow(0, 1000, 1)}))
    line.frame(at_mm)
    line.frame(1100)
    assert line.verdicts == [(part, PASS, Reason.ENOUGH_VIEWS)]


@pytest.mark.parametrize("at_mm", [99, 1001])
def test_a_view_of_a_part_that_the_edge_cuts_does_not_count(at_mm: float):
    line, part = a_part(LineLayout({"top": CameraWindow(0, 1000, 1)}))
    line.frame(at_mm)
    line.frame(1100)
    assert line.verdicts == [(part, UNDECIDED, Reason.TOO_FEW_VIEWS)]


def test_a_view_counts_by_the_length_that_is_known_in_the_end():
    """The finder took half of the part, which was coming in, for all of it."""
    line = Line(LineLayout({"top": CameraWindow(0, 1000, 1)}))
    part = line.ledger.place("top", PartChange(What.ENTERED, 1, 0, Interval(0, 50), 0))
    line.frame(60)
    line.ledger.place("top", PartChange(What.UPDATED, 1, 0, Interval(0, 100), 0))
    line.frame(1100)
    assert line.verdicts == [(part, UNDECIDED, Reason.TOO_FEW_VIEWS)]


def test_frames_that_were_not_judged_are_the_reason_where_they_would_have_been_enough():
    line, part = a_part()
    for at_mm, view in ((200, USABLE), (400, None), (600, None)):
        line.frame(at_mm, view)
    line.frame(1100)
    assert line.verdicts == [(part, UNDECIDED, Reason.NOT_JUDGED)]
    assert line.why(part) == "1 usable views, 3 needed; 2 not judged"


def test_a_result_that_comes_after_its_frame_was_given_up_is_a_view():
    line, part = a_part()
    line.frame(200), line.frame(400)
    number = line.frame(600, None)
    line.report(number, 600)
    line.frame(1100)
    assert line.verdicts == [(part, PASS, Reason.ENOUGH_VIEWS)]


def test_a_frame_counts_once_however_often_it_is_reported():
    line, part = a_part()
    number = line.frame(500)
    for _ in range(5):
        line.report(number, 500)
    line.frame(1100)
    assert line.why(part) == "1 usable views, 3 needed"


def test_a_part_that_stands_in_view_for_hours_takes_no_more_memory():
    line, part = a_part()
    for _ in range(600):
        line.frame(500)
    some = len(line.ledger.record())
    for _ in range(3000):
        line.frame(500)
    assert len(line.ledger.record()) < 1.1 * some
    line.report(0, 500)
    line.frame(1100)
    assert line.why(part) == "3600 usable views, 3 needed"


@pytest.mark.parametrize(
    ("doubt", "reason"),
    [
        (Doubt.AT_START, Reason.AT_START),
        (Doubt.UNWATCHED, Reason.UNWATCHED),
        (Doubt.TWO_TRIGGERS, Reason.TWO_TRIGGERS),
    ],
)
def test_a_part_that_is_doubted_does_not_pass_however_well_it_was_seen(doubt: Doubt, reason: Reason):
    line, part = a_part(doubt=doubt)
    for at_mm in (200, 400, 600, 1100):
        line.frame(at_mm)
    assert line.verdicts == [(part, UNDECIDED, reason)]
    assert line.why(part) == doubt


def test_every_camera_has_to_give_its_views():
    line, part = a_part(LineLayout(BOTH))
    for at_mm in (200, 400, 600, 1100):
        line.frame(at_mm)
    for at_mm in (1900, 2050, 2600):
        line.frame(at_mm, camera="side")
    assert line.verdicts == [(part, UNDECIDED, Reason.TOO_FEW_VIEWS)]
    assert line.why(part) == "side: 0 usable views, 1 needed; 1 cut"


# --- defects ---


def test_a_confirmed_defect_fails_a_part_at_once_and_further_ones_are_added():
    line, part = a_part()
    assert line.defect(part, confirmed=False) is Binding.NOTED
    assert line.given == []
    assert line.defect(part, score=0.62) is Binding.FAILED
    assert [(one.verdict, one.why, one.is_final) for one in line.given] == [(FAIL, "scratch 0.62", False)]
    assert line.defect(part, track=2, score=0.9, name="dent") is Binding.ADDED
    line.frame(1100)
    assert [(one.verdict, one.why, one.is_final) for one in line.given[1:]] == [(FAIL, "scratch 0.62", True)]
    assert [(found.defect, found.score) for found in line.given[-1].defects] == [("scratch", 0.62), ("dent", 0.9)]


def test_a_defect_outweighs_a_doubt():
    line, part = a_part(doubt=Doubt.AT_START)
    line.defect(part)
    assert line.verdicts == [(part, FAIL, Reason.DEFECT)]


def test_a_defect_that_was_never_confirmed_fails_nothing():
    line, part = a_part()
    line.defect(part, confirmed=False)
    for at_mm in (200, 400, 600, 1100):
        line.frame(at_mm)
    assert line.verdicts == [(part, PASS, Reason.ENOUGH_VIEWS)]


@pytest.mark.parametrize(("frames", "verdict", "escapes"), [((200, 400, 600), PASS, 1), ((200,), UNDECIDED, 0)])
def test_a_defect_that_comes_after_the_verdict_changes_nothing_and_is_counted(frames, verdict, escapes):
    """Once for each part: an escape if it had passed; what was undecided went the safe way."""
    line, part = a_part()
    for at_mm in (*frames, 1100):
        line.frame(at_mm)
    assert line.defect(part) is line.defect(part, track=2) is Binding.LATE
    assert {one.verdict for one in line.given} == {verdict}
    assert (line.counts.late_defects, line.counts.escapes) == (1, escapes)


def test_a_defect_of_a_part_that_is_forgotten_is_said_to_be():
    line, part = a_part()
    line.frame(5000)
    assert line.defect(part) is Binding.UNKNOWN


def test_a_defect_belongs_to_the_part_that_holds_its_place():
    line = Line()
    first, second = line.enter(0, 100), line.enter(90, 190)
    other_lane = line.enter(0, 100, lane=1)
    assert line.ledger.parts_at(0, 50) == [first]
    assert line.ledger.parts_at(0, 94) == [first, second], "where two overlap, first the one whose middle is nearer"
    assert line.ledger.parts_at(0, 98) == [second, first]
    assert line.ledger.parts_at(1, 50) == [other_lane]
    assert line.ledger.parts_at(0, -5) == [first], "a little off"
    assert line.ledger.parts_at(0, 300) == []


# --- when it is given ---


def test_a_part_is_not_decided_while_a_frame_that_shows_it_is_on_its_way():
    line, part = a_part()
    for at_mm in (200, 400, 600):
        line.frame(at_mm)
    number = line.frame(700, reported=False)
    other = line.frame(1100, reported=False)
    assert line.given == []
    line.report(number, 700)
    assert line.verdicts == [(part, PASS, Reason.ENOUGH_VIEWS)], f"frame {other} does not show it any more"


def test_a_frame_whose_note_was_lost_is_waited_for_too():
    line, part = a_part()
    for at_mm in (200, 400, 600):
        line.frame(at_mm)
    lost = line.due
    line.due += 1
    line.frame(800)
    line.frame(1100)
    assert line.given == []
    line.report(lost, 700)
    assert line.verdicts == [(part, PASS, Reason.ENOUGH_VIEWS)]


def test_a_part_is_decided_when_it_has_left_the_last_camera():
    line, part = a_part(LineLayout(BOTH))
    for at_mm in (200, 400, 600, 1100):
        line.frame(at_mm)
    line.frame(2300, camera="side")
    line.frame(2599, camera="side")
    assert line.given == []
    line.frame(2600, camera="side")
    assert line.verdicts == [(part, PASS, Reason.ENOUGH_VIEWS)]


def gated(**options: float) -> LineLayout:
    return LineLayout(TOP, gate_mm=1500, margin_mm=100, **options)


def test_a_part_is_decided_at_the_latest_when_its_leading_edge_is_a_margin_from_its_gate():
    line, part = a_part(gated())
    for at_mm in (200, 400, 600):
        line.frame(at_mm)
    line.frame(700, reported=False)
    line.frame(1399)
    assert line.given == []
    line.ledger.advance(1400)
    line.settle()
    assert line.verdicts == [(part, UNDECIDED, Reason.TOO_LATE)]
    assert line.why(part) == "too late: due frames not reported: 1 of top"


def test_a_late_result_does_not_change_the_verdict():
    line, part = a_part(gated())
    for at_mm in (200, 400, 600):
        line.frame(at_mm)
    number = line.frame(700, reported=False)
    line.frame(1400)
    line.report(number, 700)
    line.frame(1500)
    assert {(one.verdict, one.reason) for one in line.given} == {(UNDECIDED, Reason.TOO_LATE)}
    assert [one.is_final for one in line.given] == [False, True]
    assert line.given[-1].part == part


def test_a_gate_within_the_picture_decides_by_what_was_judged_in_time():
    """Frames of the last moment before the gate cannot be judged in time, and are not waited for."""
    line, part = a_part(LineLayout(TOP, gate_mm=800, judging_mm=150))
    for at_mm in (200, 400, 600):
        line.frame(at_mm)
    line.frame(660, reported=False)
    assert line.given == []
    line.frame(800, reported=False)
    assert line.verdicts == [(part, PASS, Reason.ENOUGH_VIEWS)]


def test_a_camera_that_fails_holds_up_no_part_permanently():
    line, part = a_part(LineLayout(BOTH))
    for at_mm in (200, 400, 600):
        line.frame(at_mm)
    line.frame(100 + 2500 + 999)
    assert line.given == []
    line.frame(100 + 2500 + 1000)
    assert line.verdicts == [(part, UNDECIDED, Reason.TOO_FEW_VIEWS)]
    assert line.why(part) == "side: 0 usable views, 1 needed"


def test_a_frame_that_is_never_reported_holds_up_no_part_permanently():
    line, part = a_part()
    for at_mm in (200, 400, 600):
        line.frame(at_mm)
    line.frame(700, reported=False)
    line.frame(2200)
    assert line.verdicts == [(part, UNDECIDED, Reason.TOO_LATE)]


def test_a_lost_odometer_leaves_nothing_on_the_belt():
    line = Line()
    first, second = line.enter(0, 100), line.enter(200, 300)
    assert first is not None
    line.defect(first)
    line.frame(400)
    line.ledger.lose_belt()
    line.settle()
    assert line.verdicts == [(first, FAIL, Reason.DEFECT), (second, UNDECIDED, Reason.ODOMETER_UNKNOWN)]
    assert line.counts.on_belt == 0
    assert sorted(one.part for one in line.given if one.is_final) == [first, second]
    assert line.enter(0, 100) not in (first, second), "places before and after are not the same"


# --- several finders ---


def test_two_cameras_see_one_part():
    line = Line(LineLayout(BOTH))
    part = line.enter(0, 100, "top")
    assert line.enter(4, 103, "side") == part
    assert line.enter(300, 400, "side") != part
    assert line.counts.entered == 2


def test_a_camera_does_not_join_its_own_parts():
    line = Line(LineLayout(TOP, joined_mm=30))
    assert line.enter(0, 20) != line.enter(25, 45)


def test_a_part_that_a_second_camera_sees_coming_in_is_joined_by_its_leading_edge():
    line = Line(LineLayout(BOTH))
    first, second = line.enter(0, 100, "top"), line.enter(95, 195, "top")
    change = PartChange(What.ENTERED, 9, 0, Interval(95, 110, high_cut=True), 0)
    assert line.ledger.place("side", change) == second != first


def test_what_is_found_after_an_outage_is_the_part_that_was_known_there():
    line, part = a_part()
    assert line.enter(2, 99, doubt=Doubt.UNWATCHED) == part
    for at_mm in (200, 400, 600, 1100):
        line.frame(at_mm)
    assert line.verdicts == [(part, PASS, Reason.ENOUGH_VIEWS)]


def test_a_leading_end_waits_where_it_may_belong_to_a_trailing_end():
    """One camera was started when the part was half out of its picture; the next one sees it coming in."""
    line = Line(LineLayout(BOTH))
    part = line.ledger.place("top", PartChange(What.ENTERED, 1, 0, Interval(60, 100, low_cut=True), 0, Doubt.AT_START))
    assert line.ledger.place("side", PartChange(What.ENTERED, 1, 0, Interval(0, 30, high_cut=True), 0)) is None
    assert line.ledger.place("side", PartChange(What.UPDATED, 1, 0, Interval(0, 100), 0)) == part
    assert line.counts.entered == 1


def test_a_serial_number_of_a_trigger_is_in_the_verdict():
    line = Line()
    part = line.enter(0, 100, "top")
    assert line.enter(1, 101, "photo-eye", serial="A-17") == part
    line.frame(1200)
    assert line.given[0].serial == "A-17"


def test_two_triggers_for_one_part_are_a_doubt_that_comes_later():
    line = Line()
    part = line.ledger.place("eye", PartChange(What.ENTERED, 1, 0, Interval(0, 100), 0))
    line.ledger.place("eye", PartChange(What.UPDATED, 1, 0, Interval(0, 100), 0, Doubt.TWO_TRIGGERS))
    for at_mm in (200, 400, 600, 1100):
        line.frame(at_mm)
    assert line.verdicts == [(part, UNDECIDED, Reason.TWO_TRIGGERS)]


def test_a_part_that_a_reversed_belt_brings_back_is_not_counted_again():
    line, part = a_part()
    line.frame(5000)
    assert line.defect(part or 0) is Binding.UNKNOWN, "it is forgotten"
    assert line.enter(1, 101) is None
    assert line.counts.entered == 1


# --- restarts ---


def restarted(line: Line, *, upstream_mm: float = 0.0) -> Line:
    """The line after a kill, the picture's upstream edge being here as it is seen again."""
    ledger = PartsLedger.restore(line.layout, line.ledger.record())
    ledger.miss(upstream_mm)
    after = Line(line.layout, ledger)
    after.due, after.given = line.due, line.given
    return after


def test_after_a_kill_what_had_no_verdict_is_undecided_and_what_had_failed_has_failed():
    line = Line()
    first, second = line.enter(0, 100), line.enter(200, 300)
    assert first is not None
    line.defect(first)
    for at_mm in (350, 500, 700):
        line.frame(at_mm)
    after = restarted(line, upstream_mm=700)
    assert after.counts.entered == 2
    assert after.enter(1, 101) == first
    assert after.enter(201, 301, doubt=Doubt.AT_START) == second
    after.frame(1301)
    assert after.verdicts == [(first, FAIL, Reason.DEFECT), (second, UNDECIDED, Reason.RESTARTED)]
    assert after.enter(500, 600) == 3, "numbers go on"


def test_after_a_kill_a_part_that_no_camera_had_seen_yet_may_pass():
    """A photo-eye far upstream of the picture has announced it."""
    line = Line()
    part = line.enter(900, 1000)
    line.frame(500)
    after = restarted(line, upstream_mm=600)
    for at_mm in (1100, 1300, 1500, 2001):
        after.frame(at_mm)
    assert after.verdicts == [(part, PASS, Reason.ENOUGH_VIEWS)]


def test_after_a_kill_a_part_that_was_half_in_the_picture_cannot_pass_though_it_is_found_for_the_first_time():
    after = restarted(Line(), upstream_mm=950)
    part = after.enter(900, 1000)
    for at_mm in (1100, 1300, 1500, 2001):
        after.frame(at_mm)
    assert after.verdicts == [(part, UNDECIDED, Reason.RESTARTED)]


def test_after_a_kill_a_defect_that_is_found_again_fails_its_part():
    line, part = a_part()
    after = restarted(line, upstream_mm=400)
    after.defect(part or 0)
    after.settle()
    assert after.verdicts == [(part, FAIL, Reason.DEFECT)]


def test_a_verdict_that_was_not_taken_before_a_kill_is_given_after_it():
    line, part = a_part()
    line.ledger.frame("top", 1100)
    line.ledger.settle()
    after = restarted(line)
    after.settle()
    assert after.verdicts == [(part, UNDECIDED, Reason.TOO_FEW_VIEWS)]


def test_what_is_not_a_record_is_rejected():
    with pytest.raises(msgspec.DecodeError):
        PartsLedger.restore(LineLayout(TOP), b"not a record")
    with pytest.raises(msgspec.ValidationError):
        PartsLedger.restore(LineLayout(TOP), msgspec.msgpack.encode({"parts": []}))


# --- always ---

NOTES = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(0, 9), st.integers(0, 1)),
        st.tuples(st.just("frame"), st.integers(0, 40), st.sampled_from([*View, None])),
        st.tuples(st.just("defect"), st.integers(1, 9), st.booleans()),
        st.tuples(st.just("restart"), st.booleans(), st.booleans()),
        st.tuples(st.just("lose"), st.none(), st.none()),
    ),
    max_size=60,
)


@given(NOTES)
def test_whatever_is_noted_the_sum_closes_and_no_verdict_changes(notes):
    """`Line.settle` checks the sum after each note."""
    line = Line(gated())
    for kind, what, how in notes:
        if kind == "enter":
            line.enter(what * 150, what * 150 + 100, lane=how)
        elif kind == "frame":
            line.frame(what * 60, how, reported=what % 3 > 0)
        elif kind == "defect":
            line.defect(what, confirmed=how)
        elif kind == "restart":
            line = restarted(line, upstream_mm=1000.0 * how)
        else:
            line.ledger.lose_belt()
        line.settle()
    first = {one.part: one for one in reversed(line.given)}
    for one in line.given:
        assert (one.verdict, one.reason, one.why) == (
            first[one.part].verdict,
            first[one.part].reason,
            first[one.part].why,
        )
        assert one.why
    finals = [one.part for one in line.given if one.is_final]
    assert len(finals) == len(set(finals))
    counts = line.ledger.counts().values()
    assert sum(lane.undecided for lane in counts) == sum(sum(lane.undecided_by.values()) for lane in counts)
