"""Where the frames of one camera show the parts of its line, as the live picture outlines them."""

from __future__ import annotations

from collections.abc import Sequence

from stream_inspect.belt.geometry import BeltBox, BeltView
from stream_inspect.belt.lanes import Lane, lane_at
from stream_inspect.decide.part_verdict import Part
from stream_inspect.decide.part_views import CameraWindow, View
from stream_inspect.messages import Interval, PartsSeen, PartsShown, ShownPart

_SAME_PLACE = 0.5
"""Share of the shorter of two stretches from which on a box in the picture is the part that is due there."""


def is_sight_of(placed: BeltBox, along: Interval, lane: int, lanes: Sequence[Lane]) -> bool:
    """Whether a box that lies here on the line is the part that is due at `along`, in this lane."""
    shared = placed.along.shared(along) / max(1e-6, min(placed.along.length, along.length))
    return shared >= _SAME_PLACE and lane_at(lanes, placed.across.centre) == lane


class PartsInPicture:
    """Frames of one camera in their order. A part lies where the line knows it to be, as wide as it was last seen."""

    def __init__(self, camera: str, view: BeltView, window: CameraWindow, lanes: Sequence[Lane]) -> None:
        self._camera, self._view, self._window, self._lanes = camera, view, window, lanes
        self._across: dict[int, Interval] = {}
        """By part, of those in the last frames."""
        self._last: tuple[int, float, float] | None = None
        """Session, time and odometer of the last frame."""

    def see(self, seen: PartsSeen, parts: Sequence[Part]) -> PartsShown:
        """The next frame; `parts` are those in it."""
        here_mm = self._here_mm(seen)
        self._across = self._widths(seen, parts)
        return PartsShown(
            frame=seen.frame,
            odometer_mm=seen.odometer_mm,
            velocity_px_s=self._view.velocity_px_s(self._speed_mm_s(seen)),
            parts=[
                ShownPart(
                    part=part.id,
                    box_xyxy_px=self._view.px_from_belt(BeltBox(part.along, self._across[part.id]), here_mm),
                    views=self._views_of(part),
                    verdict=part.verdict,
                    defect=part.failed_by,
                )
                for part in parts
            ],
        )

    def judged(self, seen: PartsSeen, parts: Sequence[Part]) -> None:
        """What the detector has found in an earlier frame, which says how wide the parts are."""
        self._across |= self._widths(seen, parts)

    def _here_mm(self, seen: PartsSeen) -> float:
        return (seen.odometer_mm or 0.0) - self._window.offset_mm

    def _widths(self, seen: PartsSeen, parts: Sequence[Part]) -> dict[int, Interval]:
        placed = [self._view.belt_from_px(sight.outline_px, self._here_mm(seen)) for sight in seen.sights]
        return {part.id: self._across_of(part, placed) for part in parts}

    def _views_of(self, part: Part) -> int:
        views = part.views.get(self._camera)
        return views.counts(self._window, part.along)[View.USABLE] if views is not None else 0

    def _across_of(self, part: Part, placed: Sequence[BeltBox]) -> Interval:
        seen = [box.across for box in placed if is_sight_of(box, part.along, part.lane, self._lanes)]
        if seen:
            return Interval(min(one.low for one in seen), max(one.high for one in seen))
        lane = next((lane for lane in self._lanes if lane.number == part.lane), None)
        known = Interval(lane.low_mm, lane.high_mm) if lane else Interval(0.0, self._view.width_mm)
        return self._across.get(part.id, known)

    def _speed_mm_s(self, seen: PartsSeen) -> float:
        """Since the last frame; 0 where it is not known."""
        last, self._last = self._last, None
        if seen.odometer_mm is None:
            return 0.0
        session, pts_s = seen.frame.id.session, seen.frame.id.pts_s
        self._last = session, pts_s, seen.odometer_mm
        if last is None or last[0] != session or pts_s <= last[1]:
            return 0.0
        return (seen.odometer_mm - last[2]) / (pts_s - last[1])
