"""What fits what on a belt: whether a box that is seen can be that of a known thing, by its place and its size."""

from __future__ import annotations

import math

from stream_inspect.belt.geometry import BeltBox
from stream_inspect.track.assign import FORBIDDEN
from stream_inspect.track.ballot import OTHER_NAME_IOU

_SLACK_PX = 8.0
"""Smallest reach: how badly a small box may be placed."""
_STATIC_ALIKE = 0.5
"""Logarithm of the ratio of two areas, up to which a box can be the one of a find that does not move."""
_ALIKE = 0.3
"""The same, for two boxes that nothing but their likeness speaks for."""
_STILL_REACH = 0.15
"""In lengths of the box: what stands still is found nearer than that."""


class BeltFit:
    """How near is near enough on one belt: a reach made of the boxes' own sizes, at least `slack_mm`."""

    def __init__(self, mm_per_px: float, match_distance_px: float | None) -> None:
        """`match_distance_px` replaces the reach along the belt."""
        self.slack_mm = _SLACK_PX * mm_per_px
        self._fixed_reach_mm = None if match_distance_px is None else match_distance_px * mm_per_px

    def reach_mm(self, known: BeltBox, seen: BeltBox) -> float:
        """How far apart along the belt the two may lie."""
        return max(self.slack_mm, 0.5 * max(known.along.length, seen.along.length))

    def same_lane(self, known: BeltBox, seen: BeltBox) -> bool:
        """Whether one can have been carried to the other."""
        return abs(known.across.offset_to(seen.across)) <= self._reach_across_mm(known, seen)

    def alike(self, known: BeltBox, seen: BeltBox) -> bool:
        """Whether they can be one thing, wherever the belt has carried it."""
        return self.same_lane(known, seen) and abs(size_ratio(known, seen)) <= _ALIKE

    def distance(self, known: BeltBox, seen: BeltBox, drift_mm: float) -> float:
        """Cost of a match: distance in reaches along and across, plus how unlike the sizes are.

        `drift_mm` is how far the belt may be off from what is believed.
        """
        across_mm = abs(known.across.offset_to(seen.across))
        across_reach_mm = self._reach_across_mm(known, seen)
        if across_mm > across_reach_mm:
            return FORBIDDEN
        along_mm = abs(known.along.offset_to(seen.along))
        along_reach_mm = self._fixed_reach_mm
        if along_reach_mm is None:
            along_reach_mm = self.reach_mm(known, seen) + drift_mm
        if along_mm > along_reach_mm:
            return FORBIDDEN
        unlike = 0.0
        if known.along.whole and seen.along.whole:
            unlike = min(1.0, abs(size_ratio(known, seen)))
        return along_mm / along_reach_mm + across_mm / across_reach_mm + 0.5 * unlike

    def stillness(self, known: BeltBox, seen: BeltBox) -> float:
        """Cost of taking two boxes for one that stays where it is: it does so exactly, and keeps its size."""
        if abs(size_ratio(known, seen)) > _STATIC_ALIKE:
            return FORBIDDEN
        along_mm, across_mm = abs(known.along.offset_to(seen.along)), abs(known.across.offset_to(seen.across))
        reach_mm = self.slack_mm / 2
        along = along_mm / max(reach_mm, _STILL_REACH * known.along.length)
        across = across_mm / max(reach_mm, _STILL_REACH * known.across.length)
        return along + across if along <= 1 and across <= 1 else FORBIDDEN

    def _reach_across_mm(self, known: BeltBox, seen: BeltBox) -> float:
        return max(self.slack_mm, 0.5 * max(known.across.length, seen.across.length))


def size_ratio(one: BeltBox, other: BeltBox) -> float:
    """Logarithm of the ratio of two areas."""
    return math.log(max(other.area_mm2, 1e-9) / max(one.area_mm2, 1e-9))


def unlikeness(known: BeltBox, seen: BeltBox) -> float:
    """One minus intersection over union, or forbidden where they share too little to be one thing of two names."""
    shared = known.shared_mm2(seen)
    union = known.area_mm2 + seen.area_mm2 - shared
    overlap = shared / union if union > 0 else 0.0
    return 1 - overlap if overlap >= OTHER_NAME_IOU else FORBIDDEN
