"""Whether a defect is in the picture, and in its region, for as many judged frames as the rule asks for.

A camera judges frames at a rate, a belt carries what it shows out of the picture, and `decide` wants to see a defect in
n of m frames. Each number may be right, and no defect is ever confirmed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stream_inspect.config.models import CameraConfig, DecideConfig, TrackConfig
from stream_inspect.config.region import WHOLE, Point, in_px


@dataclass(frozen=True, slots=True)
class Passing:
    """What passes on the belt of one camera, whose judged picture has this size."""

    camera: CameraConfig
    size_px: tuple[int, int]
    fps: float | None = None

    @property
    def along_px(self) -> float:
        """Length, along the belt, of what counts of the picture: of all of it, or of its region.

        A detection counts while half of its box lies in the region, which is as long as the region is.
        """
        low, high = self._seen_px
        return max(0.0, high - low)

    @property
    def is_narrowed(self) -> bool:
        """Whether the region is shorter along the belt than the picture."""
        low, high = self._stretch_px(in_px(WHOLE, *self.size_px))
        return self.along_px < high - low

    def _stretch_px(self, corners_px: Sequence[Point]) -> tuple[float, float]:
        """Where a polygon begins and ends along the belt."""
        assert self.camera.belt is not None
        angle = math.radians(self.camera.belt.angle_deg)
        along_x, along_y = round(math.cos(angle), 9), round(math.sin(angle), 9)
        places = [x * along_x + y * along_y for x, y in corners_px]
        return min(places), max(places)

    @property
    def _seen_px(self) -> tuple[float, float]:
        low, high = self._stretch_px(in_px(WHOLE, *self.size_px))
        if (region_px := self.camera.region_in(*self.size_px)) is None:
            return low, high
        region_low, region_high = self._stretch_px(region_px)
        return max(low, region_low), min(high, region_high)

    @property
    def step_px(self) -> float:
        """How far the belt runs from one judged frame to the next."""
        assert self.camera.belt is not None
        rate_hz = min(self.camera.sampling.rate_hz, self.fps or math.inf)
        return self.camera.belt.speed_mm_s / self.camera.belt.scale_mm_per_px / rate_hz

    @property
    def fewest(self) -> int:
        """In at least so many judged frames is the front of a defect in the picture; in one more at most."""
        return math.floor(self.along_px / self.step_px + 1e-9)

    def rate_hz(self, frames: int) -> float:
        """The rate at which the front of each defect is in this many judged frames at least, rounded up."""
        exact = frames * self.step_px * min(self.camera.sampling.rate_hz, self.fps or math.inf) / self.along_px
        return math.ceil(exact * 10 - 1e-9) / 10


def too_few_views(passing: Passing, decide: DecideConfig) -> tuple[str, str, bool]:
    """(what is wrong, what to do, whether no defect at all can be confirmed); ("", "", False) where nothing is."""
    hits, fewest = decide.confirm_hits, passing.fewest
    never = fewest + 1 < hits
    if fewest >= hits or not passing.along_px:  # a region outside of the picture is reported as that
        return "", "", False
    place = " of its region" if passing.is_narrowed else ""
    moves = f"the belt moves {passing.step_px:.0f} of {passing.along_px:.0f} px{place} between two judged frames"
    seen = f"{fewest} or {fewest + 1}" if fewest else "at most 1"
    wanted_hz = passing.rate_hz(hits)
    if passing.fps is not None and wanted_hz > passing.fps:
        faster = f"take a camera of at least {wanted_hz:g} fps, and sampling.rate_hz the same"
    else:
        faster = f"set sampling.rate_hz to at least {wanted_hz:g}"
    lower = f", or decide.confirm_hits to {max(1, fewest)}" if hits > 1 and fewest < hits else ""
    what = f"{moves}: a defect is in {seen} of them, and decide.confirm_hits is {hits}"
    longer = ", lengthen the region along the belt" if passing.is_narrowed else ""
    return what, f"{faster}{lower}{longer}, or check belt.speed_mm_s and belt.mm_per_px", never


def one_miss_ends_the_track(camera: CameraConfig, track: TrackConfig, decide: DecideConfig) -> bool:
    """Whether a defect that one judged frame misses is begun again, so that n of m is n in a row."""
    interval_s = 1 / camera.sampling.rate_hz
    return 1 < decide.confirm_hits < decide.confirm_window and interval_s > track.forget_after_s
