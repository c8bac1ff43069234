"""Which frames are due for judging: a pure function of the frames' own times, and of the belt's way in them.

The media clock is cut into periods of 1 / rate; the first frame nearest to each period's beginning is due. Counting
periods instead of adding them up means that the rate never drifts, whatever the frame rate does.

Where parts need K views each, the belt decides as well: more frames are due while it is fast, fewer while it stands.
"""

from __future__ import annotations

import math
from typing import Protocol

from stream_inspect.config.confirmation import Passing
from stream_inspect.config.models import CameraConfig, LineConfig
from stream_inspect.config.part_views import PartPassing

_SMOOTHING = 0.1
"""Weight of the newest frame interval in the running mean."""
_JUMP_PERIODS = 10
_STANDING_S = 0.5
"""Of a belt that stands, judged frames are so far apart."""
_STANDS_MM = 1.0
"""A belt that has run less since the last due frame stands, or might as well."""
_JUMP_S = 2.0
"""A step of pts back, or ahead by more than this and this many periods, starts the periods again."""


class FrameSampler(Protocol):
    """Says of each frame of a session, in decode order, whether it is to be judged."""

    def due(self, pts_s: float, way_mm: float | None = None) -> bool:
        """`way_mm` is how far the belt has run in this session, None where that is not known."""


class EveryPicture:
    """Pictures that stand alone are all judged."""

    def due(self, pts_s: float, way_mm: float | None = None) -> bool:
        return True


def make_sampler(camera: CameraConfig, line: LineConfig | None, size_px: tuple[int, int]) -> FrameSampler:
    """The sampler of a session of this camera; `line` is its line's, where its parts are accounted for.

    `size_px` is (width, height) of the judged picture.
    """
    if camera.stills:
        return EveryPicture()
    by_time = Sampler(camera.sampling.rate_hz)
    if line is None or camera.belt is None:
        return by_time
    return BeltSampler(by_time, camera.belt.speed_mm_s, PartPassing(Passing(camera, size_px), line).every_mm)


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

    def due(self, pts_s: float, way_mm: float | None = None) -> bool:
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

    @property
    def period_s(self) -> float:
        """Between two due frames."""
        return 1 / self._rate_hz

    def restart(self, pts_s: float) -> None:
        """Count the periods from this frame on, which is judged for another reason."""
        self._anchor_s = self._last_due_s = pts_s
        self._period = 0

    def _begin(self, pts_s: float) -> bool:
        self.restart(pts_s)
        self._interval_s = 0.0
        return True


class BeltSampler:
    """Picks frames by time, and where the belt would otherwise run farther than `every_mm` until the next one.

    While the belt stands, two frames a second are enough. Where its way is not known, it is supposed to run at
    `speed_mm_s`. Without `every_mm` frames are picked by time alone.
    """

    def __init__(self, by_time: Sampler, speed_mm_s: float, every_mm: float | None) -> None:
        self._by_time = by_time
        self._speed_mm_s = speed_mm_s
        self._every_mm = math.inf if every_mm is None else every_mm
        self._last: tuple[float, float | None] | None = None
        """Time and way of the last due frame."""
        self._run_mm = 0.0
        """How far the belt had run since, in the last frame."""

    def due(self, pts_s: float, way_mm: float | None = None) -> bool:
        """As `Sampler.due`."""
        by_time = self._by_time.due(pts_s)
        if self._last is None:
            return self._pick(pts_s, way_mm)
        due_s, due_mm = self._last
        before_mm = self._run_mm
        if way_mm is not None and due_mm is not None:
            self._run_mm = abs(way_mm - due_mm)
            waits = self._run_mm < _STANDS_MM and 0 <= pts_s - due_s < _STANDING_S - self._by_time.period_s / 2
        else:
            self._run_mm = self._speed_mm_s * max(0.0, pts_s - due_s)
            waits = False
        step_mm = max(0.0, self._run_mm - before_mm)
        if self._run_mm and self._run_mm + step_mm > self._every_mm:
            if not by_time:
                self._by_time.restart(pts_s)
            return self._pick(pts_s, way_mm)
        return self._pick(pts_s, way_mm) if by_time and not waits else False

    def _pick(self, pts_s: float, way_mm: float | None) -> bool:
        self._last, self._run_mm = (pts_s, way_mm), 0.0
        return True
