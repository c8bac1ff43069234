"""The lanes of a belt: stretches across it, in each of which parts come one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lane:
    """A stretch across the belt, in mm from the left or top edge of one camera's picture."""

    number: int
    low_mm: float
    high_mm: float


def lane_at(lanes: Sequence[Lane], across_mm: float) -> int:
    """Number of the lane that holds this place, else of the nearest one: a part between lanes is not lost. 0: none."""
    if not lanes:
        return 0
    return min(lanes, key=lambda lane: max(lane.low_mm - across_mm, across_mm - lane.high_mm, 0.0)).number
