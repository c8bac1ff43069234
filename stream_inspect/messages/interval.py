"""A stretch along or across a belt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch in mm. A side is `cut` where the picture's edge hides the rest of the thing."""

    low: float
    high: float
    low_cut: bool = False
    high_cut: bool = False

    @property
    def length(self) -> float:
        return self.high - self.low

    @property
    def centre(self) -> float:
        return (self.low + self.high) / 2

    @property
    def whole(self) -> bool:
        """Neither side is cut."""
        return not (self.low_cut or self.high_cut)

    def shifted(self, by: float) -> Interval:
        """The same stretch, farther along."""
        return Interval(self.low + by, self.high + by, self.low_cut, self.high_cut)

    def comparable(self, other: Interval) -> bool:
        """Whether both show the same end, so that `offset_to` measures and does not merely allow."""
        return not (self.low_cut or other.low_cut) or not (self.high_cut or other.high_cut)

    def shared(self, other: Interval) -> float:
        """Length that both cover."""
        return max(0.0, min(self.high, other.high) - max(self.low, other.low))

    def offset_to(self, seen: Interval) -> float:
        """How far `seen` lies from where this one was, judged by the sides that neither has cut.

        With no such side they are at offset 0 where they overlap, else off by the gap between them.
        """
        if self.whole and seen.whole:
            return (seen.low + seen.high - self.low - self.high) / 2
        if not (self.low_cut or seen.low_cut):
            return seen.low - self.low
        if not (self.high_cut or seen.high_cut):
            return seen.high - self.high
        if seen.low > self.high:
            return seen.low - self.high
        return min(0.0, seen.high - self.low)

    def followed_by(self, seen: Interval) -> Interval:
        """What is known after another look: place from the newest look, length from both.

        Of a thing that no look has shown whole, one end is from each where each has shown another one.
        """
        if seen.whole:
            length = (self.length + seen.length) / 2 if self.whole else seen.length
            return Interval(seen.centre - length / 2, seen.centre + length / 2)
        if self.high_cut and seen.low_cut and not seen.high_cut:
            return Interval(min(self.low, seen.low), seen.high, self.low_cut, False)
        if self.low_cut and seen.high_cut and not seen.low_cut:
            return Interval(seen.low, max(self.high, seen.high), False, self.high_cut)
        length = self.length if self.whole else max(self.length, seen.length)
        if not seen.low_cut:
            return Interval(seen.low, seen.low + length, False, self.high_cut)
        if not seen.high_cut:
            return Interval(seen.high - length, seen.high, self.low_cut, False)
        return Interval(min(self.low, seen.low), max(self.high, seen.high), True, True)
