"""One track on a belt: where the picture last showed it, where it lies on the belt, and whether it moves with it."""

from __future__ import annotations

from dataclasses import dataclass

from stream_inspect.belt.geometry import BeltBox
from stream_inspect.messages import Detection
from stream_inspect.track.ballot import NameVote

_MOVES_FROM, _STILL_BELOW = 0.6, 0.3
"""Way seen over way due, from which on a thing moves with the belt, and below which it lies still in the picture."""
_STATIC_KEPT_S = 10.0
"""A find that does not move is known for this long after it was last seen: dirt flickers."""


@dataclass(slots=True)
class BeltNow:
    """Where the belt is in this judged frame: `mm` as it is believed to have run, `reading_mm` by the odometer."""

    frame: int = 0
    """Counts the judged frames of the session, from 1."""
    pts_s: float = 0.0
    mm: float = 0.0
    reading_mm: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Find:
    """One detection of a judged frame; `spot` is where the picture shows it, in mm from its upstream edge."""

    detection: Detection
    spot: BeltBox


class BeltTrack:
    """One track and what is known of it.

    `spot` is where the picture last showed it, `placed` where it lies on the belt.
    """

    def __init__(self, number: int, find: Find, now: BeltNow) -> None:
        self.number = number
        self.ballot = NameVote(find.detection)
        self.spot = self.first_spot = find.spot
        self.placed = find.spot.shifted(now.mm)
        self.first_mm = self.mm = now.mm
        self.reading_mm = now.reading_mm
        self.wholes: list[tuple[float, float]] = []
        """The first and the last sight of the whole: (odometer's reading, distance from the upstream edge), in mm."""
        self.score = find.detection.score
        self.hits = 1
        self.first_pts_s = self.last_pts_s = now.pts_s
        self.detection: Detection | None = find.detection
        """Of this judged frame, if it is seen in it."""
        self.moves = False
        """Whether a sight of it can only be of something that the belt carries."""
        self.stills = 0
        """Sights in a row at the same spot while the belt carried other things."""
        self.static = False
        self.stood = False
        """Whether the belt stood while it was in the picture."""
        if find.spot.along.whole:
            self.wholes.append((now.reading_mm, -find.spot.along.centre))

    @property
    def doubtful(self) -> bool:
        """Whether it may be something that the belt does not carry: so far nothing shows that it moves."""
        return not self.moves and self.hits > 1

    # --- sights --------------------------------------------------------------------------------------------------

    def see(self, find: Find, now: BeltNow) -> None:
        """Another sight, on the belt."""
        placed = find.spot.shifted(now.mm)
        self.ballot.add(find.detection)
        self.placed = BeltBox(
            self.placed.along.followed_by(placed.along), self.placed.across.followed_by(placed.across)
        )
        self._note(find, now)

    def see_still(self, find: Find, now: BeltNow) -> None:
        """Another sight, where it was in the picture."""
        self.placed = find.spot.shifted(now.mm)
        self._note(find, now)

    def see_undecided(self, find: Find, now: BeltNow, at_mm: float, slack_mm: float) -> None:
        """Another sight, of what moves if it went most of the way due since the first one, with the belt at `at_mm`.

        Less than `slack_mm` is too little way for a verdict.
        """
        share = self._share_gone(find, at_mm - self.first_mm, max(slack_mm, 0.1 * find.spot.along.length))
        if share < _STILL_BELOW and self._has_set_off(find, at_mm - self.mm, slack_mm):
            self._begin_with_last_sight()
            share = 1.0
        if share > _MOVES_FROM:
            self.moves = True
            self.stills = 0
            self.see(find, now)
        else:
            self.see_still(find, now)
            if share < _STILL_BELOW:
                self.stills += 1

    def _share_gone(self, find: Find, due_mm: float, least_mm: float) -> float:
        """How much of the way due since the first sight it went; a half where that is less than `least_mm`."""
        if not self.first_spot.along.comparable(find.spot.along):
            return 1.0
        return 0.5 if due_mm < least_mm else -self.first_spot.along.offset_to(find.spot.along) / due_mm

    def _has_set_off(self, find: Find, due_mm: float, slack_mm: float) -> bool:
        """Whether it went most of the way due since the last sight, which is long enough to know."""
        if not self.spot.along.comparable(find.spot.along) or due_mm < self._enough_mm(slack_mm):
            return False
        return -self.spot.along.offset_to(find.spot.along) > _MOVES_FROM * due_mm

    def _begin_with_last_sight(self) -> None:
        """What was found there earlier was something else: a defect may enter at the very place of a false find."""
        self.first_spot, self.first_mm, self.first_pts_s = self.spot, self.mm, self.last_pts_s
        self.wholes = self.wholes[-1:] if self.spot.along.whole else []

    def _enough_mm(self, slack_mm: float) -> float:
        """The way after which it is known whether the belt has carried it."""
        return max(2 * slack_mm, 0.3 * self.spot.along.length)

    def _note(self, find: Find, now: BeltNow) -> None:
        self.spot = find.spot
        self.detection = find.detection
        self.score = find.detection.score
        self.hits += 1
        self.last_pts_s = now.pts_s
        self.mm, self.reading_mm = now.mm, now.reading_mm
        if find.spot.along.whole:
            self.wholes[1:] = [(now.reading_mm, -find.spot.along.centre)]

    # --- how it ends ---------------------------------------------------------------------------------------------

    def is_stuck(self, now: BeltNow, slack_mm: float) -> bool:
        """It stayed where it was while the belt went on."""
        way_mm = now.mm - self.first_mm
        return self.stills >= 2 and way_mm >= self._enough_mm(slack_mm)

    def has_left(self, now: BeltNow, out_mm: float) -> bool:
        """It is unseen, and its trailing edge farther than `out_mm` from the picture's upstream edge."""
        return now.mm - self.placed.along.high > out_mm and self.detection is None

    def is_lost(self, now: BeltNow, forget_after_s: float) -> bool:
        """It was not seen for too long. What moves with the belt is kept until it has left."""
        unseen_s = now.pts_s - self.last_pts_s
        if self.static:
            return unseen_s > _STATIC_KEPT_S
        return not self.moves and unseen_s > forget_after_s

    def speed_vote(self, least_mm: float) -> float | None:
        """What its whole way through the picture says of the speed: true over configured; None: too little is known."""
        if self.stood or len(self.wholes) < 2:
            return None
        (first_reading_mm, first_mm), (reading_mm, last_mm) = self.wholes
        due_mm = reading_mm - first_reading_mm
        return (last_mm - first_mm) / due_mm if due_mm >= max(self.placed.along.length, least_mm) else None
