"""parts.jsonl of a line that runs: verdicts are repeated, and the camera may be connected again."""

from __future__ import annotations

import io
import json

import msgspec
import pytest

from stream_inspect.commands.parts_file import PartResult, PartsFile
from stream_inspect.config.models import CameraConfig, LineConfig
from stream_inspect.messages import FrameHeader, Interval, PartsShown, PartVerdict, Reason, Verdict
from tests.decide.test_line_parts import frame

CAMERA = CameraConfig.model_validate(
    {
        "name": "top",
        "source": {"kind": "usb"},
        "belt": {"direction": "left_to_right", "speed_mm_s": 250, "mm_per_px": 1.0},
    }
)
LINE = LineConfig.model_validate({"name": "line1", "parts": {"kind": "background"}, "gate_mm": 700})


class Written:
    """The file of a line that moves 10 mm a frame, and what it says of each part."""

    def __init__(self) -> None:
        self.text = io.BytesIO()
        self.at_trigger: list[tuple[int, int | None]] = []
        self.file = PartsFile(self.text, LINE, CAMERA, self._note)

    def _note(self, part: PartResult, mono_ns: int | None) -> None:
        self.at_trigger.append((part.part_id, mono_ns))

    def run(self, first: int, end: int, session: int = 0, seq: int = 0) -> None:
        """Frames with the odometer at 10 mm times their number; the session's first one is `seq`."""
        for number in range(first, end):
            shown = PartsShown(
                frame=of_session(frame(number - first + seq), session, number),
                odometer_mm=10.0 * number,
                velocity_px_s=(250.0, 0.0),
                parts=[],
            )
            self.file.note(shown)

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.text.getvalue().splitlines()]


def of_session(header: FrameHeader, session: int, number: int) -> FrameHeader:
    identity = msgspec.structs.replace(header.id, session=session)
    return msgspec.structs.replace(header, id=identity, capture_mono_ns=number)


def verdict(part: int, *, is_final: bool = True) -> PartVerdict:
    """Of a part of 100 mm; they come every 200 mm."""
    return PartVerdict(
        line="line1",
        part=part,
        lane=0,
        serial="",
        along=Interval(200.0 * part, 200.0 * part + 100),
        verdict=Verdict.PASS,
        reason=Reason.ENOUGH_VIEWS,
        why="",
        views=3,
        defects=[],
        is_final=is_final,
    )


def test_a_part_is_written_once_in_order_however_often_its_verdict_is_repeated() -> None:
    written = Written()
    for _ in range(3):
        for part in (2, 1):
            written.file.note(verdict(part, is_final=part == 1))
    written.run(0, 200)
    for _ in range(2):
        written.file.note(verdict(1))
        written.file.note(verdict(2))
    assert [(line["part_id"], line["trigger_s"]) for line in written.lines] == [
        (1, pytest.approx((250 + 320) / 250)),
        (2, pytest.approx((450 + 320) / 250)),
    ]
    assert written.at_trigger == [(1, 57), (2, 77)]


def test_the_times_of_a_part_are_of_one_session_of_the_camera() -> None:
    written = Written()
    written.run(0, 60)
    written.file.note(verdict(1))
    written.file.note(verdict(3))
    written.run(60, 200, session=1)
    written.file.note(verdict(2))
    assert [(line["part_id"], line["trigger_s"], line["gate_s"]) for line in written.lines] == [
        (1, None, pytest.approx((950 - 600) / 250)),
        (2, pytest.approx((770 - 600) / 250), pytest.approx((1150 - 600) / 250)),
        (3, pytest.approx((970 - 600) / 250), pytest.approx((1350 - 600) / 250)),
    ]
