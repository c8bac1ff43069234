"""The parts of a line, from what its frames show to their verdicts: late results, lost frames, a killed process."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import msgspec
import pytest
import structlog.testing
from prometheus_client import REGISTRY

from stream_inspect.config.models import CameraConfig, LineConfig
from stream_inspect.decide.line_parts import LineParts
from stream_inspect.messages import (
    Clock,
    FrameHeader,
    FrameId,
    Interval,
    Missed,
    PartChange,
    PartSight,
    PartsSeen,
    PartVerdict,
    Reason,
    Tracked,
    TrackUpdate,
    Verdict,
    What,
)

STEP_MM, LENGTH_MM = 50, 100
"""How far the belt moves in a frame, and how long the part is. The picture shows 640 mm."""
ENTERS = 2
LEFT = 20
"""Frames in which the part's leading edge comes in, and in which it is out of the picture."""


class Line:
    """A line with one camera, each of whose frames is due, and a part on its belt."""

    def __init__(
        self,
        record: Path | None = None,
        *,
        region: list[tuple[float, float]] | None = None,
        gate_mm: float | None = None,
        next_run: Callable[[], int] = lambda: 1,
        origin_ns: int = 0,
    ) -> None:
        belt = {"direction": "left_to_right", "speed_mm_s": 1250.0, "mm_per_px": 1.0}
        source = {"kind": "usb", "width_px": 640, "height_px": 360}
        camera = CameraConfig.model_validate({"name": "top", "source": source, "belt": belt, "region": region})
        line = LineConfig.model_validate({"name": "line1", "parts": {"kind": "background"}, "gate_mm": gate_mm})
        self.parts = LineParts(line, [camera], record, next_run)
        self.parts.open()
        self.verdicts: list[PartVerdict] = []
        self.origin_ns = origin_ns

    def see(self, number: int, *, clipped: float = 0.0, found: bool = True) -> None:
        """A captured frame."""
        self.parts.see(seen(number, clipped=clipped, found=found, origin_ns=self.origin_ns))
        self.verdicts += self.parts.take()

    def stand(self, number: int, *, for_frames: int) -> None:
        """The belt stands where it was at this frame, for so many frames after it."""
        for later in range(number + 1, number + 1 + for_frames):
            self.parts.see(
                msgspec.structs.replace(seen(number, origin_ns=self.origin_ns), frame=frame(later), changes=[])
            )
        self.verdicts += self.parts.take()

    def judge(self, number: int, *, confirmed: Collection[int] = (), defect: bool = False) -> None:
        """The result of a frame."""
        self.parts.judged(judged(number, defect=defect), confirmed)
        self.verdicts += self.parts.take()

    @property
    def final(self) -> list[PartVerdict]:
        return [verdict for verdict in self.verdicts if verdict.is_final]


def seen(number: int, *, clipped: float = 0.0, found: bool = True, origin_ns: int = 0) -> PartsSeen:
    """What a captured frame shows of the belt."""
    front_mm = STEP_MM * (number - ENTERS)
    along = Interval(float(-(-ENTERS * STEP_MM)), 200.0, high_cut=front_mm < LENGTH_MM)
    changes = []
    if number == ENTERS:
        changes.append(PartChange(What.ENTERED, 1, 0, Interval(100.0, 150.0, high_cut=True), 0))
    elif number == ENTERS + 2:
        changes.append(PartChange(What.UPDATED, 1, 0, along, 0))
    elif number == LEFT:
        changes.append(PartChange(What.LEFT, 1, 0, along, 0))
    box = (max(0.0, front_mm - LENGTH_MM), 100.0, min(640.0, front_mm), 200.0)
    is_shown = found and box[0] < 640 and front_mm > 0
    sights = [PartSight(box_xyxy_px=box, clipped_share=clipped, sharpness=100.0)] if is_shown else []
    odometer_mm = float(STEP_MM * number)
    return PartsSeen(frame=frame(number), odometer_mm=odometer_mm, origin_ns=origin_ns, changes=changes, sights=sights)


def judged(number: int, *, defect: bool = False) -> Tracked:
    """The result of a frame, with a defect in the middle of the part or without."""
    middle = STEP_MM * (number - ENTERS) - 50.0
    tracks = [track((middle - 5, 145.0, middle + 5, 155.0))] if defect else []
    return Tracked(frame=frame(number), tracks=tracks)


def frame(number: int) -> FrameHeader:
    return FrameHeader(
        id=FrameId(camera="top", session=0, seq=number, pts=number, time_base_num=1, time_base_den=25),
        width_px=640,
        height_px=360,
        color_matrix="bt601",
        full_range=False,
        capture_mono_ns=number * 40_000_000,
        capture_utc_ns=number * 40_000_000,
        clock=Clock.MEDIA,
        ledger_index=number,
        due=number,
    )


