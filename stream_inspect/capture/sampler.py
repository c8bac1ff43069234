"""Which frames are due for judging: a pure function of the frames' own times.

The media clock is cut into periods of 1 / rate; the first frame nearest to each period's beginning is due. Counting
periods instead of adding them up means that the rate never drifts, whatever the frame rate does.
"""

from __future__ import annotations

import math
from typing import Protocol

from stream_inspect.config.models import CameraConfig

_SMOOTHING = 0.1
"""Weight of the newest frame interval in the running mean."""
_JUMP_PERIODS = 10
_JUMP_S = 2.0
"""A step of pts back, or ahead by more than this and this many periods, starts the periods again."""


class FrameSampler(Protocol):
    """Says of each frame of a session, in decode order, whether it is to be judged."""

    def due(self, pts_s: float) -> bool: ...


class EveryPicture:
    """Pictures that stand alone are all judged."""

    def due(self, pts_s: float) -> bool:
        return True


def make_sampler(camera: CameraConfig) -> FrameSampler:
    """The sampler of a session of this camera."""
    return EveryPicture() if camera.stills else Sampler(camera.sampling.rate_hz)


class Sampler:
    """Picks `rate_hz` frames a second by pts. One for each session of a camera."""

    def __init__(self, rate_hz: float) -> None:
        if rate_hz <= 0:
            raise ValueError(f"rate_hz must be positive, not {rate_hz}")
        self._rate_hz = rate_hz
        self._jump_s = max(_JUMP_S, _JUMP_PERIODS / rate_hz)
        self._anchor_s = 0.0
        self._period = 0
        self._last_pts_s: float | None = None
        self._last_due_s = 0.0
        self._interval_s = 0.0

    def due(self, pts_s: float) -> bool:
        """Whether the frame at this time is to be judged. Called once for every frame, in decode order."""
        previous_s, self._last_pts_s = self._last_pts_s, pts_s
        if previous_s is None or not 0 <= pts_s - previous_s <= self._jump_s:
            return self._begin(pts_s)
        self._interval_s += (pts_s - previous_s - self._interval_s) * (_SMOOTHING if self._interval_s else 1.0)
        # Half a frame early is closer to the period's beginning than the next frame, so jitter around it does no harm.
        period = math.floor((pts_s - self._anchor_s + self._interval_s / 2) * self._rate_hz)
        # The second test is for cameras about as fast as the rate, whose jitter may put two frames into one period.
        if period > self._period or pts_s - self._last_due_s >= 1 / self._rate_hz:
            self._period, self._last_due_s = period, pts_s
            return True
        return False

    def _begin(self, pts_s: float) -> bool:
        self._anchor_s = self._last_due_s = pts_s
        self._period = 0
        self._interval_s = 0.0
        return True
