"""Boxes on a belt as arrays, and at which places of the belt one can be the other.

The same arithmetic as `Interval` does for one stretch: a judged frame has some tens of boxes, each may be that of any
track, and one array for all is a tenth of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_inspect.belt.geometry import BeltBox
from stream_inspect.messages import Interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_Scalar = TypeVar("_Scalar", bound=np.generic)


class Boxes:
    """(n, 4) boxes: low and high along the belt (s_mm), near and far across it (mm), and which side an edge cuts."""

    __slots__ = ("_any_cut", "cut", "sides")

    def __init__(self, sides: Floats, cut: Bools) -> None:
        self.sides, self.cut = sides, cut
        self._any_cut: tuple[bool, bool] | None = None

    def box(self, index: int) -> BeltBox:
        """One of them."""
        low, high, near, far = self.sides[index].tolist()
        low_cut, high_cut, near_cut, far_cut = self.cut[index].tolist()
        return BeltBox(Interval(low, high, low_cut, high_cut), Interval(near, far, near_cut, far_cut))

    def __len__(self) -> int:
        return len(self.sides)

    def __getitem__(self, index: NDArray[np.intp]) -> Boxes:
        return Boxes(self.sides[index], self.cut[index])

    def shifted(self, by_mm: float) -> Boxes:
        """The same boxes, farther along the belt."""
        return Boxes(self.sides + np.array((by_mm, by_mm, 0.0, 0.0)), self.cut)

    @property
    def any_cut(self) -> tuple[bool, bool]:
        """Whether any has a cut end along, and across, the belt."""
        if self._any_cut is None:
            low, high, near, far = np.logical_or.reduce(self.cut, axis=0).tolist()
            self._any_cut = low or high, near or far
        return self._any_cut

    @property
    def lengths(self) -> Floats:
        """(n, 2) mm: along and across."""
        lengths: Floats = self.sides[:, 1::2] - self.sides[:, ::2]
        return lengths

    @property
    def areas_mm2(self) -> Floats:
        """(n,) areas, which are not 0."""
        lengths = self.lengths
        areas: Floats = np.maximum(lengths[:, 0] * lengths[:, 1], 1e-9)
        return areas

    @property
    def whole(self) -> Bools:
        """(n,) whether no edge cuts it along the belt."""
        whole: Bools = ~(self.cut[:, 0] | self.cut[:, 1])
        return whole

    def shared_mm2(self, other: Boxes) -> Floats:
        """(n, m) areas that both cover."""
        one, two = self.sides[:, None], other.sides[None]
        overlap = np.minimum(one[..., 1::2], two[..., 1::2]) - np.maximum(one[..., ::2], two[..., ::2])
        shared: Floats = np.maximum(overlap, 0.0).prod(axis=-1)
        return shared

    def followed_by(self, seen: Boxes) -> Boxes:
        """What is known of each after another look: place from the newest look, length from both.

        Of a thing that no look has shown whole, one end is from each where each has shown another one.
        """
        known_ends, seen_ends = self.sides.reshape(-1, 2, 2), seen.sides.reshape(-1, 2, 2)
        (known_low, known_high), (low, high) = _ends(known_ends), _ends(seen_ends)
        known_length, length = known_high - known_low, high - low
        if not any(self.any_cut + seen.any_cut):
            middle, half = (low + high) / 2, (known_length + length) / 4
            return Boxes(_paired(middle - half, middle + half), self.cut)
        known_low_cut, known_high_cut = _ends(self.cut.reshape(-1, 2, 2))
        low_cut, high_cut = _ends(seen.cut.reshape(-1, 2, 2))
        known_whole, whole = ~(known_low_cut | known_high_cut), ~(low_cut | high_cut)
        both, longer = (known_length + length) / 2, np.maximum(known_length, length)
        length = np.where(known_whole, np.where(whole, both, known_length), np.where(whole, length, longer))
        middle = (low + high) / 2
        low_from_both, high_from_both = low_cut & (high_cut | known_high_cut), high_cut & (low_cut | known_low_cut)
        start = np.where(low_cut, np.where(low_from_both, np.minimum(known_low, low), high - length), low)
        end = np.where(high_cut, np.where(high_from_both, np.maximum(known_high, high), low + length), high)
        start, end = np.where(whole, middle - length / 2, start), np.where(whole, middle + length / 2, end)
        cut = _paired(low_cut & (high_cut | known_low_cut), high_cut & (low_cut | known_high_cut))
        return Boxes(_paired(start, end), cut)


@dataclass(frozen=True, slots=True)
class Meeting:
    """How far something seen must be shifted to be where something known is: anywhere from `low` to `high` in mm.

    One place where both show the same end, or the whole; a stretch where they do not (`hidden`), None if all do.
    """

    low: Floats
    high: Floats
    hidden: Bools | None

    @property
    def known(self) -> Floats:
        """The shift, and NaN where it is not one place."""
        return self.low if self.hidden is None else np.where(self.hidden, np.nan, self.low)

    def distance(self, mm: Floats | float) -> Floats:
        """How far a shift of so much leaves them apart."""
        if self.hidden is None:
            return np.abs(self.low - mm)
        return np.maximum(np.maximum(self.low - mm, mm - self.high), 0.0)


def meeting(known: Boxes, seen: Boxes, *, across: bool = False, each: bool = False) -> Meeting:
    """Of all known (rows) and all seen (columns), or of `each` pair of equally many."""
    axis = slice(2, 4) if across else slice(0, 2)
    ours, theirs = known.sides[:, axis], seen.sides[:, axis]
    if not each:
        ours, theirs = ours[:, None], theirs[None]
    at_low, at_high = _ends(ours - theirs)
    middle = (at_low + at_high) / 2
    if not (known.any_cut[across] or seen.any_cut[across]):
        return Meeting(middle, middle, None)
    ours_cut, theirs_cut = known.cut[:, axis], seen.cut[:, axis]
    low_cut, high_cut = _ends((ours_cut if each else ours_cut[:, None]) | theirs_cut)
    place = np.where(low_cut, at_high, np.where(high_cut, at_low, middle))
    hidden = low_cut & high_cut
    if not hidden.any():
        return Meeting(place, place, None)
    (our_low, our_high), (their_low, their_high) = _ends(ours), _ends(theirs)
    return Meeting(np.where(hidden, our_low - their_high, place), np.where(hidden, our_high - their_low, place), hidden)


def _paired(low: NDArray[_Scalar], high: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """(n, 4) of what is (n, 2), along and across, at the low end and at the high one."""
    both = np.empty((len(low), 4), low.dtype)
    both[:, ::2], both[:, 1::2] = low, high
    return both


def median(values: Floats) -> float:
    """Of at least one number; `np.median` takes ten times as long for so few."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _ends(pairs: NDArray[_Scalar]) -> tuple[NDArray[_Scalar], NDArray[_Scalar]]:
    return pairs[..., 0], pairs[..., 1]
