"""Presentation times as they should be: one small class for each ailment.

A camera's identity of a frame holds its pts as the container gives it; only what would break a reader is mended, and
only by as much as needed. Each class takes and returns a pts in ticks of the stream's time base.
"""

from __future__ import annotations

from fractions import Fraction

DEFAULT_INTERVAL_S = Fraction(1, 25)


class MissingPts:
    """A frame without a pts gets the last one plus one frame interval; the first one is taken to come before zero.

    FFmpeg's RTSP client has none for the first packet, whose RTP time becomes the zero of those that follow; raw
    elementary streams in files have none at all.
    """

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._last: int | None = None

    def repair(self, pts: int | None) -> int:
        if pts is None:
            pts = -self._interval if self._last is None else self._last + self._interval
        self._last = pts
        return pts


class RestartedClock:
    """A pts that jumps (back by more than a reordering explains, or far ahead) goes on where the old clock stopped.

    Cameras restart their RTP clock when their own time is set or their encoder is reconfigured, without ending the
    connection; a recorder that was stopped and started leaves the same seam in a file. A live source that jumps ahead
    by minutes has not sent nothing for minutes: the read time-out would have ended it. A file may have such gaps for
    good reasons (time lapse), so there only steps back are seams.
    """

    def __init__(self, interval: int, back_limit: int, ahead_limit: int | None) -> None:
        self._interval, self._back_limit, self._ahead_limit = interval, back_limit, ahead_limit
        self._offset = 0
        self._last: int | None = None

    def repair(self, pts: int) -> int:
        mended = pts + self._offset
        if self._last is not None:
            step = mended - self._last
            if step < -self._back_limit or (self._ahead_limit is not None and step > self._ahead_limit):
                mended = self._last + self._interval
                self._offset = mended - pts
        self._last = mended
        return mended


class RepeatedPts:
    """A pts that does not grow becomes the last one plus one tick: no two frames of a session share one.

    Cheap cameras stamp two frames alike when their clock is coarser than their frame rate, and MJPEG cameras repeat
    the stamp of a picture that they send twice; a frame that FFmpeg puts out late, after a damaged one, goes back.
    """

    def __init__(self) -> None:
        self._last: int | None = None

    def repair(self, pts: int) -> int:
        if self._last is not None and pts <= self._last:
            pts = self._last + 1
        self._last = pts
        return pts


class PtsRepair:
    """All the helpers in order, for one session of a camera."""

    _BACK_LIMIT_S = 1
    _AHEAD_LIMIT_S = 10

    def __init__(self, time_base: Fraction, fps: float | None, *, live: bool) -> None:
        interval_s = Fraction(1 / fps).limit_denominator(100_000) if fps else DEFAULT_INTERVAL_S
        interval = max(1, round(interval_s / time_base))
        ahead_limit = round(self._AHEAD_LIMIT_S / time_base) if live else None
        self._missing = MissingPts(interval)
        self._restarted = RestartedClock(interval, round(self._BACK_LIMIT_S / time_base), ahead_limit)
        self._repeated = RepeatedPts()

    def repair(self, pts: int | None) -> int:
        """The pts to use for a frame that came with this one."""
        return self._repeated.repair(self._restarted.repair(self._missing.repair(pts)))
