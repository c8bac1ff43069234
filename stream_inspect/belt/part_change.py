"""What becomes known of the parts on a belt, whichever way they are found: by picture, by trigger or by a fixed pitch.

Places are in line coordinates: s_mm of a point is the odometer's reading when the point passes the line's zero, so that
a camera or gate `offset_mm` below the zero meets it at odometer s + offset_mm. A part's leading edge is `along.low`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from stream_inspect.belt.geometry import Interval


class What(StrEnum):
    """What happened to the part."""

    ENTERED = "entered"
    UPDATED = "updated"  # its place or its length is known better
    LEFT = "left"  # its trailing edge is beyond the picture's downstream edge


class Doubt(StrEnum):
    """Why a part that was found is not one that was followed from its entry; it cannot pass."""

    AT_START = "already on the belt at the start"
    UNWATCHED = "came onto the belt while the camera did not watch"
    TWO_TRIGGERS = "two triggers for one part"


@dataclass(frozen=True, slots=True)
class PartChange:
    """One part of one finder. `number` is never used twice by a finder; a cut side of `along` is not seen yet."""

    what: What
    number: int
    lane: int
    along: Interval
    mono_ns: int
    doubt: Doubt | None = None
    serial: str = ""


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
