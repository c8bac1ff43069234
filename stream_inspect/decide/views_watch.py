"""Whether parts are undecided because too few frames have shown them whole and usable."""

from __future__ import annotations

from collections import deque

from stream_inspect.messages import PartVerdict, Reason

_REPORTED_NS = 10 * 10**9
"""A part that lacked views is reported for this long."""
_PARTS = 20
"""The last verdicts, of which a share is reported."""


class ViewsWatch:
    """The verdicts of one line, as they are given; `lacking` says what is wrong with the views."""

    def __init__(self) -> None:
        self._few: deque[bool] = deque(maxlen=_PARTS)
        self._why = ""
        self._last_ns: int | None = None

    def note(self, verdict: PartVerdict, now_ns: int) -> None:
        """A verdict that was given for the first time."""
        is_few = verdict.reason is Reason.TOO_FEW_VIEWS
        self._few.append(is_few)
        if is_few:
            self._why, self._last_ns = verdict.why, now_ns

    def lacking(self, now_ns: int, speed_mm_s: float | None) -> str:
        """What the last such part lacked, with the belt's speed where that is known; "" where there is none."""
        if self._last_ns is None or now_ns - self._last_ns > _REPORTED_NS:
            self._last_ns = None
            self._few.clear()
            return ""
        at = "" if speed_mm_s is None else f"; the belt runs at {speed_mm_s:.0f} mm/s"
        return f"{sum(self._few)} of the last {len(self._few)} parts are undecided: {self._why}{at}"
