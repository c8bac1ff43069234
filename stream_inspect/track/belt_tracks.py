"""The tracks on a belt, a row each: where the picture last showed it, where it lies, and whether it moves with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_inspect.messages import Detection
from stream_inspect.track.ballot import NameVote
from stream_inspect.track.belt_boxes import Bools, Boxes, Floats, meeting

Rows = NDArray[np.intp]

_MOVES_FROM, _STILL_BELOW = 0.6, 0.3
"""Way seen over way due, from which on a thing moves with the belt, and below which it lies still in the picture."""
_STATIC_KEPT_S = 10.0
"""A find that does not move is known for this long after it was last seen: dirt flickers."""

_SIGHT = np.dtype([("sides", "f8", (4,)), ("cut", "?", (4,)), ("score", "f8"), ("pts_s", "f8"), ("reading_mm", "f8")])
_ROW = np.dtype(
    [
        ("number", "i8"),
        ("first", _SIGHT),
        ("last", _SIGHT),
        ("placed", "f8", (4,)),
        ("placed_cut", "?", (4,)),
        ("first_mm", "f8"),
        ("last_mm", "f8"),
        ("first_whole", "f8", (2,)),
        ("last_whole", "f8", (2,)),
        ("hits", "i8"),
        ("moves", "?"),
        ("stills", "i8"),
        ("stood", "?"),
        ("seen", "?"),
    ]
)


@dataclass(slots=True)
class BeltNow:
    """Where the belt is in this judged frame: `mm` as it is believed to have run, `reading_mm` by the odometer."""

    frame: int = 0
    """Counts the judged frames of the session, from 1."""
    pts_s: float = 0.0
    mm: float = 0.0
    reading_mm: float = 0.0


class Finds:
    """The detections of a judged frame; `spots` is where the picture shows them, in mm from its upstream edge."""

    def __init__(self, detections: Sequence[Detection], spots: Boxes, now: BeltNow) -> None:
        self.detections, self.spots = detections, spots
        self.names = [detection.defect for detection in detections]
        self.sights = np.zeros(len(detections), _SIGHT)
        self.sights["sides"], self.sights["cut"] = spots.sides, spots.cut
        self.sights["score"] = [detection.score for detection in detections]
        self.sights["pts_s"], self.sights["reading_mm"] = now.pts_s, now.reading_mm
        self.passed = np.empty((len(detections), 2))
        """(n, 2) the odometer's reading and the distance of the middle from the upstream edge."""
        self.passed[:, 0] = now.reading_mm
        self.passed[:, 1] = (spots.sides[:, 0] + spots.sides[:, 1]) / -2


