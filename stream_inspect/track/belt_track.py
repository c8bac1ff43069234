"""One track on a belt: where the picture last showed it, where it lies on the belt, and whether it moves with it."""

from __future__ import annotations

from dataclasses import dataclass

from stream_inspect.belt.geometry import BeltBox
from stream_inspect.messages import Detection
from stream_inspect.track.ballot import NameVote


@dataclass(slots=True)
class BeltNow:
    """Where the belt is in this judged frame: `mm` as it is believed to have run, `reading_mm` by the odometer."""

    pts_s: float
    mm: float
    reading_mm: float


class BeltTrack:
    """One track and what is known of it.

    `spot` is where the picture last showed it, `placed` where it lies on the belt.
    """

    def __init__(self, number: int, detection: Detection, spot: BeltBox, now: BeltNow) -> None:
        self.number = number
        self.ballot = NameVote(detection)
        self.spot = self.first_spot = spot
        self.placed = spot.shifted(now.mm)
        self.first_mm = now.mm
        self.reading_mm = now.reading_mm
        self.wholes: list[tuple[float, float]] = []
        """The first and the last sight of the whole: (odometer's reading, distance from the upstream edge), in mm."""
        self.score = detection.score
        self.hits = 1
        self.first_pts_s = self.last_pts_s = now.pts_s
        self.detection: Detection | None = detection
        self.moves = False
        """Whether a sight of it can only be of something that the belt carries."""
        self.stills = 0
        """Sights in a row at the same spot while the belt carried other things."""
        self.static = False
        self.stood = False
        """Whether the belt stood while it was in the picture."""
        if spot.along.whole:
            self.wholes.append((now.reading_mm, -spot.along.centre))

    @property
    def doubtful(self) -> bool:
        """Whether it may be something that the belt does not carry: so far nothing shows that it moves."""
        return not self.moves and self.hits > 1

    def see(self, detection: Detection, spot: BeltBox, now: BeltNow) -> None:
        """Another sight, on the belt."""
        placed = spot.shifted(now.mm)
        self.ballot.add(detection)
        self.placed = BeltBox(
            self.placed.along.followed_by(placed.along), self.placed.across.followed_by(placed.across)
        )
        self._note(detection, spot, now)

    def see_still(self, detection: Detection, spot: BeltBox, now: BeltNow) -> None:
        """Another sight, where it was in the picture."""
        self.placed = spot.shifted(now.mm)
        self._note(detection, spot, now)

    def _note(self, detection: Detection, spot: BeltBox, now: BeltNow) -> None:
        self.spot = spot
        self.score = detection.score
        self.hits += 1
        self.last_pts_s = now.pts_s
        self.reading_mm = now.reading_mm
        if spot.along.whole:
            self.wholes[1:] = [(now.reading_mm, -spot.along.centre)]
