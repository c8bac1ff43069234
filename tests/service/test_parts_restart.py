"""kill -9 of `track` or of a camera's capture while parts are on the belt: each part is counted once, as far as the
odometer can know it, and none that may have been missed passes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_inspect.config.models import Config
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.messages import (
    AnyMessage,
    BeltSight,
    Condition,
    Inspection,
    PartSight,
    PartVerdict,
    Reason,
    Verdict,
)
from stream_inspect.service.chain import Chain, judging_chain
from tests.track.plant_line import MM_PER_COUNT, S, config, count, header

STEP_MM, FRAME_NS = 24, S // 25
"""The belt's way from frame to frame."""
PARTS_MM = [100 + 800 * number for number in range(7)]
"""Where the belt is when the leading edge of each part comes into the picture, of 1280 mm."""
LENGTH_MM = 200
KILLED, BACK, END = 110, 140, 300
"""Frames: at the first one a process is killed, at the second the next one begins, and by the last all has passed."""
ENCODER = {"kind": "encoder", "input": "plc", "mm_per_count": MM_PER_COUNT}


class Line:
    """A line in messages; each second frame is due, and judged at once."""

    def __init__(self, records: Path, odometer: dict[str, Any]) -> None:
        self.config: Config = config(odometer=odometer, parts={"kind": "background"})
        self.records = records
        self.session, self.began, self.due, self.now_ns = 1, 0, 0, 0
        self.verdicts: list[PartVerdict] = []
        self.conditions: list[Condition] = []
        self.unread: list[AnyMessage] = []
        self.start()

    def start(self) -> None:
        """Start `track`, as after a kill: all that it has is what the one before left in memory."""
        self.chain: Chain | None = judging_chain(
            self.config, MemoryLog(), clock=lambda: self.now_ns, records=self.records
        )
        self.chain.open()

    def captured(self, number: int) -> list[AnyMessage]:
        """What all others send at this frame. The encoder counts on whatever is killed."""
        self.now_ns = number * FRAME_NS
        of_belt = count(STEP_MM * number, self.now_ns)
        frame = header(number, self.now_ns)
        frame_id = {"session": self.session, "seq": number - self.began}
        due = self.due if number % 2 == 0 else None
        frame = msgspec.structs.replace(frame, id=msgspec.structs.replace(frame.id, **frame_id), due=due)
        boxes = [
            (max(0.0, front - LENGTH_MM), 200.0, min(1280.0, front), 400.0)
            for front in (float(STEP_MM * number - part) for part in PARTS_MM)
            if 4 < front < 1280 + LENGTH_MM - 4
        ]
        sight = BeltSight(
            frame=frame,
            way_mm=float(STEP_MM * (number - self.began)),
            way_drift_mm=0.02 * (number - self.began),
            parts=[PartSight(box_xyxy_px=box, clipped_share=0.0, sharpness=9.0) for box in boxes],
            learning=False,
        )
        judged = Inspection(frame=frame, detections=[], model_hash="m", prompts_hash="p", judged_mono_ns=self.now_ns)
        return [of_belt, sight, *([judged] if frame.due is not None else [])]

    def run(self, first: int, end: int, *, capture: bool = True) -> None:
        for number in range(first, end):
            messages = self.captured(number)
            self.due += capture and number % 2 == 0
            self.unread += messages if capture else messages[:1]
            if self.chain is None:
                continue
            messages, self.unread = self.unread, []
            outputs = [*self.chain.process(messages), *self.chain.tick(self.now_ns)]
            self.verdicts += [one.message for one in outputs if isinstance(one.message, PartVerdict)]
            self.conditions += [one.message for one in outputs if isinstance(one.message, Condition)]

    def kill(self) -> None:
        self.chain = None

    @property
    def given(self) -> dict[int, PartVerdict]:
        """The first verdict of each part."""
        return {one.part: one for one in reversed(self.verdicts)}

    def reasons(self) -> Counter[tuple[Verdict, Reason]]:
        return Counter((one.verdict, one.reason) for one in self.given.values())


PASSED = (Verdict.PASS, Reason.ENOUGH_VIEWS)
RESTARTED = (Verdict.UNDECIDED, Reason.RESTARTED)
IN_PICTURE = sum(0 < STEP_MM * KILLED - part < 1280 + LENGTH_MM for part in PARTS_MM)
ENTERED_MEANWHILE = sum(STEP_MM * KILLED <= part < STEP_MM * BACK for part in PARTS_MM)
ODOMETERS = pytest.mark.parametrize(
    "odometer",
    [{"kind": "picture"}, ENCODER, ENCODER | {"check_with": "picture"}, {"kind": "speed"}],
    ids=["picture", "encoder", "both", "speed"],
)


@ODOMETERS
def test_after_a_kill_of_track_each_part_is_counted_once_and_what_entered_since_passes(
    odometer: dict[str, Any], tmp_path: Path
) -> None:
    """What the other processes send meanwhile waits for the next one."""
    line = Line(tmp_path, odometer)
    line.run(0, KILLED)
    line.kill()
    line.run(KILLED, BACK)
    line.start()
    line.run(BACK, END)
    assert (IN_PICTURE, ENTERED_MEANWHILE) == (2, 1)
    assert line.reasons() == {PASSED: len(PARTS_MM) - IN_PICTURE, RESTARTED: IN_PICTURE}


@ODOMETERS
def test_where_the_messages_of_the_outage_are_lost_too_no_part_is_counted_twice_or_lost(
    odometer: dict[str, Any], tmp_path: Path
) -> None:
    line = Line(tmp_path, odometer)
    line.run(0, KILLED)
    line.kill()
    line.run(KILLED, BACK)
    line.unread.clear()
    line.start()
    line.run(BACK, END)
    missed = IN_PICTURE + ENTERED_MEANWHILE
    assert line.reasons() == {PASSED: len(PARTS_MM) - missed, RESTARTED: missed}


def test_after_a_second_kill_too(tmp_path: Path) -> None:
    line = Line(tmp_path, {"kind": "picture"})
    for first, end in ((0, KILLED), (KILLED, BACK), (BACK, END)):
        line.start()
        line.run(first, end)
    assert sum(line.reasons().values()) == len(PARTS_MM)


@ODOMETERS
def test_after_a_kill_of_capture_the_parts_in_the_picture_are_undecided_for_a_reason(
    odometer: dict[str, Any], tmp_path: Path
) -> None:
    line = Line(tmp_path, odometer)
    line.run(0, KILLED)
    line.run(KILLED, BACK, capture=False)
    line.session, line.began = 2, BACK
    line.run(BACK, END)
    reasons = line.reasons()
    if odometer["kind"] != "picture":  # where the parts are is known all the time
        assert sum(reasons.values()) == len(PARTS_MM)
        return
    assert reasons[Verdict.UNDECIDED, Reason.ODOMETER_UNKNOWN] == IN_PICTURE
    assert reasons[Verdict.UNDECIDED, Reason.AT_START] == 1, "still in the picture: it alone is counted a second time"
    assert sum(reasons.values()) == len(PARTS_MM) + 1
    (told,) = {one.detail for one in line.conditions if one.kind == "odometer_unknown" and one.active}
    assert told == "top was connected again: how far the belt ran in 1.2 s is not known"
