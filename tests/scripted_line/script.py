"""A line that exists as a script: where its belt is at any time, and which parts lie on it. A seed makes all of it.

It is a function of time, as a real line is: while a camera or a process is down, the belt runs on.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MM_PER_PX = 2.0
WIDTH_PX, HEIGHT_PX = 320, 160
PICTURE_MM = WIDTH_PX * MM_PER_PX
LANES_MM = ((0.0, 160.0), (160.0, 320.0))
PART_MM, ACROSS_MM = 60.0, 112.0
SPEED_MM_S = 700.0
FPS = 20
RUN_IN_MM = 1400.0
"""Empty belt before the first part: the finder has to know it."""
_RAMP_MM_S2 = 2500.0
_GAPS_MM = (40.0, 140.0)
"""Between parts of one lane: near enough for three in a picture, far enough to be told apart."""
_DEFECTIVE = 0.15


@dataclass(frozen=True, slots=True)
class ScriptedPart:
    """`low` and `high` are the belt's way, in mm, at which its two edges pass the picture's upstream edge."""

    number: int
    lane: int
    low: float
    high: float
    near_mm: float
    """Its nearer side across the belt."""
    defective: bool
    """Whether it carries the mark that the detector finds."""


class _Knot(NamedTuple):
    """From `at_s` on the belt runs by this speed and acceleration."""

    at_s: float
    mm: float
    mm_s: float
    mm_s2: float


class Script:
    """`parts` parts in two lanes, and stops, slow stretches and reversals until all of them have left and beyond."""

    def __init__(self, seed: int, parts: int) -> None:
        dice = random.Random(f"line {seed}")
        self.seed = seed
        self.parts = _parts(dice, parts)
        self._lows = [part.low for part in self.parts]
        self.end_mm = max(part.high for part in self.parts) + 2 * PICTURE_MM
        self._knots = list(_motion(dice, self.end_mm))
        self._times_s = [knot.at_s for knot in self._knots]
        self.end_s = self._knots[-1].at_s
        """All parts have left by then, and the belt runs on for another two pictures."""

    def mm(self, at_s: float) -> float:
        """How far the belt has run since time 0."""
        knot = self._knots[max(0, bisect_right(self._times_s, at_s) - 1)]
        after_s = at_s - knot.at_s
        return knot.mm + knot.mm_s * after_s + knot.mm_s2 * after_s**2 / 2

    def shown(self, mm: float, picture_mm: float = PICTURE_MM) -> Iterator[ScriptedPart]:
        """The parts of which anything is in the picture when the belt is there."""
        first = bisect_right(self._lows, mm - picture_mm - PART_MM)
        return iter(self.parts[first : bisect_left(self._lows, mm)])


def _parts(dice: random.Random, count: int) -> list[ScriptedPart]:
    """Numbered in the order in which they come."""
    lows = []
    for lane in range(len(LANES_MM)):
        at_mm = RUN_IN_MM + dice.uniform(0, 100)
        for _ in range((count + 1 - lane) // len(LANES_MM)):
            lows.append((at_mm, lane))
            at_mm += PART_MM + dice.uniform(*_GAPS_MM)
    return [
        ScriptedPart(
            number,
            lane,
            low,
            low + PART_MM,
            LANES_MM[lane][0] + dice.uniform(12, LANES_MM[lane][1] - LANES_MM[lane][0] - ACROSS_MM - 12),
            dice.random() < _DEFECTIVE,
        )
        for number, (low, lane) in enumerate(sorted(lows))
    ]


def _motion(dice: random.Random, end_mm: float) -> Iterator[_Knot]:
    """It runs in without a stop; then something happens every few seconds."""
    knot = _Knot(0.0, 0.0, SPEED_MM_S, 0.0)
    wanted = [(SPEED_MM_S, 3.0)]
    while True:
        for mm_s, for_s in wanted:
            ramp = list(_reach(knot, mm_s))
            yield from ramp
            knot = ramp[-1]
            at_mm = knot.mm + mm_s * for_s
            knot = _Knot(knot.at_s + for_s, at_mm, mm_s, 0.0)
        if knot.mm >= end_mm:
            yield knot
            return
        what = dice.random()
        runs = SPEED_MM_S * dice.uniform(0.8, 1.1), dice.uniform(3, 8)
        if what < 0.35:
            wanted = [(0.0, dice.uniform(0.3, 2.0)), runs]
        elif what < 0.55:
            wanted = [(-dice.uniform(80, 250), dice.uniform(0.2, 0.8)), (0.0, 0.2), runs]
        elif what < 0.75:
            wanted = [(SPEED_MM_S * dice.uniform(0.1, 0.5), dice.uniform(0.5, 3.0)), runs]
        else:
            wanted = [runs]


def _reach(knot: _Knot, mm_s: float) -> Iterator[_Knot]:
    """The ramp from this speed to another one, then the belt at that one."""
    over_s = abs(mm_s - knot.mm_s) / _RAMP_MM_S2
    if over_s:
        ramp = knot._replace(mm_s2=(mm_s - knot.mm_s) / over_s)
        yield ramp
        way_mm = (knot.mm_s + mm_s) / 2 * over_s
        yield _Knot(knot.at_s + over_s, knot.mm + way_mm, mm_s, 0.0)
    else:
        yield knot._replace(mm_s2=0.0)
