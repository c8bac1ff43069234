"""When the belt brought a place to where it is looked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def time_of(reading_mm: float, readings_mm: Sequence[float], times: Sequence[float]) -> float | None:
    """When the odometer first read this much. None where it never did, or had done so before the first reading.

    `readings_mm` increase, and `times`, in any unit, are theirs.
    """
    after = bisect_left(readings_mm, reading_mm)
    if after == len(readings_mm) or (after == 0 and readings_mm[0] > reading_mm):
        return None
    if after == 0:
        return times[0]
    low_mm, high_mm = readings_mm[after - 1], readings_mm[after]
    share = (reading_mm - low_mm) / (high_mm - low_mm)
    return times[after - 1] + share * (times[after] - times[after - 1])
