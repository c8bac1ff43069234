"""When a part passes a place of its line, by what the frames said of the belt: looked up, or expected."""

from __future__ import annotations

from collections import deque

from stream_inspect.belt.passing import time_of
from stream_inspect.messages import FrameHeader

_FRAMES_KEPT = 8192
"""Four minutes and a half of one camera at 30 frames a second; what passed before that has no time."""
_SPEED_OVER_NS = 1_000_000_000
_SPEED_OVER_LEAST_NS = 200_000_000
"""Two frames that were captured just after each other say nothing of the speed."""
_STANDS_MM_S = 1.0


class BeltTimes:
    """The odometer's readings at the captures of the line's frames, and the times of what lies between and ahead."""

    def __init__(self) -> None:
        self.mono_ns = self.utc_ns = 0
        """Capture of the newest frame."""
        self._readings_mm: list[float] = []
        """Each farther than all before: a belt that runs back brings no part anywhere for the first time."""
        self._times_ns: list[int] = []
        self._recent: deque[tuple[int, float]] = deque()
        """(time, reading) of the last second, whichever way the belt ran."""

    def captured(self, frame: FrameHeader) -> None:
        """A frame of any camera of the line. They may come in another order than they were captured in."""
        if frame.capture_mono_ns >= self.mono_ns:
            self.mono_ns, self.utc_ns = frame.capture_mono_ns, frame.capture_utc_ns

    def reads(self, odometer_mm: float, mono_ns: int) -> None:
        """The odometer's reading at the capture of a frame."""
        self._recent.append((mono_ns, odometer_mm))
        while mono_ns - self._recent[0][0] > _SPEED_OVER_NS:
            self._recent.popleft()
        if not self._readings_mm or odometer_mm > self._readings_mm[-1]:
            self._readings_mm.append(odometer_mm)
            self._times_ns.append(mono_ns)
        if len(self._readings_mm) > 2 * _FRAMES_KEPT:
            del self._readings_mm[:_FRAMES_KEPT], self._times_ns[:_FRAMES_KEPT]

    def interrupt(self) -> None:
        """The odometer does not continue."""
        self._readings_mm.clear()
        self._times_ns.clear()
        self._recent.clear()

    def passes_utc_ns(self, reading_mm: float) -> int | None:
        """When the odometer first reads this much, by UTC. None where that is not known, as while the belt stands."""
        at_ns = time_of(reading_mm, self._readings_mm, self._times_ns)
        if at_ns is None and self._readings_mm and reading_mm > self._readings_mm[-1]:
            at_ns = self._expected_ns(reading_mm)
        return None if at_ns is None else self.utc_ns + round(at_ns) - self.mono_ns

    def _expected_ns(self, reading_mm: float) -> float | None:
        (first_ns, first_mm), (last_ns, last_mm) = self._recent[0], self._recent[-1]
        if last_ns - first_ns < _SPEED_OVER_LEAST_NS:
            return None
        speed_mm_s = (last_mm - first_mm) / (last_ns - first_ns) * 1e9
        return None if speed_mm_s < _STANDS_MM_S else last_ns + (reading_mm - last_mm) / speed_mm_s * 1e9
