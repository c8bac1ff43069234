"""How far the belt carried things from one judged frame to the next: as the odometer says, or as the pictures show.

A configured speed is an assumption. Belts stop, start, and run at another speed, and things in the picture that do not
move (dirt on the lens, glare on a rail) look like a belt that stands. So nothing is taken from the nearest match: a
way is *supposed* (the belt runs as it did, stands, or went as far as some defect did), and the one that explains
most of the defects that are known to move is believed. A thing that was never seen moving is not a witness, and one
that moves is never outvoted by one that does not: a standing belt cannot carry anything.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CORRECTION_LIMIT = 0.15
"""A belt farther off than this does not run at the configured speed: no observation of that speed."""
_CORRECTION_MEMORY = 31
_TRIED_AFTER = 7
"""From this many observations on the learned correction is relied on."""
_UNTRIED_SPEED, _TRIED_SPEED = 0.10, 0.02
"""Relative error of a configured and of a learned speed that must be coped with."""
_STANDS_BELOW, _RUNS_ABOVE = 0.15, 0.3
"""Way seen over way due, below and above which a belt stands or runs."""
_STANDS_WITHOUT_WITNESS_S = 1.0
_PACE_AGREES = 0.1
"""A speed is believed when frames in a row agree on it to this share of the configured one."""
_PACE_NOISE = 0.05
"""How far the pace of a few frames may be off by jitter alone."""
_INERTIA = 0.3
"""How much more another supposition must explain before it is believed."""
FASTEST = 1.6
"""A belt does not run faster than this many times its speed."""


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What the tracks that are known to move say. Rows are tracks, columns the detections of this frame."""

    way_mm: NDArray[np.float64]
    """(tracks, detections): the way that would have carried this track there; NaN where they show no end in common."""
    reach_mm: NDArray[np.float64]
    """(tracks, detections): how near is the same."""
    room_mm: NDArray[np.float64]
    """(tracks,): the way after which the picture no longer shows the track whole."""

    def explained(self, way_mm: float, error: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """For each track how well this way explains it, 0..1, and whether the picture should show it then.

        `error` is the relative error of the way that must be coped with.
        """
        if not self.way_mm.size:
            return np.zeros(len(self.room_mm)), way_mm < self.room_mm
        with np.errstate(invalid="ignore"):
            closeness = 1 - ((way_mm - self.way_mm) / (self.reach_mm + error * abs(way_mm))) ** 2
        best = np.nan_to_num(closeness, nan=0.0).clip(0, 1).max(axis=1)
        return best, way_mm < self.room_mm


class BeltMotion:
    """The belt's state between judged frames. Ways in mm, times in seconds of the media clock."""

    def __init__(self, steady_mm: float) -> None:
        self._steady_mm = steady_mm
        """Ways are judged over at least this much of the odometer's, so that jitter does not decide."""
        self.standing = False
        self.pace = 1.0
        """Present speed over the odometer's while the belt runs."""
        self._ratios: deque[float] = deque(maxlen=_CORRECTION_MEMORY)
        self._seen: deque[tuple[float, float]] = deque(maxlen=64)
        self._witnessed_s = 0.0
        self._unseen = 0.0, 0.0
        """(due, assumed) mm since the last frame with a witness: what was assumed there may have to be taken back."""
        self._guesses: deque[tuple[float, int]] = deque(maxlen=16)

    @property
    def correction(self) -> float:
        """True over configured speed, as observed so far."""
        return statistics.median(self._ratios) if len(self._ratios) >= 3 else 1.0

    @property
    def speed_error(self) -> float:
        """Relative error of the supposed speed that must be coped with."""
        return _TRIED_SPEED if len(self._ratios) >= _TRIED_AFTER else _UNTRIED_SPEED

    @property
    def speed_ratio(self) -> float:
        """Present speed over the odometer's."""
        if self.standing:
            return 0.0
        # The pace of the last few frames carries their jitter; many tracks that agree with it know better.
        return self.correction if self._agreed else self.pace

    @property
    def _agreed(self) -> bool:
        return len(self._ratios) >= 3 and abs(self.correction - self.pace) <= _PACE_NOISE

    def supposed(self, due_mm: float) -> list[float]:
        """The ways that the belt may have gone, the likeliest first; `due_mm` is the odometer's."""
        unseen_due_mm, unseen_way_mm = self._unseen
        speed = self.correction if self._agreed else self.pace
        runs = [speed * (due_mm + unseen_due_mm) - unseen_way_mm]
        if not self._agreed and abs(self.correction - self.pace) > _TRIED_SPEED:
            runs.append(self.correction * (due_mm + unseen_due_mm) - unseen_way_mm)
        stands = -unseen_way_mm
        return [stands, *runs] if self.standing else [*runs, stands]

    def way(self, due_mm: float, witnesses: Witnesses) -> float:
        """The way that explains best what the witnesses show."""
        supposed = self.supposed(due_mm)
        if not len(witnesses.room_mm):
            return supposed[0]
        marks = [
            (self._mark(witnesses, way, self.speed_error) + _INERTIA * (index == 0), -index, way)
            for index, way in enumerate(supposed)
        ]
        if self.standing and (moved := self._moved(witnesses, supposed)) is not None:
            return moved
        best, _, way = max(marks)
        if best - _INERTIA * (way == supposed[0]) < 0.5:
            others = witnesses.way_mm[np.isfinite(witnesses.way_mm)]
            unseen_due_mm, unseen_way_mm = self._unseen
            fastest = FASTEST * (due_mm + unseen_due_mm) * max(1.0, self.pace)
            others = others[(others > -unseen_way_mm) & (others < fastest - unseen_way_mm)]
            # The nearest to what was expected first: things at a regular pitch look alike at many ways.
            for other in sorted(others, key=lambda other: abs(other - supposed[0])):
                mark = self._mark(witnesses, float(other))
                if mark > best + 0.1:
                    best, way = mark, float(other)
        return way if best > 0.2 else supposed[0]

    @staticmethod
    def _mark(witnesses: Witnesses, way_mm: float, error: float = 0.0) -> float:
        """Mean share of the witnesses that this way explains, of those that the picture should show."""
        closeness, shown = witnesses.explained(way_mm, error)
        return float(closeness[shown].mean()) if shown.any() else 0.0

    def _moved(self, witnesses: Witnesses, supposed: Sequence[float]) -> float | None:
        """A way of a running belt that explains a witness which a standing belt leaves unexplained."""
        stands = supposed[0]
        still, _ = witnesses.explained(stands)
        for way in supposed[1:]:
            closeness, shown = witnesses.explained(way)
            moved = ((closeness > 0.5) & shown & (still == 0)).any()
            if moved and self._mark(witnesses, way) >= self._mark(witnesses, stands):
                return way
        return None

    def observe(self, due_mm: float, way_mm: float | None, now_s: float, assumed_mm: float) -> None:
        """Note how far the witnesses went; None: there was none in this frame, and `assumed_mm` was taken for it."""
        if way_mm is None:
            unseen_due_mm, unseen_way_mm = self._unseen
            self._unseen = unseen_due_mm + due_mm, unseen_way_mm + assumed_mm
            if now_s - self._witnessed_s > _STANDS_WITHOUT_WITNESS_S:
                self._unseen = 0.0, 0.0
            if self.standing and now_s - self._witnessed_s > _STANDS_WITHOUT_WITNESS_S:
                self.standing = False
                self._seen.clear()
            return
        self._witnessed_s = now_s
        self._seen.append((due_mm + self._unseen[0], way_mm + self._unseen[1]))
        self._unseen = 0.0, 0.0
        due, way, ratios = 0.0, 0.0, []
        for frame_due, frame_way in reversed(self._seen):
            due, way = due + frame_due, way + frame_way
            if frame_due > 0:
                ratios.append(frame_way / frame_due)
            if due >= self._steady_mm and len(ratios) >= 2:
                break
        if due < self._steady_mm:
            return
        latest = ratios[0] if self._seen[-1][0] >= self._steady_mm else way / due
        if latest < _STANDS_BELOW:
            self.standing = True
        elif latest > _RUNS_ABOVE:
            self.standing = False
        if len(ratios) >= 2 and min(ratios) > _STANDS_BELOW:
            spread = max(ratios) - min(ratios)
            if spread < _PACE_AGREES + 0.25 * self._steady_mm / due:
                self.pace = way / due

    def vote(self, ratio: float) -> None:
        """One track's true over configured speed. Outside the limit it is not an observation of that speed."""
        if abs(ratio - 1) <= _CORRECTION_LIMIT:
            self._ratios.append(ratio)

    def guess(self, ratio: float, frame: int) -> None:
        """A thing of unknown motion may have gone so far, over the odometer's way. Many alike are a speed."""
        self._guesses.append((ratio, frame))
        alike = {seen for other, seen in self._guesses if abs(other - ratio) <= 0.04 * max(1.0, ratio)}
        if len(alike) >= 3 and len(alike) * 2 > len({seen for _, seen in self._guesses}):
            self.pace = statistics.median(other for other, _ in self._guesses if abs(other - ratio) <= 0.05)
            self._guesses.clear()

    def forget_guesses(self) -> None:
        """Something was followed: the speed is not unknown."""
        self._guesses.clear()

    def begin_session(self) -> None:
        """Time and place begin at zero again: what was learned of the speed is kept, what was seen is not."""
        self.standing = False
        self._seen.clear()
        self._guesses.clear()
        self._unseen = 0.0, 0.0
        self._witnessed_s = 0.0