def track(box: tuple[float, float, float, float]) -> TrackUpdate:
    return TrackUpdate(
        track=7,
        defect="hole",
        seen=True,
        left=False,
        score=0.8,
        box_xyxy_px=box,
        velocity_px_s=(0.0, 0.0),
        first_pts_s=0.0,
        last_pts_s=0.0,
    )


def test_a_part_that_was_seen_whole_often_enough_passes() -> None:
    line = Line()
    for number in range(LEFT + 1):
        line.see(number)
        line.judge(number)
    (verdict,) = line.final
    assert (verdict.verdict, verdict.reason, verdict.line, verdict.part) == (
        Verdict.PASS,
        Reason.ENOUGH_VIEWS,
        "line1",
        1,
    )
    assert verdict.views >= 3


def test_a_confirmed_defect_on_a_part_fails_it_at_once() -> None:
    line = Line()
    for number in range(8):
        line.see(number)
        line.judge(number, defect=number >= 6, confirmed={7} if number == 7 else ())
    (verdict,) = line.verdicts
    assert (verdict.verdict, verdict.why, verdict.is_final) == (Verdict.FAIL, "hole 0.80", False)


def test_each_picture_is_shown_with_its_part_where_that_is_and_with_the_verdict_once_there_is_one() -> None:
    line = Line()
    shown = []
    for number in range(LEFT + 2):
        line.see(number, found=number != 8)
        line.judge(number, defect=number >= 6, confirmed={7} if number == 7 else ())
        (picture,) = line.parts.shown.take()
        shown.append(picture)
    assert [len(picture.parts) for picture in shown] == [0] * 3 + [1] * 14 + [0] * 5
    for number in (7, 8, 12):
        (part,) = shown[number].parts
        left = STEP_MM * (number - ENTERS) - LENGTH_MM
        assert part.box_xyxy_px == pytest.approx((left, 100, left + LENGTH_MM, 200)), "also where it was not found"
    assert shown[12].velocity_px_s == pytest.approx((STEP_MM * 25, 0))
    assert [one.views for picture in shown[4:8] for one in picture.parts] == [0, 1, 2, 3]
    verdicts = [(one.part, one.verdict, one.defect) for picture in shown[7:9] for one in picture.parts]
    assert verdicts == [(1, None, ""), (1, Verdict.FAIL, "hole")]


def test_no_part_is_shown_while_it_is_not_known_where_the_belt_is() -> None:
    line = Line()
    for number in range(8):
        line.see(number)
    line.parts.see(PartsSeen(frame=frame(8), odometer_mm=None, changes=[], sights=[]))
    *_, before, last = line.parts.shown.take()
    assert (len(before.parts), last.parts, last.velocity_px_s) == (1, [], (0, 0))


def test_the_status_has_the_sums_and_the_last_verdicts_each_once() -> None:
    line = Line()
    assert (line.parts.status().entered, line.parts.status().last) == (0, [])
    for number in range(LEFT + 1):
        line.see(number)
        line.judge(number, defect=number >= 6, confirmed={7} if number == 7 else ())
        if number == 8:
            (early,) = line.parts.status().last
    status = line.parts.status()
    assert (status.line, status.entered, status.failed, status.passed, status.on_belt) == ("line1", 1, 1, 0, 0)
    (final,) = status.last
    assert (early.part, early.is_final) == (1, False)
    assert (final.part, final.is_final, final.verdict) == (1, True, Verdict.FAIL)


def test_a_defect_seen_twice_at_one_place_of_a_part_fails_it_however_its_track_was_broken() -> None:
    """Where judged frames are far apart, a track ends and another begins, and neither is confirmed."""
    line = Line()
    for number in range(8):
        line.see(number)
        shown = judged(number, defect=number in (4, 7))
        tracks = [msgspec.structs.replace(update, track=number) for update in shown.tracks]
        line.parts.judged(msgspec.structs.replace(shown, tracks=tracks), ())
    line.verdicts += line.parts.take()
    assert [verdict.verdict for verdict in line.verdicts] == [Verdict.FAIL]


def test_of_two_parts_side_by_side_in_a_lane_the_one_fails_that_the_defect_lies_on() -> None:
    """Along the belt its place is nearer to the middle of the other."""
    line = Line()
    sides = ((0.0, 200.0, 50.0), (100.0, 300.0, 250.0))
    changes = [PartChange(What.ENTERED, n, 0, Interval(low, high), 0) for n, (low, high, _) in enumerate(sides, 1)]
    boxes = [(500.0 - high, top, 500.0 - low, top + 80) for low, high, top in sides]
    sights = [PartSight(box_xyxy_px=box, clipped_share=0.0, sharpness=100.0) for box in boxes]
    line.parts.see(PartsSeen(frame=frame(0), odometer_mm=500.0, changes=changes, sights=sights))
    line.parts.judged(Tracked(frame=frame(0), tracks=[track((385.0, 285.0, 395.0, 295.0))]), {7})
    assert [(verdict.part, verdict.verdict) for verdict in line.parts.take()] == [(2, Verdict.FAIL)]


