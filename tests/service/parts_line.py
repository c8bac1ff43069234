"""A line whose parts are found in its pictures, in messages, from captured frames to verdicts and conditions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from stream_inspect.config.models import Config
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.messages import (
    AnyMessage,
    BeltSight,
    Condition,
    Inspection,
    Missed,
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


class Belt:
    """What a line's processes send before `track`; each `due_every`th frame is due, and judged at once."""

    def __init__(self, *, due_every: int = 2, began_ns: int = 0) -> None:
        self.due_every = due_every
        self.session, self.began, self.due = 1, 0, 0
        self.began_ns = self.now_ns = began_ns

    def captured(self, number: int, *, judged: bool) -> list[AnyMessage]:
        """What all others send at this frame."""
        of_belt = self.counted(number)
        frame = header(number, self.now_ns)
        frame_id = {"session": self.session, "seq": number - self.began}
        due = self.due if number % self.due_every == 0 else None
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
        self.due += due is not None
        result: AnyMessage = Missed(frame=frame, stage="capture", cause="superseded")
        if judged:
            result = Inspection(
                frame=frame, detections=[], model_hash="m", prompts_hash="p", judged_mono_ns=self.now_ns
            )
        return [of_belt, sight, *([result] if frame.due is not None else [])]

    def counted(self, number: int) -> AnyMessage:
        """The encoder counts on, whatever is killed."""
        self.now_ns = self.began_ns + number * FRAME_NS
        return count(STEP_MM * number, self.now_ns)


class Line(Belt):
    """The line, in one process with all that is sent to it."""

    def __init__(self, records: Path, odometer: dict[str, Any], *, due_every: int = 2) -> None:
        super().__init__(due_every=due_every)
        self.config: Config = config(odometer=odometer, parts={"kind": "background"})
        self.records = records
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

    def run(self, first: int, end: int, *, capture: bool = True, judged: bool = True) -> None:
        for number in range(first, end):
            messages = self.captured(number, judged=judged) if capture else [self.counted(number)]
            self.unread += messages
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
