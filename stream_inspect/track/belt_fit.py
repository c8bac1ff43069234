"""What fits what on a belt: whether a box that is seen can be that of a known thing, by its place and its size."""

from __future__ import annotations

import numpy as np

from stream_inspect.track.assign import FORBIDDEN
from stream_inspect.track.ballot import OTHER_NAME_IOU
from stream_inspect.track.belt_boxes import Bools, Boxes, Floats, meeting

_SLACK_PX = 8.0
"""Smallest reach: how badly a small box may be placed."""
_STATIC_ALIKE = 0.5
"""Logarithm of the ratio of two areas, up to which a box can be the one of a find that does not move."""
_ALIKE = 0.3
"""The same, for two boxes that nothing but their likeness speaks for."""
_COMPARABLE = 1.0
"""The same, for a box that shows how far a known thing went."""
_STILL_REACH = 0.15
"""In lengths of the box: what stands still is found nearer than that."""


class BeltFit:
    """How near is near enough on one belt: a reach made of the boxes' own sizes, at least `slack_mm`."""

    def __init__(self, mm_per_px: float, match_distance_px: float | None) -> None:
        """`match_distance_px` replaces the reach along the belt."""
        self.slack_mm = _SLACK_PX * mm_per_px
        self.fixed_reach_mm = None if match_distance_px is None else match_distance_px * mm_per_px

    def pairs(self, known: Boxes, seen: Boxes) -> Pairs:
        """Compare all known with all seen."""
        return Pairs(self, known, seen)

    def may_lie_still(self, known: Boxes, seen: Boxes) -> bool:
        """Whether any two lie so near each other that `Pairs.stillness` may find them at one place: as a rule none."""
        reach_mm = np.maximum(self.slack_mm / 2, _STILL_REACH * known.lengths[:, :1])
        return bool((meeting(known, seen).distance(0.0) <= reach_mm).any())


class Pairs:
    """Known things (rows) and boxes that are seen (columns), these in mm from the picture's upstream edge."""

    def __init__(self, fit: BeltFit, known: Boxes, seen: Boxes) -> None:
        self._fit = fit
        self._known, self._seen = known, seen
        self.along = meeting(known, seen)
        """Where the belt must be for one to be the other."""
        lengths, seen_lengths = known.lengths, seen.lengths
        half, seen_half = np.maximum(fit.slack_mm, lengths / 2), seen_lengths / 2
        self.reach_mm: Floats = np.maximum(half[:, :1], seen_half[:, 0])
        """How far apart along the belt the two may lie."""
        self._across_mm = meeting(known, seen, across=True).distance(0.0)
        self._across = self._across_mm / np.maximum(half[:, 1:], seen_half[:, 1])
        """In reaches."""
        self.same_lane: Bools = self._across <= 1
        """Whether one can have been carried to the other."""
        size, seen_size = np.log(known.areas_mm2), np.log(seen.areas_mm2)
        self._unlike: Floats = np.abs(size[:, None] - seen_size)
        """Logarithm of the ratio of the areas."""

    @property
    def alike(self) -> Bools:
        """Whether they can be one thing, wherever the belt has carried it."""
        return self.same_lane & (self._unlike <= _ALIKE)

    @property
    def shows_way(self) -> Bools:
        """Whether they show how far the belt went if they are one thing."""
        shows = self.same_lane & (self._unlike <= _COMPARABLE)
        return shows if self.along.hidden is None else shows & ~self.along.hidden

    def cost(self, belt_mm: float, drift_mm: Floats) -> Floats:
        """Of a match with the belt at `belt_mm`: distance in reaches along and across, plus how unlike the sizes are.

        `drift_mm` (rows,) is how far the belt may be off from what is believed.
        """
        reach_mm: Floats | float | None = self._fit.fixed_reach_mm
        if reach_mm is None:
            reach_mm = self.reach_mm + drift_mm[:, None]
        along = self.along.distance(belt_mm) / reach_mm
        return np.where(self.same_lane & (along <= 1), along + self._beside(), FORBIDDEN)

    def other_name_cost(self, belt_mm: float) -> Floats:
        """One minus intersection over union, or forbidden where they share too little to be one thing of two names."""
        shared = self._known.shared_mm2(self._seen.shifted(belt_mm))
        overlap = shared / (np.add.outer(self._known.areas_mm2, self._seen.areas_mm2) - shared)
        return np.where(overlap >= OTHER_NAME_IOU, 1 - overlap, FORBIDDEN)

    def stillness(self) -> Floats:
        """Cost of taking two for one that stays where it is: it does so exactly, and keeps its size.

        What is known is in mm from the picture's upstream edge too.
        """
        reach_mm = np.maximum(self._fit.slack_mm / 2, _STILL_REACH * self._known.lengths)
        along = self.along.distance(0.0) / reach_mm[:, :1]
        across = self._across_mm / reach_mm[:, 1:]
        fits = (self._unlike <= _STATIC_ALIKE) & (along <= 1) & (across <= 1)
        return np.where(fits, along + across, FORBIDDEN)

    def _beside(self) -> Floats:
        """What speaks against a match besides its place along the belt."""
        unlike = np.minimum(self._unlike, 1.0)
        if self._known.any_cut[0] or self._seen.any_cut[0]:
            unlike *= self._known.whole[:, None] & self._seen.whole
        return self._across + 0.5 * unlike
