"""Frames wait for their batch: the detector is fastest on several at once."""

from __future__ import annotations

import time
from collections import deque

import msgspec

from stream_inspect.commands.replay.judges import Judge
from stream_inspect.commands.replay.recording import ReplayFrame


class BatchedJudging:
    """Frames in, the same frames out in the same order, those that are due with their inspection."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._waiting: deque[ReplayFrame] = deque()
        self._due = 0
        self.judge_s = 0.0
        """Wall time spent on judging."""

    @property
    def ready(self) -> bool:
        """Whether waiting for more frames would gain nothing."""
        due = sum(frame.due for frame in self._waiting)
        return not due or due >= self._judge.batch

    @property
    def held_bytes(self) -> int:
        """Size of the pictures that wait here."""
        return sum(frame.picture.i420.nbytes for frame in self._waiting)

    def put(self, frame: ReplayFrame) -> None:
        """The next frame of the recording."""
        if self._judge.is_due(frame.header, frame.way_mm):
            frame.header = msgspec.structs.replace(frame.header, due=self._due)
            self._due += 1
        self._waiting.append(frame)

    def take(self) -> list[ReplayFrame]:
        """Judge the due frames that wait, and give out all frames that wait."""
        due = [frame for frame in self._waiting if frame.due]
        if due:
            began = time.perf_counter()
            judged = self._judge.judge([(frame.header, frame.picture) for frame in due])
            for frame, one in zip(due, judged, strict=True):
                frame.judged = one
            self.judge_s += time.perf_counter() - began
        frames = list(self._waiting)
        self._waiting.clear()
        return frames
