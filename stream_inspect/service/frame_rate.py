"""Whether a camera delivers as many frames as are to be judged, by the ledger alone.

Each frame that comes may be judged, and all the same a camera that sends one frame in 1.4 s instead of 25 a second
shows no defect often enough to confirm it. A camera that sends none at all is `no_signal`, which capture reports.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from stream_inspect.service.judging import seen_and_due
from stream_inspect.service.window import keep
from stream_inspect.transport.ledger import Totals

WINDOW_S = 10.0
_INTERVALS = 5
"""The window of a slow rate is as long as this many frames."""
_RAISED_BELOW, _CLEARED_FROM = 0.5, 0.7
"""Share of the expected frames, as in `service/judging.py`."""
_RECOVERED_S = 2.5
"""Of the window, when it is as long as this: enough to see that the frames are back, whatever was missing before."""
_SILENT_INTERVALS, _SILENT_MARGIN_S = 3, 0.5
"""A gap in which capture raises `no_signal`, and a margin: where it has not, the gap counts."""


@dataclass(frozen=True, slots=True)
class _Count:
    at_s: float
    due: int
    """Frames that were due so far."""

    def since(self, before: _Count) -> float:
        """Frames a second since then."""
        return (self.due - before.due) / (self.at_s - before.at_s)


class FrameRateWatch:
    """One camera's due frames a second; give it the totals every time they are collected.

    Expected are `rate_hz`, or as many as the camera states that it sends. A camera whose `no_signal_after_s` is longer
    than the window may send its frames that far apart (a trigger), and `lossless` sources send when judging is ready.
    """

    def __init__(self, rate_hz: float, no_signal_after_s: float, *, lossless: bool = False) -> None:
        self._rate_hz = rate_hz
        self._silent_after_s = no_signal_after_s
        self._any_rate = lossless or no_signal_after_s > WINDOW_S
        self._stated_hz = 0.0
        self._counts: deque[_Count] = deque()
        """Since the frames flow, of the last window."""
        self._captured = 0
        self._captured_at_s = 0.0
        self._active = False

    @property
    def expected_hz(self) -> float:
        """So many due frames a second."""
        return min(self._rate_hz, self._stated_hz or self._rate_hz)

    def update(self, totals: Totals, now_s: float, stated_hz: float) -> str:
        """What is missing, in words; "" while enough arrives. `stated_hz` is 0 where the camera states nothing."""
        self._stated_hz = stated_hz or self._stated_hz  # a process that has been restarted does not know it yet
        if self._any_rate:
            return ""
        captured, due = seen_and_due(totals)
        expected_hz = self.expected_hz
        window_s = max(WINDOW_S, _INTERVALS / expected_hz)
        self._note(captured, due, now_s, window_s)
        detail = self._detail(expected_hz, window_s)
        self._active = bool(detail)
        return detail

    def _note(self, captured: int, due: int, now_s: float, window_s: float) -> None:
        silent_after_s = max(self._silent_after_s, _SILENT_INTERVALS / (self._stated_hz or self._rate_hz))
        if now_s - self._captured_at_s > silent_after_s + _SILENT_MARGIN_S:
            self._counts.clear()
        if captured != self._captured:
            self._captured, self._captured_at_s = captured, now_s
        elif not self._counts:
            return
        keep(self._counts, _Count(now_s, due), window_s)

    def _detail(self, expected_hz: float, window_s: float) -> str:
        if not self._counts:
            return ""
        first, last = self._counts[0], self._counts[-1]
        lasted_s = last.at_s - first.at_s
        if lasted_s < window_s:
            return ""
        arrived_hz = last.since(first)
        if not self._active:
            if arrived_hz >= _RAISED_BELOW * expected_hz:
                return ""
        elif last.since(self._latest(max(_RECOVERED_S, _INTERVALS / expected_hz))) >= _CLEARED_FROM * expected_hz:
            self._counts.clear()
            return ""
        return f"{arrived_hz:.1f} of {expected_hz:g} frames a second have arrived from the camera for {window_s:.0f} s"

    def _latest(self, age_s: float) -> _Count:
        """The latest count of this age; the window is not shorter."""
        last = self._counts[-1]
        return next(one for one in reversed(self._counts) if last.at_s - one.at_s >= age_s)
