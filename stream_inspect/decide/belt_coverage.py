"""How much of the belt one camera has judged K times: every millimetre is, or it is reported.

A stretch is settled when it has left the picture and the due frames that show it are reported, or are too late. It
needs no part: what was not found is covered too.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from stream_inspect.belt.coverage import Coverage
from stream_inspect.decide.part_views import CameraWindow
from stream_inspect.messages import Interval

_TOO_LATE_NS = 2 * 10**9
"""A due frame whose result takes longer is counted as not judged: what the belt lacks is reported within 3 s."""
_REPORTED_NS = 10 * 10**9
"""What was lacking is reported for this long after the last of it has left."""
_SLIVER = 0.005
"""Share of the picture's length below which a stretch is the error of two places, and no reason to report."""


class CoverageRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the next process continues from."""

    passed_mm: float
    judged_mm: float
    settled_mm: float | None
    steps: list[tuple[float, int]]
    """See `Coverage.steps`."""


@dataclass(slots=True)
class _Lacking:
    """What has passed with too few judged frames, and all that has passed meanwhile."""

    since_ns: int
    last_ns: int
    mm: float = 0.0
    of_mm: float = 0.0


class BeltCoverage:
    """One camera's belt. Times are those of the frames, and of the ticks; places are in line coordinates."""

    def __init__(self, window: CameraWindow, record: CoverageRecord | None = None) -> None:
        self._window = window
        self._needed = max(1, window.views_needed)
        self._judged = Coverage(self._needed)
        self._waiting: dict[int, tuple[Interval, int]] = {}
        """Due frames that are not reported: what they show, and when they were captured."""
        self._left_mm: float | None = None
        """How far the belt has left the picture."""
        self._settled_mm: float | None = None
        self._lacking: _Lacking | None = None
        self.passed_mm = 0.0
        self.judged_mm = 0.0
        """Of `passed_mm`, those that K frames or more have shown, and that were judged in time."""
        if record is not None:
            self.passed_mm, self.judged_mm = record.passed_mm, record.judged_mm
            self._settled_mm = record.settled_mm
            self._judged = Coverage.of(self._needed, record.steps)

    def frame(self, odometer_mm: float, mono_ns: int, due: int | None) -> None:
        """A captured frame; `due` is its number, if it is to be judged."""
        upstream_mm = odometer_mm - self._window.offset_mm
        downstream_mm = upstream_mm - self._window.length_mm
        if self._settled_mm is None:
            self._settled_mm = upstream_mm  # what is in the picture now came in when no frame was seen
        self._left_mm = downstream_mm if self._left_mm is None else max(self._left_mm, downstream_mm)
        if due is not None:
            self._waiting[due] = Interval(downstream_mm, upstream_mm), mono_ns

    def report(self, due: int, *, judged: bool) -> None:
        """A due frame was judged, or will not be."""
        shown = self._waiting.pop(due, None)
        if judged and shown is not None:
            self._judged.add(shown[0].low, shown[0].high)

    def lose_belt(self) -> None:
        """The odometer does not continue: what is in the picture is not settled, and the next frame begins again."""
        self._judged = Coverage(self._needed)
        self._waiting.clear()
        self._left_mm = self._settled_mm = None

    def settle(self, now_ns: int) -> None:
        """Count what has left the picture by now."""
        self._waiting = {due: one for due, one in self._waiting.items() if now_ns - one[1] < _TOO_LATE_NS}
        if self._lacking is not None and now_ns - self._lacking.last_ns > _REPORTED_NS:
            self._lacking = None
        if self._left_mm is None or self._settled_mm is None:
            return
        until_mm = min([self._left_mm, *(shown.low for shown, _ in self._waiting.values())])
        passed_mm = until_mm - self._settled_mm
        if passed_mm <= 0:
            return
        lacking = self._judged.below(self._needed, self._settled_mm, until_mm)
        self.passed_mm += passed_mm
        self.judged_mm += passed_mm - sum(stretch.length for stretch in lacking)
        wide_mm = _SLIVER * self._window.length_mm
        lacking_mm = sum(stretch.length for stretch in lacking if stretch.length > wide_mm)
        if lacking_mm:
            self._lacking = self._lacking or _Lacking(now_ns, now_ns)
            self._lacking.last_ns = now_ns
        if self._lacking is not None:
            self._lacking.mm += lacking_mm
            self._lacking.of_mm += passed_mm
        self._settled_mm = until_mm
        self._judged.forget_before(until_mm)

    def lacking(self, now_ns: int) -> str:
        """How much belt has passed without enough judged frames, and since when; "" where none has, just now."""
        if self._lacking is None:
            return ""
        since_s = (now_ns - self._lacking.since_ns) / 1e9
        share = self._lacking.mm / self._lacking.of_mm
        return (
            f"{self._lacking.mm:.0f} mm of belt, {share:.0%} of what has passed since {since_s:.0f} s ago, had fewer "
            f"than {self._needed} judged frames"
        )

    def record(self) -> CoverageRecord:
        """For the next process. The due frames that wait are not in it: their results may be lost."""
        return CoverageRecord(
            passed_mm=self.passed_mm,
            judged_mm=self.judged_mm,
            settled_mm=self._settled_mm,
            steps=self._judged.steps(),
        )