class BeltTracks:
    """Tracks, in the order in which they began.

    `rows` has for each its number; its `first` and `last` sight, where the picture showed it, and where the belt was at
    these (`first_mm`, `last_mm`); `placed`, where it lies on the belt; what was `passed` at the first and the last
    sight of the whole, NaN before; `moves`, whether a sight of it can only be of something that the belt carries;
    `stills`, sights in a row at the same spot while the belt carried other things; `stood`, whether the belt stood
    while it was in the picture; and `seen`, in this frame.
    """

    def __init__(self) -> None:
        self.rows: NDArray[np.void] = np.zeros(0, _ROW)
        self.detections: list[Detection | None] = []
        """Of this judged frame, for those that are seen in it."""
        self._votes: list[NameVote] = []
        self.names: list[str] = []

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, field: str) -> Any:
        """One field of all rows, which writes through."""
        return self.rows[field]

    @property
    def spots(self) -> Boxes:
        last = self.rows["last"]
        return Boxes(last["sides"], last["cut"])

    @property
    def placed(self) -> Boxes:
        return Boxes(self.rows["placed"], self.rows["placed_cut"])

    @property
    def doubtful(self) -> Bools:
        """Whether it may be something that the belt does not carry: so far nothing shows that it moves."""
        doubtful: Bools = ~self.rows["moves"] & (self.rows["hits"] > 1)
        return doubtful

    def next_frame(self) -> None:
        """Nothing is seen yet."""
        self.rows["seen"] = False
        self.detections = [None] * len(self.names)

    def begin(self, finds: Finds, columns: Rows, now: BeltNow, first_number: int) -> None:
        """A track of each of these finds."""
        new = np.zeros(len(columns), _ROW)
        new["number"] = first_number + np.arange(len(columns))
        new["first"] = new["last"] = sights = finds.sights[columns]
        new["placed"], new["placed_cut"] = sights["sides"], sights["cut"]
        new["placed"][:, :2] += now.mm
        new["first_mm"] = new["last_mm"] = now.mm
        passed = np.where(finds.spots.whole[columns, None], finds.passed[columns], np.nan)
        new["first_whole"] = new["last_whole"] = passed
        new["hits"] = 1
        new["seen"] = True
        self._append(new)
        detections = [finds.detections[column] for column in columns.tolist()]
        self.detections += detections
        self._votes += [NameVote(detection) for detection in detections]
        self.names += [detection.defect for detection in detections]

    def keep(self, which: Bools) -> None:
        """Forget the others."""
        self.rows = self.rows[which]
        kept = np.flatnonzero(which).tolist()
        self.detections = [self.detections[row] for row in kept]
        self._votes = [self._votes[row] for row in kept]
        self.names = [self.names[row] for row in kept]

    def take_over(self, other: BeltTracks, which: Bools) -> None:
        """Add copies of the other's rows."""
        self._append(other.rows[which])
        for row in np.flatnonzero(which).tolist():
            self.detections.append(other.detections[row])
            self._votes.append(other._votes[row])
            self.names.append(other.names[row])

    def _append(self, new: NDArray[np.void]) -> None:
        rows = np.empty(len(self.rows) + len(new), _ROW)  # np.concatenate compares the types field by field
        rows[: len(self.rows)], rows[len(self.rows) :] = self.rows, new
        self.rows = rows

    # --- sights --------------------------------------------------------------------------------------------------

    def see(self, rows: Rows, finds: Finds, columns: Rows, now: BeltNow) -> None:
        """Another sight of each, on the belt."""
        placed = self.placed[rows].followed_by(finds.spots[columns].shifted(now.mm))
        self.rows["placed"][rows], self.rows["placed_cut"][rows] = placed.sides, placed.cut
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            vote = self._votes[row]
            vote.add(finds.detections[column])
            self.names[row] = vote.winner
        self._note(rows, finds, columns, now)

    def see_still(self, rows: Rows, finds: Finds, columns: Rows, now: BeltNow) -> None:
        """Another sight of each, where it was in the picture."""
        if len(rows):
            placed = finds.spots[columns].shifted(now.mm)
            self.rows["placed"][rows], self.rows["placed_cut"][rows] = placed.sides, placed.cut
            self._note(rows, finds, columns, now)

    def judge(self, rows: Rows, finds: Finds, columns: Rows, at_mm: Floats | float, slack_mm: float) -> Bools:
        """Whether each moves, as it does if it went most of the way due since the first sight.

        The belt is at `at_mm`. Less than `slack_mm` is too little way for a verdict.
        """
        spots = finds.spots[columns]
        due_mm = at_mm - self.rows["first_mm"][rows]
        went_mm = _went_mm(self.rows["first"][rows], spots)
        enough = np.maximum(slack_mm, 0.1 * spots.lengths[:, 0])
        share = np.where(due_mm < enough, 0.5, went_mm / np.maximum(due_mm, enough))
        share[np.isnan(went_mm)] = 1.0
        still = share < _STILL_BELOW
        if still.any():
            set_off = still & self._set_off(rows, spots, at_mm, slack_mm)
            self._begin_with_last_sight(rows[set_off])
            share[set_off] = 1.0
        moves: Bools = share > _MOVES_FROM
        self.rows["moves"][rows] = moves
        self.rows["stills"][rows] = np.where(moves, 0, self.rows["stills"][rows] + (share < _STILL_BELOW))
        return moves

    def _set_off(self, rows: Rows, spots: Boxes, at_mm: Floats | float, slack_mm: float) -> Bools:
        """Whether each went most of the way due since the last sight, which is long enough to know."""
        due_mm = at_mm - self.rows["last_mm"][rows]
        went_mm = _went_mm(self.rows["last"][rows], spots)  # NaN, where it is not known, is not more
        set_off: Bools = (due_mm >= self._enough_mm(slack_mm)[rows]) & (went_mm > _MOVES_FROM * due_mm)
        return set_off

    def _begin_with_last_sight(self, rows: Rows) -> None:
        """What was found there earlier was something else: a defect may enter at the very place of a false find."""
        self.rows["first"][rows], self.rows["first_mm"][rows] = self.rows["last"][rows], self.rows["last_mm"][rows]
        whole = self.spots.whole[rows, None]
        passed = np.where(whole, self.rows["last_whole"][rows], np.nan)
        self.rows["first_whole"][rows] = self.rows["last_whole"][rows] = passed

    def _enough_mm(self, slack_mm: float) -> Floats:
        """The way after which it is known whether the belt has carried each."""
        return np.maximum(2 * slack_mm, 0.3 * self.spots.lengths[:, 0])

    def _note(self, rows: Rows, finds: Finds, columns: Rows, now: BeltNow) -> None:
        self.rows["last"][rows], self.rows["last_mm"][rows] = finds.sights[columns], now.mm
        self.rows["hits"][rows] += 1
        self.rows["seen"][rows] = True
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            self.detections[row] = finds.detections[column]
        whole = finds.spots.whole[columns]
        rows, passed = rows[whole], finds.passed[columns[whole]]
        self.rows["last_whole"][rows] = passed
        first = self.rows["first_whole"]
        new = np.isnan(first[rows, 0])
        if new.any():
            first[rows[new]] = passed[new]

    # --- how they end --------------------------------------------------------------------------------------------

    def stuck(self, now: BeltNow, slack_mm: float) -> Bools:
        """What stayed where it was while the belt went on."""
        stuck: Bools = self.rows["stills"] >= 2
        if stuck.any():
            stuck &= now.mm - self.rows["first_mm"] >= self._enough_mm(slack_mm)
        return stuck

    def left(self, now: BeltNow, out_mm: float) -> Bools:
        """What is unseen, and its trailing edge farther than `out_mm` from the picture's upstream edge."""
        left: Bools = (self.rows["placed"][:, 1] < now.mm - out_mm) & ~self.rows["seen"]
        return left

    def lost(self, now: BeltNow, forget_after_s: float) -> Bools:
        """What was not seen for too long. What moves with the belt is kept until it has left."""
        # The difference is compared, as a time of the media clock plus a limit is rounded.
        lost: Bools = (now.pts_s - self.rows["last"]["pts_s"] > forget_after_s) & ~self.rows["moves"]
        return lost

    def kept_static(self, now: BeltNow) -> Bools:
        """Of what does not move: what was seen not too long ago."""
        kept: Bools = now.pts_s - self.rows["last"]["pts_s"] <= _STATIC_KEPT_S
        return kept

    def speed_votes(self, rows: Bools, least_mm: float) -> list[float]:
        """What whole ways through the picture say of the speed: true over configured, of what was seen for long."""
        ours = self.rows[rows & ~self.rows["stood"]]
        due_mm, way_mm = (ours["last_whole"] - ours["first_whole"]).T
        length_mm = ours["placed"][:, 1] - ours["placed"][:, 0]
        far = due_mm >= np.maximum(length_mm, least_mm)
        votes: list[float] = (way_mm[far] / due_mm[far]).tolist()
        return votes


def _went_mm(sights: NDArray[np.void], spots: Boxes) -> Floats:
    """How far each went since this sight of it; NaN where it is not one way."""
    return meeting(Boxes(sights["sides"], sights["cut"]), spots, each=True).known
