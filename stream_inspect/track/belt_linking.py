"""Which find of a judged frame belongs to which track on a belt, and how far the belt has gone to carry them there."""

from __future__ import annotations

import numpy as np

from stream_inspect.track.assign import FORBIDDEN, assign_rows
from stream_inspect.track.belt_boxes import Bools, Floats, median, meeting
from stream_inspect.track.belt_fit import BeltFit, Pairs
from stream_inspect.track.belt_motion import FASTEST, BeltMotion, Witnesses
from stream_inspect.track.belt_tracks import BeltNow, BeltTracks, Finds, Rows

_NO_PAIRS = np.zeros(0, np.intp), np.zeros(0, np.intp)

_OUTLIER = 9.0
"""In medians of how far finds lie from where their tracks are due: six standard deviations."""


class BeltLinking:
    """Links the finds of one judged frame to the tracks, and corrects `now.mm` by what moves with the belt.

    `static` are the tracks of what does not move. `before` is where the belt was in the judged frame before,
    `length_mm` the size of the picture along the belt.
    """

    def __init__(
        self,
        tracks: BeltTracks,
        static: BeltTracks,
        finds: Finds,
        before: BeltNow,
        now: BeltNow,
        *,
        fit: BeltFit,
        motion: BeltMotion,
        length_mm: float,
    ) -> None:
        self._tracks = tracks
        self._static = static
        self._finds = finds
        self._free: Bools = np.ones(len(finds.detections), np.bool_)
        """The finds that are not linked yet."""
        self._before = before
        self._now = now
        self._due_mm = now.reading_mm - before.reading_mm
        self._fit = fit
        self._motion = motion
        self._length_mm = length_mm

    def link(self) -> Rows:
        """Link all that fits; returns the finds that are left over."""
        if len(self._static):
            self._stay(self._static, np.arange(len(self._static)))
        self._follow()
        moves = self._tracks["moves"]
        # What is left over goes to what never moved. A defect that has got stuck begins again, as a doubtful one.
        if not self._motion.looks_still:
            self._stay(self._tracks, self._may_stay().nonzero()[0])
        if self._motion.measured is not None or (moves & self._tracks["seen"]).any():
            self._motion.forget_guesses()
        else:
            self._find_unforeseen()
        return self._free.nonzero()[0]

    # --- what moves with the belt --------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Link what the belt carries or may carry, and learn from it how far the belt went."""
        now, before_mm = self._now, self._before.mm
        pairs = self._fit.pairs(self._tracks.placed, self._finds.spots)
        witnesses = self._tracks["moves"].copy()
        way_mm = self._motion.way(self._due_mm, self._witnesses(pairs, witnesses))
        supposed_mm = [before_mm + way for way in self._motion.supposed(self._due_mm) if way > 0]
        if self._motion.sure:
            supposed_mm = []
        if not witnesses.any():
            recent = self._tracks["last"]["pts_s"] == self._before.pts_s
            first_mm = self._motion.first_way(self._due_mm, self._witnesses(pairs, recent))
            if first_mm is not None:
                way_mm, witnesses, supposed_mm = first_mm, recent, []
        now.mm = before_mm + way_mm
        places_mm = [now.mm, *supposed_mm]
        rows, columns = self._best_pairs(pairs, places_mm)
        seen_mm = pairs.along.known[rows, columns][witnesses[rows]]
        seen_mm = seen_mm[~np.isnan(seen_mm)]
        measured = median(seen_mm) - before_mm if len(seen_mm) else None
        self._motion.observe(self._due_mm, measured, now.pts_s, way_mm)
        if measured is not None:
            now.mm = before_mm + measured
        if self._motion.sure and len(rows):
            rows, columns = self._without_outliers(pairs, rows, columns)
        self._take(rows, columns, pairs, [now.mm, *places_mm])

    def _witnesses(self, pairs: Pairs, which: Bools) -> Witnesses:
        """What these tracks say."""
        ways_mm = np.where(pairs.shows_way[which] & self._free, pairs.along.low[which] - self._before.mm, np.inf)
        room_mm = self._length_mm - (self._before.mm - self._tracks["placed"][which, 0])
        return Witnesses(ways_mm, pairs.reach_mm[which], room_mm)

    def _best_pairs(self, pairs: Pairs, places_mm: list[float]) -> tuple[Rows, Rows]:
        """(tracks, finds) that belong together: same name first, and first what is known to move.

        `places_mm` is where the belt may be, the likeliest first.
        """
        moves = self._tracks["moves"]
        # How far a wrong speed may have carried the belt away from what is believed since each track was seen.
        drift_mm = self._motion.speed_error * (self._now.reading_mm - self._tracks["last"]["reading_mm"])
        costs = pairs.cost(places_mm[0], drift_mm)
        if len(places_mm) > 1 and not moves.all():  # what may not move may be at any of the places
            anywhere = np.minimum.reduce([costs, *(pairs.cost(mm, drift_mm) for mm in places_mm[1:])])
            costs = np.where(moves[:, None], costs, anywhere)
        passes = [costs]
        if len({*self._finds.names, *self._tracks.names}) > 1:
            same_name = np.array(self._tracks.names)[:, None] == np.array(self._finds.names)
            passes = [
                np.where(same_name, costs, FORBIDDEN),
                np.where(same_name, FORBIDDEN, pairs.other_name_cost(places_mm[0])),
            ]
        linked = []
        left = np.ones(len(moves), np.bool_)
        for costs in passes:
            for which in (moves, ~moves):
                rows = (left & which).nonzero()[0]
                if len(rows):
                    linked.append(self._assigned(rows, costs[rows]))
                    left[linked[-1][0]] = False
        if not linked:
            return _NO_PAIRS
        rows, columns = map(np.concatenate, zip(*linked, strict=True))
        return rows, columns

    def _without_outliers(self, pairs: Pairs, rows: Rows, columns: Rows) -> tuple[Rows, Rows]:
        """The pairs that lie where the others of this frame say: a false box in the reach of a part that was missed
        does not."""
        away_mm = pairs.along.distance(self._now.mm)[rows, columns]
        near = away_mm <= max(1.5 * self._fit.slack_mm, _OUTLIER * median(away_mm))
        self._free[columns[~near]] = True
        return rows[near], columns[near]

    def _take(self, rows: Rows, columns: Rows, pairs: Pairs, places_mm: list[float]) -> None:
        """Give finds to tracks, as sights of something that moves unless it may lie still."""
        moves = self._tracks["moves"][rows]
        if self._motion.standing:
            self._tracks["stood"][rows[moves]] = True
        if not moves.all():
            undecided, seen = rows[~moves], columns[~moves]
            at_mm = self._nearest_mm(pairs, undecided, seen, places_mm)
            moves[~moves] = self._tracks.judge(undecided, self._finds, seen, at_mm, self._fit.slack_mm)
            self._tracks.see_still(rows[~moves], self._finds, columns[~moves], self._now)
        self._tracks.see(rows[moves], self._finds, columns[moves], self._now)

    @staticmethod
    def _nearest_mm(pairs: Pairs, rows: Rows, columns: Rows, places_mm: list[float]) -> Floats | float:
        """The place of the belt by which each of these is the nearest."""
        if len(places_mm) == 1:
            return places_mm[0]
        away_mm = [pairs.along.distance(mm)[rows, columns] for mm in places_mm]
        nearest_mm: Floats = np.array(places_mm)[np.argmin(away_mm, axis=0)]
        return nearest_mm

    # --- what stays where it is ----------------------------------------------------------------------------------

    def _stay(self, tracks: BeltTracks, rows: Rows) -> None:
        """Link what lies where the picture last showed it."""
        if not len(rows) or not self._free.any():
            return
        spots = tracks.spots[rows]
        if not self._fit.may_lie_still(spots, self._finds.spots):
            return
        rows, columns = self._assigned(rows, self._fit.pairs(spots, self._finds.spots).stillness())
        tracks["stills"][rows] += 1
        tracks.see_still(rows, self._finds, columns, self._now)

    def _may_stay(self) -> Bools:
        """Which tracks may be of something that lies in the picture where it lay.

        Where the belt is known to run, parts at a regular pitch come to the same place again after some frames, and
        what has just begun to enter looks alike each time.
        """
        may: Bools = ~self._tracks["moves"] & ~self._tracks["seen"]
        if self._motion.sure:
            last = self._tracks["last"]
            may &= (last["pts_s"] == self._before.pts_s) & ~last["cut"][:, 1]
        return may

    # --- where no witness shows the way --------------------------------------------------------------------------

    def _find_unforeseen(self) -> None:
        """Link what can only be one thing, wherever it went to.

        Speeds that several such looks agree on become the belt's; a single one is at least a sight of something that
        moves, as nothing does that lies on the lens.
        """
        tracks, now, before_mm = self._tracks, self._now, self._before.mm
        rows = np.flatnonzero((tracks["hits"] == 1) & ~tracks["seen"])
        columns = np.flatnonzero(self._free)
        if self._due_mm < self._fit.slack_mm or not len(rows) or not len(columns):
            return
        spots, seen = tracks.spots[rows], self._finds.spots[columns]
        went_mm = meeting(spots, seen).known
        due_mm = (now.reading_mm - tracks["last"]["reading_mm"][rows])[:, None]
        share = went_mm / np.where(due_mm > 0, due_mm, np.nan)  # it may have run back to where it was
        fits = self._fit.pairs(spots, seen).alike & (share > 0.15) & (share < FASTEST) & (went_mm > self._fit.slack_mm)
        for ratio in share[fits].tolist():
            self._motion.guess(ratio, now.frame)
        alone = fits & (fits.sum(axis=0) == 1) & (fits.sum(axis=1) == 1)[:, None]
        alone &= (tracks["first_mm"][rows] == before_mm)[:, None]  # seen in the frame before
        for index, place in np.argwhere(alone).tolist():
            now.mm = before_mm + float(went_mm[index, place])
            row, column = rows[[index]], columns[[place]]
            tracks["moves"][row] = True
            tracks.see(row, self._finds, column, now)
            self._free[column] = False

    def _assigned(self, rows: Rows, costs: Floats) -> tuple[Rows, Rows]:
        """The best one-to-one matching of these tracks and the free finds, which are not free any more."""
        free = self._free.nonzero()[0]
        picked, columns = assign_rows(costs[:, free])
        columns = free[columns]
        self._free[columns] = False
        return rows[picked], columns
