"""parts.jsonl of a replay: one line a part of the camera's line, with its verdict and when it passed."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import BinaryIO

import msgspec

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.passing import time_of
from stream_inspect.config.models import CameraConfig, LineConfig
from stream_inspect.messages import FrameHeader, PartsSeen, PartVerdict, Reason, Verdict


class DefectOfPart(msgspec.Struct, frozen=True, kw_only=True):
    """One confirmed defect on a part, with its best score."""

    defect: str
    score: float


class PartResult(msgspec.Struct, frozen=True, kw_only=True):
    """One part. Times are seconds of the recording's pts, of the part's centre; null where it does not get there."""

    part_id: int
    lane: int
    verdict: Verdict
    reason: Reason
    why: str
    views: int
    defects: list[DefectOfPart]
    trigger_s: float | None
    """When it is at `lines[].trigger_mm`."""
    gate_s: float | None
    """When it is at `lines[].gate_mm`."""
    first_pts_s: float | None
    """Of the first frame in whose picture it is."""
    last_pts_s: float | None


class PartsFile:
    """Writes each part, in their order, once its verdict is final and it has passed the gate."""

    def __init__(self, file: BinaryIO, line: LineConfig, camera: CameraConfig) -> None:
        assert camera.belt is not None
        self._file, self._line, self._belt = file, line, camera.belt
        self._readings_mm: list[float] = []
        """The odometer's, each farther than all before: a belt that runs back brings no part to the gate."""
        self._pts_s: list[float] = []
        self._length_mm = 0.0
        self._final: dict[int, PartVerdict] = {}
        self._next = 1
        self.verdicts: Counter[Verdict] = Counter()

    def note(self, message: PartsSeen | PartVerdict) -> None:
        """What the chain says, in its order."""
        if isinstance(message, PartVerdict):
            if message.is_final:
                self._final[message.part] = message
        elif message.odometer_mm is not None:
            self._passed(message.frame, message.odometer_mm)
        while (part := self._final.get(self._next)) is not None and self._has_passed(part):
            self._write(part)

    def end(self) -> None:
        """Write what has not reached the gate by the end of the recording."""
        for part in sorted(self._final):
            self._write(self._final[part])

    def _passed(self, frame: FrameHeader, odometer_mm: float) -> None:
        self._length_mm = BeltView(self._belt, frame.width_px, frame.height_px).length_mm
        if not self._readings_mm or odometer_mm > self._readings_mm[-1]:
            self._readings_mm.append(odometer_mm)
            self._pts_s.append(frame.id.pts_s)

    @property
    def _end_mm(self) -> float:
        return max(self._trigger_mm, self._line.gate_mm or 0.0, self._belt.offset_mm + self._length_mm)

    @property
    def _trigger_mm(self) -> float:
        middle_mm = self._belt.offset_mm + self._length_mm / 2
        return middle_mm if self._line.trigger_mm is None else self._line.trigger_mm

    def _has_passed(self, part: PartVerdict) -> bool:
        return bool(self._readings_mm) and self._readings_mm[-1] > part.along.centre + self._end_mm

    def _write(self, part: PartVerdict) -> None:
        centre_mm = part.along.centre
        edge_mm = self._belt.offset_mm + centre_mm
        first = bisect_left(self._readings_mm, edge_mm)
        last = bisect_left(self._readings_mm, edge_mm + self._length_mm) - 1
        result = PartResult(
            part_id=part.part,
            lane=part.lane,
            verdict=part.verdict,
            reason=part.reason,
            why=part.why,
            views=part.views,
            defects=[
                DefectOfPart(defect=one.defect, score=round(one.score, 4)) for one in part.defects if one.confirmed
            ],
            trigger_s=self._time_s(centre_mm + self._trigger_mm),
            gate_s=None if self._line.gate_mm is None else self._time_s(centre_mm + self._line.gate_mm),
            first_pts_s=self._pts_s[first] if first < len(self._pts_s) else None,
            last_pts_s=self._pts_s[last] if last >= 0 else None,
        )
        self._file.write(msgspec.json.encode(result) + b"\n")
        self.verdicts[part.verdict] += 1
        del self._final[part.part]
        self._next = part.part + 1

    def _time_s(self, reading_mm: float) -> float | None:
        """When the odometer first read this much; None where it never did, or had done so before the first frame."""
        at_s = time_of(reading_mm, self._readings_mm, self._pts_s)
        return None if at_s is None else round(at_s, 6)
