"""verdicts.csv of a replay of pictures: one row a picture, in their order, with its verdict and its best scores."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import BinaryIO

from stream_inspect.capture.pictures import PictureFile
from stream_inspect.commands.replay.recording import ReplayFrame
from stream_inspect.config.fits import region_misfits
from stream_inspect.config.models import CameraConfig
from stream_inspect.messages import ConditionKind

PASS, FAIL, UNDECIDED = "PASS", "FAIL", "UNDECIDED"
_FIRST_COLUMNS = ("file", "verdict", "reason", "detections")


class PictureTable:
    """Writes the row of each picture as soon as those of all earlier ones are written.

    The columns after the first four are the defects: the best score of each in the picture, also below its threshold;
    empty where there is none down to the floor of what is recorded.
    """

    def __init__(
        self, file: BinaryIO, pictures: Sequence[PictureFile], defects: Sequence[str], camera: CameraConfig
    ) -> None:
        self._file = file
        self._camera = camera
        self._names = [one.name for one in pictures]
        self._places = {name: place for place, name in enumerate(self._names)}
        self._defects = defects
        self._rows: dict[int, list[str]] = {}
        self._next = 0
        self.verdicts = dict.fromkeys((PASS, FAIL, UNDECIDED), 0)
        self.found_in = dict.fromkeys(defects, 0)
        """Pictures in which each defect was found."""
        self._write([*_FIRST_COLUMNS, *defects])

    def judged(self, frame: ReplayFrame) -> None:
        """A picture that was read, with its inspection if it was judged."""
        name, judged = frame.header.file, frame.judged
        if judged is None:
            self._put(name, UNDECIDED, "the recorded inspections do not hold it")
            return
        found = judged.inspection.detections
        seen = [(one.defect, one.score) for one in found]
        seen += [(one.defect, one.score) for one in judged.candidates if one.refused_for == "threshold"]
        best: dict[str, float] = {}
        for defect, score in seen:
            best[defect] = max(score, best.get(defect, 0.0))
        for defect in {one.defect for one in found}:
            self.found_in[defect] += 1
        scores = [f"{best[defect]:.4f}" if defect in best else "" for defect in self._defects]
        if found:
            counts = Counter(one.defect for one in found)
            reason = ", ".join(f"{counts[defect]} {defect}" for defect in self._defects if counts[defect])
            self._put(name, FAIL, reason, len(found), scores)
        else:
            unknown = self._why_unknown(frame)
            self._put(name, UNDECIDED if unknown else PASS, unknown, 0, scores)

    def _why_unknown(self, frame: ReplayFrame) -> str:
        """Why a picture without detections does not pass: nothing could be seen in it. "" where it passes."""
        black = [one.detail for one in frame.conditions if one.active and one.kind is ConditionKind.BLACK]
        unfit = region_misfits(self._camera, (frame.header.width_px, frame.header.height_px))
        return "; ".join([*black, *(misfit.text for misfit in unfit)])

    def unreadable(self, name: str, reason: str) -> None:
        """A picture that could not be read."""
        self._put(name, UNDECIDED, reason)

    def _put(
        self, name: str, verdict: str, reason: str, detections: int | None = None, scores: Sequence[str] = ()
    ) -> None:
        self.verdicts[verdict] += 1
        count = "" if detections is None else str(detections)
        scores = scores or [""] * len(self._defects)
        self._rows[self._places[name]] = [name, verdict, reason, count, *scores]
        while self._next in self._rows:
            self._write(self._rows.pop(self._next))
            self._next += 1

    def _write(self, row: Sequence[str]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(row)
        self._file.write(text.getvalue().encode())
