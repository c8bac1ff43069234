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

from stream_inspect.track.belt_boxes import Bools, Floats
from stream_inspect.track.belt_speed import BeltSpeed

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
_SOUGHT = 0.5, 1.7
"""Shares of the known speed between which another is sought, as long as the pictures have not shown it."""
_VOTES = 3
"""So many tracks that are not known to move show how far the belt went."""
FASTEST = 1.6
"""A belt does not run faster than this many times its speed."""


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What the tracks that are known to move say. Rows are tracks, columns the detections of this frame."""

    way_mm: Floats
    """(tracks, detections): the way that would have carried this track there; infinite where they show no end in
    common."""
    reach_mm: Floats
    """(tracks, detections): how near is the same."""
    room_mm: Floats
    """(tracks,): the way after which the picture no longer shows the track whole."""

    def explained(self, ways_mm: Floats, error: float = 0.0) -> tuple[Floats, Bools]:
        """For each way and each track how well the one explains the other, 0..1, and whether the picture should show
        it then: (ways, tracks).

        `error` is the relative error of the way that must be coped with.
        """
        shown = ways_mm[:, None] < self.room_mm
        if not self.way_mm.size:
            return np.zeros(shown.shape), shown
        ways = ways_mm[:, None, None]
        closeness = 1 - ((ways - self.way_mm) / (self.reach_mm + error * np.abs(ways))) ** 2
        return np.maximum(closeness.max(axis=2), 0.0), shown

    def marks(self, ways_mm: Floats, error: float = 0.0) -> Floats:
        """For each way the mean share of the tracks that it explains, of those that the picture should show."""
        closeness, shown = self.explained(ways_mm, error)
        marks: Floats = (closeness * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1)
        return marks

    def between(self, low_mm: float, high_mm: float) -> Floats:
        """The ways between these that some track may have gone."""
        ways = self.way_mm[(self.way_mm > low_mm) & (self.way_mm < high_mm)]
        # Each of many tracks says about the same: one of each few pixels is enough.
        step_mm = float(self.reach_mm.min()) / 4 if ways.size else 1.0
        ways = np.unique(np.round(ways / step_mm)) * step_mm
        return ways[ways > low_mm]


class BeltMotion:
    """The belt's state between judged frames. Ways in mm, times in seconds of the media clock."""

    def __init__(self, steady_mm: float) -> None:
        self._steady_mm = steady_mm
        """Ways are judged over at least this much of the odometer's, so that jitter does not decide."""
        self.standing = False
        self.pace = 1.0
        """Present speed over the odometer's while the belt runs."""
        self._ratios: deque[float] = deque(maxlen=_CORRECTION_MEMORY)
        self.correction = 1.0
        """True over configured speed, as observed so far."""
        self._seen: deque[tuple[float, float]] = deque(maxlen=64)
        self._witnessed_s = 0.0
        self._unseen = 0.0, 0.0
        """(due, assumed) mm since the last frame with a witness: what was assumed there may have to be taken back."""
        self._guesses: deque[tuple[float, int]] = deque(maxlen=16)
        self.measured: float | None = None
        """Speed over the odometer's since the last frame as the line measured it: then nothing has to be supposed, and
        the way due is the measured one."""
        self.speed = BeltSpeed()
        self.sure = False
        """Whether the tracks agree on how far a running belt went in the last frame: nothing on it went elsewhere."""
        self.looks_still = False
        """Whether the last frame would look the same had the belt stood: then place in the picture says nothing."""
        self._other_mm: float | None = None
        """A way that explains the last frame as well as the one that is believed."""

    @property
    def speed_error(self) -> float:
        """Relative error of the supposed speed that must be coped with."""
        is_tried = self.measured is not None or len(self._ratios) >= _TRIED_AFTER
        return _TRIED_SPEED if is_tried else _UNTRIED_SPEED

    @property
    def speed_ratio(self) -> float:
        """Present speed over the odometer's."""
        if self.measured is not None:
            return self.measured
        if self.standing:
            return 0.0
        # The pace of the last few frames carries their jitter; many tracks that agree with it know better.
        return self.correction if self._agreed else self.pace

    @property
    def _agreed(self) -> bool:
        return len(self._ratios) >= 3 and abs(self.correction - self.pace) <= _PACE_NOISE

    def supposed(self, due_mm: float) -> list[float]:
        """The ways that the belt may have gone, the likeliest first; `due_mm` is the odometer's."""
        if self.measured is not None:
            return [due_mm]
        unseen_due_mm, unseen_way_mm = self._unseen
        speed = self.correction if self._agreed else self.pace
        runs = [speed * (due_mm + unseen_due_mm) - unseen_way_mm]
        if not self._agreed and abs(self.correction - self.pace) > _TRIED_SPEED:
            runs.append(self.correction * (due_mm + unseen_due_mm) - unseen_way_mm)
        stands = -unseen_way_mm
        return [stands, *runs] if self.standing else [*runs, stands]

    def way(self, due_mm: float, witnesses: Witnesses) -> float:
        """The way that explains best what the witnesses show; the likeliest one where several do."""
        supposed = self.supposed(due_mm)
        self._other_mm, self.looks_still, self.sure = None, False, False
        if self.measured is not None:
            self.standing = abs(self.measured) < _STANDS_BELOW
            self.sure = not self.standing
            return due_mm
        if not len(witnesses.room_mm):
            return supposed[0]
        reach_mm = float(witnesses.reach_mm.mean()) if witnesses.reach_mm.size else 0.0
        if not (self.standing or self.speed.seen) and (likeliest := self._likeliest(due_mm, witnesses, reach_mm)):
            supposed[0], self._other_mm = likeliest
        marks = witnesses.marks(np.array(supposed), self.speed_error)
        if self.standing and (moved := self._moved(witnesses, supposed)) is not None:
            return moved
        favoured = marks.tolist()
        favoured[0] += _INERTIA
        chosen = favoured.index(max(favoured))
        way, best = supposed[chosen], favoured[chosen]
        if marks[chosen] < 0.5:
            way, best = self._elsewhere(due_mm, witnesses, supposed[0], (way, best))
        self.sure = way == supposed[0] and not self.standing and marks[0] >= 0.5
        if way != supposed[0]:
            self._other_mm = None
        elif not self.standing and way - supposed[-1] > reach_mm and self.speed.as_good(marks[0], marks[-1]):
            self.looks_still, self._other_mm = True, supposed[-1]
        return way if best > 0.2 else supposed[0]

    def first_way(self, due_mm: float, witnesses: Witnesses) -> float | None:
        """As `way`, by tracks of which none is known to move: what several of them show, and a standing belt does not
        unless this is about the way due; None if there is no such way."""
        if self.standing or self.measured is not None or not witnesses.reach_mm.size:
            return None
        likeliest = self._likeliest(due_mm, witnesses, float(witnesses.reach_mm.mean()))
        if likeliest is None:
            return None
        way, other = likeliest
        ways = np.array([way, -self._unseen[1]])
        (closeness, _), (mark, still) = witnesses.explained(ways[:1]), witnesses.marks(ways).tolist()
        if (closeness > 0.5).sum() < _VOTES or mark < 0.5:
            return None
        if self.speed.as_good(mark, still):
            if not self.speed.is_likely((way + self._unseen[1]) / (due_mm + self._unseen[0])):
                return None
            self.looks_still, other = True, ways[1]
        self.sure, self._other_mm = True, other
        return way

    def _likeliest(self, due_mm: float, witnesses: Witnesses, reach_mm: float) -> tuple[float, float | None] | None:
        """(the likeliest way of those that witnesses show, another that is about as likely); None if they show none."""
        unseen_due_mm, unseen_way_mm = self._unseen
        whole_mm = due_mm + unseen_due_mm
        low, high = (self.speed.ratio * share * whole_mm - unseen_way_mm for share in _SOUGHT)
        ways = witnesses.between(max(low, 0.0), high)
        if not ways.size:
            return None
        marks = witnesses.marks(ways)
        if marks.max() < 0.5:
            return None
        way, other = self.speed.likeliest(ways + unseen_way_mm, marks, whole_mm, reach_mm)
        return way - unseen_way_mm, None if other is None else other - unseen_way_mm

    def _elsewhere(
        self, due_mm: float, witnesses: Witnesses, expected_mm: float, found: tuple[float, float]
    ) -> tuple[float, float]:
        """(way, mark) of a way that explains clearly more than what was `found` so far."""
        way, best = found
        unseen_due_mm, unseen_way_mm = self._unseen
        fastest = FASTEST * (due_mm + unseen_due_mm) * max(1.0, self.pace)
        others = witnesses.between(-unseen_way_mm, fastest - unseen_way_mm)
        # The nearest to what was expected first: things at a regular pitch look alike at many ways.
        others = others[np.abs(others - expected_mm).argsort()]
        for other, mark in zip(others.tolist(), witnesses.marks(others).tolist(), strict=True):
            if mark > best + 0.1:
                best, way = mark, other
        return way, best

    def _moved(self, witnesses: Witnesses, supposed: Sequence[float]) -> float | None:
        """A way of a running belt that explains a witness which a standing belt leaves unexplained."""
        closeness, shown = witnesses.explained(np.array(supposed))
        marks = witnesses.marks(np.array(supposed))
        moved = (closeness > 0.5) & shown & (closeness[0] == 0)
        for index in range(1, len(supposed)):
            if moved[index].any() and marks[index] >= marks[0]:
                return supposed[index]
        return None

    def observe(self, due_mm: float, way_mm: float | None, now_s: float, assumed_mm: float) -> None:
        """Note how far the witnesses went; None: there was none in this frame, and `assumed_mm` was taken for it."""
        if self.measured is not None:
            self._unseen = 0.0, 0.0
            self._seen.clear()
            self.speed.known(now_s)
            return
        if way_mm is None:
            unseen_due_mm, unseen_way_mm = self._unseen
            self._unseen = unseen_due_mm + due_mm, unseen_way_mm + assumed_mm
            if now_s - self._witnessed_s > _STANDS_WITHOUT_WITNESS_S:
                self._unseen = 0.0, 0.0
            if self.standing and now_s - self._witnessed_s > _STANDS_WITHOUT_WITNESS_S:
                self.standing = False
                self._seen.clear()
            self.speed.pause(now_s)
            return
        self._witnessed_s = now_s
        self._note_speed(due_mm, way_mm, now_s)
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

    def _note_speed(self, due_mm: float, way_mm: float, now_s: float) -> None:
        """Note whether this frame shows the speed."""
        whole_mm, went_mm = due_mm + self._unseen[0], way_mm + self._unseen[1]
        if self.standing or went_mm < _STANDS_BELOW * whole_mm or whole_mm <= 0:
            return
        ratio = went_mm / whole_mm
        if self.speed.seen and abs(ratio / self.speed.ratio - 1) > _PACE_AGREES and whole_mm >= self._steady_mm:
            self.speed.doubt()
        if self._other_mm is None:
            self.speed.show(ratio, now_s)
        else:
            self.speed.hide((self._other_mm + self._unseen[1]) / went_mm, now_s)

    def vote(self, ratio: float) -> None:
        """One track's true over configured speed. Outside the limit it is not an observation of that speed, nor where
        several speeds explain the pictures."""
        if (
            self.measured is None
            and abs(ratio - 1) <= _CORRECTION_LIMIT
            and (self.speed.seen or self._other_mm is None)
        ):
            self._ratios.append(ratio)
            if len(self._ratios) >= 3:
                self.correction = statistics.median(self._ratios)

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
        self.speed.begin_session()
