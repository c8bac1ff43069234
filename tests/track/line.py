"""A belt with things on it, seen by a camera, in numbers only: what trackers are tried on."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from stream_inspect.config.models import BeltConfig, CameraConfig, FileSource
from stream_inspect.messages import Box, Detection
from stream_inspect.track.tracker import TrackerFrame

WIDTH_PX, HEIGHT_PX = 1280, 720


def camera(
    *, direction: str | None = "left_to_right", speed_mm_s: float = 300.0, mm_per_px: float = 1.0
) -> CameraConfig:
    """A camera, with a belt unless `direction` is None."""
    belt = BeltConfig(direction=direction, speed_mm_s=speed_mm_s, mm_per_px=mm_per_px) if direction else None
    return CameraConfig(name="cam1", source=FileSource(kind="file", path="unused.mp4"), belt=belt)


def found(box: Box, defect: str = "scratch", score: float = 0.3) -> Detection:
    return Detection(defect=defect, score=score, box_xyxy_px=box)


def frame(pts_s: float, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> TrackerFrame:
    return TrackerFrame(pts_s, width_px, height_px)


@dataclass
class Thing:
    """Something on the belt: `place_px` is the place of its centre at time 0, along the belt."""

    place_px: float
    across_px: float
    length_px: float = 40.0
    width_px: float = 40.0
    defect: str = "scratch"


@dataclass
class Line:
    """Things that move along x or y at a constant speed. `boxes` are clipped to the picture."""

    things: list[Thing]
    speed_px_s: float
    direction: str = "left_to_right"
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    def box(self, thing: Thing, pts_s: float) -> Box | None:
        """The visible part of its box, or None when nothing can be seen."""
        vertical = self.direction in ("top_to_bottom", "bottom_to_top")
        length = HEIGHT_PX if vertical else WIDTH_PX
        centre = thing.place_px + self.speed_px_s * pts_s
        start, end = centre - thing.length_px / 2, centre + thing.length_px / 2
        if self.direction in ("right_to_left", "bottom_to_top"):
            start, end = length - end, length - start
        start, end = max(start, 0.0), min(end, float(length))
        near, far = thing.across_px - thing.width_px / 2, thing.across_px + thing.width_px / 2
        if end - start < 4:
            return None
        return (near, start, far, end) if vertical else (start, near, end, far)

    def look(self, pts_s: float, miss: float = 0.0, jitter_px: float = 0.0) -> list[tuple[int, Detection]]:
        """(index of the thing, detection) of those that are seen."""
        seen = []
        for index, thing in enumerate(self.things):
            box = self.box(thing, pts_s)
            if box is not None and self.rng.random() >= miss:
                left, top, right, bottom = (value + self.rng.gauss(0, jitter_px) for value in box)
                seen.append((index, found((left, top, right, bottom), thing.defect)))
        return seen
