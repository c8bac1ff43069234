"""Where parts have looked defective: the places on each part, and how many judged frames have shown a defect there."""

from __future__ import annotations

from dataclasses import dataclass

from stream_inspect.belt.geometry import BeltBox
from stream_inspect.messages import FrameId, FrameOrder, Interval

_REACH_MM = 5.0
"""How far the odometer may be off between two frames that show one part."""
_PARTS_KEPT = 4096


@dataclass(frozen=True, slots=True)
class _Spot:
    camera: str
    placed: BeltBox
    frames: set[FrameOrder]

    def covers(self, seen: BeltBox) -> bool:
        """Whether this is the same place."""
        along = Interval(self.placed.along.low - _REACH_MM, self.placed.along.high + _REACH_MM)
        return along.shared(seen.along) > 0 and self.placed.across.shared(seen.across) > 0


class DefectSpots:
    """A track may be broken, or continued by a defect of another part, where judged frames are far apart. Places are
    not: what was seen often enough at one place of a part is confirmed.
    """

    def __init__(self) -> None:
        self._spots: dict[int, list[_Spot]] = {}
        """By part."""

    def see(self, part: int, frame: FrameId, placed: BeltBox) -> int:
        """A defect here; how many judged frames of the camera have shown one at this place of the part by now."""
        spots = self._spots.setdefault(part, [])
        if len(self._spots) > _PARTS_KEPT:
            del self._spots[next(iter(self._spots))]
        for spot in spots:
            if spot.camera == frame.camera and spot.covers(placed):
                spot.frames.add(frame.order)
                return len(spot.frames)
        spots.append(_Spot(frame.camera, placed, {frame.order}))
        return 1

    def clear(self) -> None:
        """Places do not continue."""
        self._spots.clear()
