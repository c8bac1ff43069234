"""Where a belt is and how surely, at the times of its readings, between them and after the last one.

Positions are millimetres along the belt, times are capture times (`mono_ns`). Every position has bounds of its error,
in two parts, because they end differently: *noise* belongs to one position (a count is good to one count; between two
readings the belt may have been faster or slower), *drift* stays (a way that was measured badly shifts all that
follows). Bounds are added and not squared: what a picture or a fixed speed gets wrong it gets wrong the same way in
the next frame too.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

_KEPT_NS = 60 * 10**9
"""Nothing asks for the position of a frame that is older than this: a result that late was given up long before."""
_BASELINES = 8
"""The present speed is taken from the last reading and one of so many before it."""


@dataclass(frozen=True, slots=True)
class BeltLimits:
    """What the belt cannot do, and for how long it is believed without a reading."""

    max_speed_mm_s: float
    max_acceleration_mm_s2: float = 5000.0
    """Of an emergency stop too: 1 m/s to 0 in 0.2 s."""
    silent_after_s: float = 1.0
    """A source without a reading for longer is silent, and the position is not extrapolated farther."""

    @property
    def silent_after_ns(self) -> int:
        return round(self.silent_after_s * 1e9)

    def off_line_mm(self, after_s: float, before_s: float) -> float:
        """How far the belt can be from the straight line between two positions, so many seconds from each."""
        return after_s * before_s * min(self.max_acceleration_mm_s2 / 2, 2 * self.max_speed_mm_s / (after_s + before_s))


class Way(NamedTuple):
    """How far the belt moved, in mm, and the bound of its error."""

    mm: float
    sigma_mm: float


@dataclass(frozen=True, slots=True)
class Position:
    """Where a belt is, in mm from where it was when its odometer began."""

    mm: float
    noise_mm: float = 0.0
    """Bound of the error of this one position."""
    drift_mm: float = 0.0
    """Bound of the errors that have added up since the odometer began."""

    @property
    def sigma_mm(self) -> float:
        """Bound of the error since the odometer began. Between two positions it is `way_since` that counts."""
        return self.noise_mm + abs(self.drift_mm)

    def way_since(self, earlier: Position) -> Way:
        """The way from an earlier position to this one: what had added up before both does not count."""
        drift_mm = abs(self.drift_mm - earlier.drift_mm)
        return Way(self.mm - earlier.mm, drift_mm + self.noise_mm + earlier.noise_mm)

    def shifted(self, mm: float, drift_mm: float) -> Position:
        """The same position, counted from elsewhere."""
        return Position(self.mm + mm, self.noise_mm, self.drift_mm + drift_mm)


class Knot(NamedTuple):
    """What is known at one time; the belt's positions between two knots follow from both."""

    mono_ns: int
    position: Position | None
    """None: it was asked for when it was not known."""
    read_ns: int
    """Time of the newest reading that it is made of: its own time, or an earlier one if it was extrapolated."""
    stands: bool = False
    """Whether the belt is known to stand, from then until the next knot."""


_time = attrgetter("mono_ns")


class Trace:
    """The positions of a belt over the last minute: knots in the order of time. What lies between two never changes."""

    def __init__(self, limits: BeltLimits) -> None:
        self._limits = limits
        self._knots: list[Knot] = []

    @property
    def newest_ns(self) -> int | None:
        """Time up to which everything is settled."""
        return self._knots[-1].mono_ns if self._knots else None

    def put(self, knot: Knot) -> None:
        """Add a knot, which is later than all before."""
        self._knots.append(knot)
        if self._knots[0].mono_ns < knot.mono_ns - 2 * _KEPT_NS:
            del self._knots[: bisect_left(self._knots, knot.mono_ns - _KEPT_NS, key=_time)]

    def last(self, mono_ns: int) -> Knot | None:
        """The last knot that is not later than this."""
        index = bisect_right(self._knots, mono_ns, key=_time)
        return self._knots[index - 1] if index else None

    def after(self, mono_ns: int | None) -> Sequence[Knot]:
        """The knots that are later than this; all of them for None."""
        return self._knots if mono_ns is None else self._knots[bisect_right(self._knots, mono_ns, key=_time) :]

    def first_after(self, mono_ns: int) -> Knot | None:
        """The first knot that is later than this."""
        index = bisect_right(self._knots, mono_ns, key=_time)
        return self._knots[index] if index < len(self._knots) else None

    def at(self, mono_ns: int) -> Position | None:
        """The position at this time; None before the first knot, after the last one, and where it is not known.

        Between readings that are farther apart than `silent_after_s` it is not known.
        """
        index = bisect_left(self._knots, mono_ns, key=_time)
        if index == len(self._knots):
            return None
        after = self._knots[index]
        if after.mono_ns == mono_ns or index == 0:
            return after.position if after.mono_ns == mono_ns else None
        before = self._knots[index - 1]
        if before.position is None or after.position is None:
            return None
        if after.read_ns - before.read_ns > self._limits.silent_after_ns:
            return None
        after_s, before_s = (mono_ns - before.mono_ns) / 1e9, (after.mono_ns - mono_ns) / 1e9
        share = after_s / (after_s + before_s)

        def between(low: float, high: float) -> float:
            return low + (high - low) * share

        return Position(
            between(before.position.mm, after.position.mm),
            between(before.position.noise_mm, after.position.noise_mm) + self._limits.off_line_mm(after_s, before_s),
            between(before.position.drift_mm, after.position.drift_mm),
        )


class Reckoning:
    """Dead reckoning: where the belt is after its last reading, by the speed that it had then."""

    def __init__(self, limits: BeltLimits) -> None:
        self._limits = limits
        self._read: deque[tuple[int, Position]] = deque(maxlen=_BASELINES)

    def read(self, mono_ns: int, position: Position) -> None:
        """A reading, which is later than all before."""
        self._read.append((mono_ns, position))

    @property
    def speed(self) -> Way:
        """The speed at the last reading in mm/s and the bound of its error.

        A long baseline is vague where the belt can have changed its speed, a short one where readings are coarse: it
        is the one for which both together are the smallest.
        """
        best = Way(0.0, self._limits.max_speed_mm_s)
        if not self._read:
            return best
        last_ns, last = self._read[-1]
        for mono_ns, position in list(self._read)[:-1]:
            over_s = (last_ns - mono_ns) / 1e9
            way = last.way_since(position)
            error = way.sigma_mm / over_s + self._limits.max_acceleration_mm_s2 * over_s / 2
            if error < best.sigma_mm:
                best = Way(way.mm / over_s, error)
        return best

    def ahead(self, mono_ns: int, at_most_s: float | None = None) -> Position:
        """The position at a time after the last reading.

        It follows the last speed for `at_most_s` (`silent_after_s` if None) and stays there. What the belt can have
        moved since then, at its greatest speed, is added to the drift: the way is lost and not guessed.
        """
        last_ns, last = self._read[-1]
        after_s = (mono_ns - last_ns) / 1e9
        followed_s = min(after_s, self._limits.silent_after_s if at_most_s is None else at_most_s)
        speed, error = self.speed
        error_mm = min(
            error * followed_s + self._limits.max_acceleration_mm_s2 * followed_s**2 / 2,
            (self._limits.max_speed_mm_s + abs(speed)) * followed_s,
        )
        return Position(
            last.mm + speed * followed_s,
            last.noise_mm + error_mm,
            last.drift_mm + self._limits.max_speed_mm_s * (after_s - followed_s),
        )
