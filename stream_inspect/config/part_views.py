"""How often a part is whole in the judged frames of a camera, and how far apart these may be for its K views."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stream_inspect.config.confirmation import Passing
from stream_inspect.config.models import LineConfig

_SPARE_VIEWS = 1
"""A part gets so many more views than it needs: one of its frames may be dropped."""
_SUPPOSED = 0.5
"""Of what is seen of the belt: the length of a part where that is not stated."""


@dataclass(frozen=True, slots=True)
class PartPassing:
    """Parts of one line that pass a camera."""

    passing: Passing
    line: LineConfig

    @property
    def part_mm(self) -> float:
        """Length of a part along the belt."""
        stated_mm = self.line.longest_part_mm
        return _SUPPOSED * self.seen_mm if stated_mm is None else stated_mm

    @property
    def seen_mm(self) -> float:
        """Length of the belt that counts, in the picture or its region."""
        return self.passing.along_px * self._mm_per_px

    @property
    def whole_mm(self) -> float:
        """How far the belt runs while all of a part is seen."""
        return max(0.0, self.seen_mm - self.part_mm)

    @property
    def every_mm(self) -> float | None:
        """How far apart judged frames may be; None where no frame shows a whole part."""
        return self.whole_mm / (self.line.views + _SPARE_VIEWS) or None

    def step_mm(self, fps: float) -> float:
        """How far the belt runs from one frame to the next."""
        assert self.passing.camera.belt is not None
        return self.passing.camera.belt.speed_mm_s / fps

    def fewest(self, fps: float) -> int:
        """In at least so many frames is a part seen whole."""
        return math.floor(self.whole_mm / self.step_mm(fps) + 1e-9)

    @property
    def _mm_per_px(self) -> float:
        scale = self.passing.camera.scale_mm_per_px
        assert scale is not None
        return scale


def too_short_or_too_fast(parts: PartPassing) -> tuple[str, str, bool]:
    """(what is wrong, what to do, whether no part can pass); ("", "", False) where each part can have its K views."""
    line, fps = parts.line, parts.passing.fps
    is_stated = line.longest_part_mm is not None
    what = f"a part of {parts.part_mm:.0f} mm"
    if not parts.whole_mm:
        longer = "use a lens or a region that sees more of the belt"
        text = f"{what} is never whole in the {parts.seen_mm:.0f} mm of belt that are seen, so every one is UNDECIDED"
        return text, longer, is_stated
    if fps is None or parts.fewest(fps) >= line.views:
        return "", "", False
    if not is_stated:
        what += " (half of what is seen: state lines[].part_length_mm)"
    fewest, step_mm = parts.fewest(fps), parts.step_mm(fps)
    text = (
        f"the belt runs {step_mm:.0f} mm between two frames, and {what} is whole for {parts.whole_mm:.0f} mm: in "
        f"{fewest} or {fewest + 1} of them, and {line.name} wants {line.views} views"
    )
    wanted_fps = math.ceil(line.views * parts.step_mm(1.0) / parts.whole_mm)
    slower = f"take a camera of at least {wanted_fps:g} fps, see more of the belt, or set views to {max(1, fewest)}"
    return text, slower, is_stated and fewest + 1 < line.views