def test_a_result_of_a_frame_from_before_the_belt_was_lost_is_of_no_part() -> None:
    """Its places are of another zero: they may be those of a part that came in since."""
    line = Line()
    for number in range(8):
        line.see(number)
    line.origin_ns = 1
    line.parts.see(msgspec.structs.replace(seen(7), frame=frame(100), odometer_mm=None, changes=[]))
    for number in range(200, 208):
        again = seen(number - 200, origin_ns=1)
        line.parts.see(msgspec.structs.replace(again, frame=frame(number)))
    line.verdicts += line.parts.take()
    line.judge(7, defect=True, confirmed={7})
    assert [verdict.reason for verdict in line.verdicts] == [Reason.ODOMETER_UNKNOWN]


def test_a_result_that_comes_before_the_sight_of_its_frame_waits_for_it() -> None:
    line = Line()
    for number in range(LEFT + 1):
        line.judge(number, defect=number == 7, confirmed={7})
        line.see(number)
    (verdict,) = line.final
    assert verdict.verdict is Verdict.FAIL


def test_frames_that_were_not_judged_leave_a_part_undecided_with_their_number() -> None:
    line = Line()
    for number in range(LEFT + 1):
        line.see(number)
        line.parts.missed(Missed(frame=frame(number), stage="capture", cause="superseded"))
    line.verdicts += line.parts.take()
    (verdict,) = line.final
    assert (verdict.verdict, verdict.reason) == (Verdict.UNDECIDED, Reason.NOT_JUDGED)
    assert "not judged" in verdict.why


@pytest.mark.parametrize(
    ("how", "why"),
    [({"clipped": 0.5}, "over-exposed"), ({"found": False}, "not found in the picture")],
)
def test_views_that_are_not_usable_do_not_count(how: dict, why: str) -> None:
    line = Line()
    for number in range(LEFT + 1):
        line.see(number, **(how if number > ENTERS else {}))
        line.judge(number)
    (verdict,) = line.final
    assert (verdict.verdict, verdict.reason) == (Verdict.UNDECIDED, Reason.TOO_FEW_VIEWS)
    assert why in verdict.why


def test_a_part_outside_of_the_region_is_not_seen() -> None:
    line = Line(region=[(0.0, 0.7), (1.0, 0.7), (1.0, 1.0), (0.0, 1.0)])
    for number in range(LEFT + 1):
        line.see(number)
        line.judge(number)
    (verdict,) = line.final
    assert (verdict.verdict, "outside the region" in verdict.why) == (Verdict.UNDECIDED, True)


def killed_with_a_part_in_the_picture(record: Path) -> None:
    killed = Line(record)
    for number in range(6):
        killed.see(number)
    killed.parts.save()


def test_the_next_process_follows_what_was_on_the_belt_until_it_leaves_and_cannot_pass_it(tmp_path: Path) -> None:
    killed_with_a_part_in_the_picture(tmp_path / "parts.line1")
    line = Line(tmp_path / "parts.line1")
    for number in range(8, LEFT + 1):
        line.see(number)
        line.judge(number)
    (verdict,) = line.verdicts
    assert (verdict.verdict, verdict.reason, verdict.part) == (Verdict.UNDECIDED, Reason.RESTARTED, 1)
    assert verdict.is_final
    counts = line.parts.counts()[0]
    assert (counts.entered, counts.undecided, counts.on_belt, counts.residual) == (1, 1, 0, 0)


def test_where_the_odometer_does_not_continue_what_was_on_the_belt_is_undecided_at_once(tmp_path: Path) -> None:
    killed_with_a_part_in_the_picture(tmp_path / "parts.line1")
    line = Line(tmp_path / "parts.line1", origin_ns=1)
    line.see(0)
    (verdict,) = line.verdicts
    assert (verdict.verdict, verdict.reason, verdict.part) == (Verdict.UNDECIDED, Reason.RESTARTED, 1)
    counts = line.parts.counts()[0]
    assert (counts.entered, counts.undecided, counts.on_belt, counts.residual) == (1, 1, 0, 0)


def test_a_record_that_cannot_be_read_is_reported_and_counting_begins_again(tmp_path: Path) -> None:
    record = tmp_path / "parts.line1"
    record.write_bytes(b"not a record")
    with structlog.testing.capture_logs() as logs:
        line = Line(record)
        line.see(0)
    assert line.parts.counts() == {}
    (said,) = logs
    assert said["event"].startswith("parts of the process before are not known")


def test_the_sums_are_metrics() -> None:
    line = Line()
    for number in range(LEFT + 1):
        line.see(number)
        line.judge(number)
    line.parts.export()

    def value(state: str) -> float | None:
        return REGISTRY.get_sample_value("stream_inspect_parts", {"line": "line1", "lane": "0", "state": state})

    assert [value(state) for state in ("in", "pass", "fail", "undecided", "on_belt")] == [1, 1, 0, 0, 0]
