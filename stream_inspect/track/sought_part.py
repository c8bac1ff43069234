"""What a part finder knows of one part: where it lies, how long it is, and whether it is one at all."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from stream_inspect.belt.geometry import BeltBox
from stream_inspect.messages import Doubt, Interval

SIGHTS_NEEDED = 3
"""A box seen less often, on belt that was watched before, is a flicker and not a part."""
SIGHTS_ON_NEW_BELT = 2
"""The same for one that came in over the upstream edge: nothing speaks against it."""
JOINS = 0.5
"""Share of the smaller of two boxes that both cover, from which on they may be of one part."""
OTHER_LENGTH = 0.3
"""A whole box whose length differs by more than this share from the part's shows it and does not measure it."""
STATIC_WAY, STATIC_SHIFT = 0.15, 0.7
"""Share of the picture that the belt has run, and of that way by which a part has stayed behind: it is not on it."""


@dataclass(frozen=True, slots=True)
class Look:
    """One frame of the belt between `downstream` and `upstream`, in s_mm; places are good to `reach_mm`."""

    mono_ns: int
    downstream: float
    upstream: float
    reach_mm: float

    @property
    def stretch(self) -> Interval:
        return Interval(self.downstream, self.upstream)


@dataclass(slots=True, eq=False)
class SoughtPart:
    """A part, or what may become one: `number` is 0 until it counts."""

    box: BeltBox
    on_new_belt: bool
    doubt: Doubt | None
    adjoins: bool = False
    """Whether it was first seen so near to another one that it may be a piece of that: it needs twice the sights."""
    number: int = 0
    lane: int = 0
    sights: int = 0
    misses: int = 0
    wholes: int = 0
    """Sights that measured its length."""
    others: int = 0
    """Sights in a row that showed quite another length."""
    in_one: int = 0
    in_two: int = 0
    """Sights in one piece and in two."""
    absorbed: int = 0
    """Looks in which one box covered it and another part, so that it may be a piece of that one."""
    first_watched_to: float = math.inf
    watched_to: float = -math.inf
    """Upstream edge of the picture, in s_mm, when it was measured first and last: what came in later is not of it."""
    last_place: tuple[float, float] | None = None
    """Where the picture's upstream edge and the part's leading edge were at the last look."""
    static_since: tuple[float, float] = (0.0, 0.0)
    """The same when it began to stay in its place of the picture."""
    told: Interval | None = None
    left: bool = False
    pieces: list[BeltBox] = field(default_factory=list)
    """Boxes of the present look."""

    @property
    def enough(self) -> bool:
        """Whether it was seen often enough, by itself, to be a part."""
        needed = SIGHTS_ON_NEW_BELT if self.on_new_belt else SIGHTS_NEEDED
        is_settled = self.others == 0 and self.in_one > self.in_two  # else it may be longer, shorter, or two
        return is_settled and self.sights >= needed * (1 + self.adjoins) + 2 * self.absorbed

    @property
    def outweighs(self) -> bool:
        """Whether its sights are not outweighed by looks that showed nothing, or another part, in its place."""
        return self.sights >= self.misses and self.sights > self.absorbed

    def is_shorter(self, seen: BeltBox, look: Look) -> bool:
        """Whether this is not all of the part, as far as it is known. What was seen of it coming in is a part of it."""
        known = self.box.along
        tolerance_mm = 2 * look.reach_mm if known.high_cut else self._tolerance_mm(look)
        return seen.along.whole and known.length - seen.along.length > tolerance_mm

    def is_static(self, look: Look) -> bool:
        """Whether it has stayed where it is in the picture while the belt ran, and so its place on the belt has not."""
        here, last = (look.upstream, self.box.along.low), self.last_place
        self.last_place = here
        # One that is measured again may be elsewhere, once: what is static stays behind by the belt's way in each look.
        if last is None or abs((here[1] - last[1]) - (here[0] - last[0])) > look.reach_mm:
            self.static_since = here
        way_mm, shift_mm = here[0] - self.static_since[0], here[1] - self.static_since[1]
        return way_mm > STATIC_WAY * (look.upstream - look.downstream) and shift_mm > STATIC_SHIFT * way_mm

    def _tolerance_mm(self, look: Look) -> float:
        return max(look.reach_mm, OTHER_LENGTH * self.box.along.length)

    def measure(self, seen: BeltBox, look: Look) -> None:
        """Take place and length from this sight, if they can be its own."""
        known = self.box.along
        unlike = self.is_shorter(seen, look) or (
            known.whole and seen.along.length - known.length > self._tolerance_mm(look)
        )
        self.others = self.others + 1 if unlike else 0
        if unlike and self.others <= max(1, self.wholes):
            return
        if unlike:
            self.box, self.wholes, self.others = seen, 0, 0
        self.box = BeltBox(self.box.along.followed_by(seen.along), self.box.across.followed_by(seen.across))
        if self.box.along.whole and not seen.along.high_cut:
            self.wholes += seen.along.whole
            self.watched_to = look.upstream
            self.first_watched_to = min(self.first_watched_to, look.upstream)


def adjoin(one: BeltBox, other: BeltBox, reach_mm: float) -> bool:
    """Whether the two are neighbours with hardly a gap."""
    across = one.across.shared(other.across) >= JOINS * min(one.across.length, other.across.length)
    return across and widened(one.along, 2 * reach_mm).shared(other.along) > 0


def is_rest_of(known: Interval, seen: Interval, reach_mm: float) -> bool:
    """Whether one end of a part was seen first, and now the other: each is cut where they meet."""
    lower, upper = (known, seen) if known.low < seen.low else (seen, known)
    return lower.high_cut and upper.low_cut and upper.low - lower.high <= reach_mm


def widened(stretch: Interval, by: float) -> Interval:
    return Interval(stretch.low - by, stretch.high + by)


def is_due(part: SoughtPart, look: Look) -> bool:
    """Whether enough of the part lies in the picture for it to be seen."""
    return part.box.along.shared(look.stretch) >= JOINS * part.box.along.length
