"""Repairs presentation timestamps: one small class for each defect of a stream.

The identity of a frame holds its pts as the container gives it; only a pts that would break a reader is changed, and
only by as much as needed. Each class takes and returns a pts in ticks of the stream's time base.
"""

from __future__ import annotations

from fractions import Fraction

DEFAULT_INTERVAL_S = Fraction(1, 25)


class MissingPts:
    """A frame without a pts gets the previous one plus one frame interval; the first frame gets zero.

    FFmpeg's RTSP client has no pts for the first packet, whose RTP time becomes the zero of the following ones; raw
    elementary streams in files have none at all.
    """

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._last: int | None = None

    def repair(self, pts: int | None) -> int:
        if pts is None:
            pts = 0 if self._last is None else self._last + self._interval
        self._last = pts
        return pts


class RestartedClock:
    """A pts that jumps (back by more than reordering explains, or far ahead) continues where the old clock stopped.

    Cameras restart their RTP clock when their own time is set or their encoder is reconfigured, without closing the
    connection; a recorder that was stopped and started leaves the same jump in a file. A live source that jumps ahead
    by minutes was not silent for minutes: the read time-out would have ended it. A file may have such gaps for good
    reasons (time lapse), so in files only steps back are repaired.
    """

    def __init__(self, interval: int, back_limit: int, ahead_limit: int | None) -> None:
        self._interval, self._back_limit, self._ahead_limit = interval, back_limit, ahead_limit
        self._offset = 0
        self._last: int | None = None

    def repair(self, pts: int) -> int:
        repaired = pts + self._offset
        if self._last is not None:
            step = repaired - self._last
            if step < -self._back_limit or (self._ahead_limit is not None and step > self._ahead_limit):
                repaired = self._last + self._interval
                self._offset = repaired - pts
        self._last = repaired
        return repaired


class RepeatedPts:
    """A pts that does not increase becomes the previous one plus one tick: no two frames of a session share a pts.

    Cheap cameras give two frames the same pts when their clock is coarser than their frame rate, and MJPEG cameras
    repeat the pts of a picture that they send twice; a frame that FFmpeg outputs late, after a corrupt one, steps back.
    """

    def __init__(self) -> None:
        self._last: int | None = None

    def repair(self, pts: int) -> int:
        if self._last is not None and pts <= self._last:
            pts = self._last + 1
        self._last = pts
        return pts


class PtsRepair:
    """All the repairs in order, for one session of a camera."""

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
        """The pts to use for a frame that arrived with this one."""
        return self._repeated.repair(self._restarted.repair(self._missing.repair(pts)))
