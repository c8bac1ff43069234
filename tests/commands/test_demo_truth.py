"""The demo's score against exact truth, also where the camera's process was killed and began the line again."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from stream_inspect.commands.demo.truth import CaptureRuns, CountedPart, DefectScore, PartScore, score_parts
from stream_inspect.messages import Clock, Event, EventState, FrameRef, Verdict
from stream_inspect.rotation import Rotation, rotated_box
from stream_inspect.sim.line import SyntheticLine

FRAME_NS = 40_000_000
FRAMES = 400


@pytest.fixture(scope="module")
def line() -> SyntheticLine:
    return SyntheticLine(seed=3, width_px=320, height_px=180, fps=25, speed_px_s=200)


def event(line: SyntheticLine, index: int, session: int, began_ns: int, which: int = 0) -> Event:
    """An event for a defect that this frame shows."""
    defect = line.truth(index).defects[which]
    return Event(
        id=f"top-{session}-{defect.name}-{defect.defect_id}",
        key=f"top-{session}-{defect.name}-{defect.defect_id}:confirmed",
        kind="defect",
        state=EventState.CONFIRMED,
        line="line",
        camera="top",
        name=defect.name,
        severity="major",
        first_seen_utc_ns=0,
        last_seen_utc_ns=0,
        box_xyxy_px=tuple(float(value) for value in defect.box_xyxy_px),
        frame=FrameRef(
            session=session,
            seq=index,
            pts=index,
            pts_s=index / 25,
            width_px=320,
            height_px=180,
            capture_mono_ns=began_ns + index * FRAME_NS,
            capture_utc_ns=0,
            clock=Clock.ARRIVAL,
        ),
    )


def found(line: SyntheticLine, frames: int, session: int, began_ns: int) -> list[Event]:
    """An event for each defect that has left the picture by then, and for those that are in it still."""
    events: dict[int, Event] = {}
    for index in range(frames):
        for which, defect in enumerate(line.truth(index).defects):
            events.setdefault(defect.defect_id, event(line, index, session, began_ns, which))
    return list(events.values())


def runs_of(*frames: int) -> tuple[CaptureRuns, list[int]]:
    """A camera whose process ran for so many frames each time, noted every second frame; when each run began."""
    runs, began, now_ns, captured = CaptureRuns(), [], 1_000_000_000, 0
    for number, count in enumerate(frames):
        began.append(now_ns)
        owner = 2 + 3 * number
        runs.note(owner, captured, now_ns)  # started, nothing captured yet
        for index in range(0, count, 2):
            runs.note(owner, captured + index + 1, now_ns + index * FRAME_NS)
        captured += count
        now_ns += count * FRAME_NS
        runs.note(owner, captured, now_ns)  # it is dead
        now_ns += 1_000_000_000
    return runs, began


def test_one_run_is_scored_as_it_is(line):
    truth = len(line.passed_defects(FRAMES - 1))
    runs, (began,) = runs_of(FRAMES)
    events = found(line, FRAMES, 1, began)
    assert runs.score(line, events) == DefectScore(truth, truth, 0)
    assert truth >= 5
    assert runs.sessions == 1


@pytest.mark.parametrize("rotate_deg", [90, 180, 270])
def test_events_of_a_turned_camera_are_scored_against_turned_truth(line, rotate_deg: Rotation):
    runs, (began,) = runs_of(FRAMES)
    upright = found(line, FRAMES, 1, began)
    turned = [
        msgspec.structs.replace(
            event, box_xyxy_px=rotated_box(event.box_xyxy_px, line.width_px, line.height_px, rotate_deg)
        )
        for event in upright
    ]
    truth = len(line.passed_defects(FRAMES - 1))
    assert runs.score(line, turned, rotate_deg) == DefectScore(truth, truth, 0)
    assert runs.score(line, turned).found < truth, "boxes of the judged picture are not those of the sensor picture"


def test_each_run_has_its_own_truth_and_the_same_defect_counts_in_each(line):
    first, second = len(line.passed_defects(FRAMES - 1)), len(line.passed_defects(FRAMES - 101))
    runs, began = runs_of(FRAMES, FRAMES - 100)
    events = found(line, FRAMES, 1, began[0]) + found(line, FRAMES - 100, 2, began[1])
    assert runs.score(line, events) == DefectScore(first + second, first + second, 0)
    assert runs.sessions == 2


def test_what_only_one_run_found_is_missed_in_the_other(line):
    truth = len(line.passed_defects(FRAMES - 1))
    runs, began = runs_of(FRAMES, FRAMES)
    assert runs.score(line, found(line, FRAMES, 2, began[1])) == DefectScore(2 * truth, truth, 0)


def test_a_second_event_in_the_same_run_is_false(line):
    runs, (began,) = runs_of(FRAMES)
    events = found(line, FRAMES, 1, began)
    assert runs.score(line, [*events, events[0]]).false == 1


def test_a_run_that_captured_nothing_counts_for_nothing(line):
    truth = len(line.passed_defects(FRAMES - 1))
    runs, began = runs_of(FRAMES, 0, FRAMES)
    events = found(line, FRAMES, 1, began[0]) + found(line, FRAMES, 2, began[2])
    assert runs.score(line, events) == DefectScore(2 * truth, 2 * truth, 0)
    assert runs.sessions == 2


# --- parts

TRIGGER_MM, GATE_MM, VIEWS = 320.0, 700.0, 3


def counted(line: SyntheticLine, began_ns: int = 0) -> list[CountedPart]:
    """Every part that came in, each with the right verdict."""
    parts = []
    for part in line.entered_parts(FRAMES - 1):
        at_s = (part.middle_px + TRIGGER_MM / line.mm_per_px) / line.speed_px_s
        verdict = Verdict.FAIL if part.is_defective else Verdict.PASS
        parts.append(CountedPart(at_s, began_ns + round(at_s * 1e9), verdict, VIEWS, part.is_defective))
    return parts


def score(line: SyntheticLine, parts: list[CountedPart]) -> PartScore:
    return score_parts(line, parts, VIEWS, FRAMES - 1, trigger_mm=TRIGGER_MM, gate_mm=GATE_MM)


def test_right_verdicts_are_neither_escapes_nor_overkill_and_only_what_has_passed_the_gate_counts(line):
    entered = line.entered_parts(FRAMES - 1)
    in_the_end_mm = [(FRAMES - 1) * 8 * line.mm_per_px - part.middle_px * line.mm_per_px for part in entered]
    passed = [part for part, at_mm in zip(entered, in_the_end_mm, strict=True) if at_mm > GATE_MM]
    bad = sum(part.is_defective for part in passed)
    assert len(entered) > len(passed) > bad > 2
    assert score(line, counted(line)) == PartScore(good=len(passed) - bad, bad=bad)


def first(line: SyntheticLine, *, bad: bool) -> int:
    return next(n for n, part in enumerate(line.entered_parts(FRAMES - 1)) if part.is_defective == bad)


@pytest.mark.parametrize(
    ("views", "has_defect", "whose"),
    [(VIEWS, False, "model_escapes"), (VIEWS - 1, False, "system_escapes"), (VIEWS, True, "system_escapes")],
    ids=["nothing was found", "too few views", "the defect was known"],
)
def test_a_bad_part_that_passes_is_an_escape_of_the_models_or_of_the_system(line, views, has_defect, whose):
    parts = counted(line)
    right, place = score(line, parts), first(line, bad=True)
    parts[place] = replace(parts[place], verdict=Verdict.PASS, views=views, has_defect=has_defect)
    assert score(line, parts) == replace(right, **{whose: 1})


def test_an_undecided_part_is_no_escape_and_a_bad_one_without_a_verdict_is_one(line):
    parts = counted(line)
    right, place = score(line, parts), first(line, bad=True)
    undecided = [*parts[:place], replace(parts[place], verdict=Verdict.UNDECIDED), *parts[place + 1 :]]
    assert score(line, undecided) == right
    del parts[place]
    assert score(line, parts) == replace(right, system_escapes=1, not_counted=1)


def test_a_good_part_that_fails_is_overkill_and_a_part_that_is_not_there_is_false(line):
    parts = counted(line)
    right, place = score(line, parts), first(line, bad=False)
    parts[place] = replace(parts[place], verdict=Verdict.FAIL)
    parts.append(replace(parts[place], trigger_s=parts[place].trigger_s + 0.1))
    assert score(line, parts) == replace(right, overkill=1, false=1)


def test_the_parts_of_each_run_are_compared_with_its_own_truth(line):
    runs, (first_ns, second_ns) = runs_of(FRAMES, FRAMES)
    once = score(line, counted(line))
    both = [*counted(line, first_ns), *counted(line, second_ns)]
    assert runs.score_parts(line, both, VIEWS, trigger_mm=TRIGGER_MM, gate_mm=GATE_MM) == once + once
