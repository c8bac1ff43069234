"""Which find of a judged frame belongs to which track on a belt, and how far the belt has gone to carry them there."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np

from stream_inspect.track.assign import FORBIDDEN, assign
from stream_inspect.track.belt_fit import BeltFit, size_ratio, unlikeness
from stream_inspect.track.belt_motion import FASTEST, BeltMotion, Witnesses
from stream_inspect.track.belt_track import BeltNow, BeltTrack, Find


class BeltLinking:
    """Links the finds of one judged frame to the tracks, and corrects `now.mm` by what moves with the belt.

    `before` is where the belt was in the judged frame before, `length_mm` the size of the picture along the belt.
    """

    def __init__(
        self,
        tracks: Sequence[BeltTrack],
        finds: Sequence[Find],
        before: BeltNow,
        now: BeltNow,
        *,
        fit: BeltFit,
        motion: BeltMotion,
        length_mm: float,
    ) -> None:
        self._tracks = tracks
        self._free = list(finds)
        """The finds that are not linked yet."""
        self._before = before
        self._now = now
        self._due_mm = now.reading_mm - before.reading_mm
        self._supposed_mm: list[float] = []
        """Where the belt may be, the likeliest first."""
        self._fit = fit
        self._motion = motion
        self._length_mm = length_mm

    def link(self) -> list[Find]:
        """Link all that fits; returns the finds that are left over."""
        self._stay([track for track in self._tracks if track.static])
        self._follow()
        # What is left over goes to what never moved. A defect that has got stuck begins again, as a doubtful one.
        self._stay([t for t in self._tracks if not t.moves and not t.static and t.last_pts_s < self._now.pts_s])
        if any(track.moves and track.detection is not None for track in self._tracks):
            self._motion.forget_guesses()
        else:
            self._find_unforeseen()
        return self._free

    # --- what moves with the belt --------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Link what the belt carries or may carry, and learn from it how far the belt went."""
        now, before_mm = self._now, self._before.mm
        way_mm = self._motion.way(self._due_mm, self._witnesses())
        ways = [way_mm, *(way for way in self._motion.supposed(self._due_mm) if way > 0)]
        self._supposed_mm = [before_mm + way for way in ways]
        now.mm = before_mm + way_mm
        pairs = self._best_pairs()
        seen_mm = [
            way_mm - track.placed.along.offset_to(find.spot.along.shifted(now.mm))
            for track, find in pairs
            if track.moves and track.placed.along.comparable(find.spot.along)
        ]
        measured = statistics.median(seen_mm) if seen_mm else None
        self._motion.observe(self._due_mm, measured, now.pts_s, way_mm)
        if measured is not None:
            now.mm = before_mm + measured
        for track, find in pairs:
            self._take(track, find)

    def _witnesses(self) -> Witnesses:
        movers = [track for track in self._tracks if track.moves]
        ways = np.full((len(movers), len(self._free)), np.nan)
        reach = np.ones((len(movers), len(self._free)))
        for row, track in enumerate(movers):
            for column, find in enumerate(self._free):
                spot = find.spot
                if not track.placed.along.comparable(spot.along) or not self._fit.same_lane(track.placed, spot):
                    continue
                if abs(size_ratio(track.placed, spot)) > 1.0:
                    continue
                ways[row, column] = -track.placed.along.offset_to(spot.along.shifted(self._before.mm))
                reach[row, column] = self._fit.reach_mm(track.placed, spot)
        room = [self._length_mm - (self._before.mm - track.placed.along.low) for track in movers]
        return Witnesses(ways, reach, np.array(room))

    def _best_pairs(self) -> list[tuple[BeltTrack, Find]]:
        """(track, find) pairs: same name first, and first what is known to move."""
        pairs: list[tuple[BeltTrack, Find]] = []
        for same_name in (True, False):

            def cost(track: BeltTrack, find: Find, same_name: bool = same_name) -> float:
                if (find.detection.defect == track.ballot.winner) is not same_name:
                    return FORBIDDEN
                if not same_name:
                    return unlikeness(track.placed, find.spot.shifted(self._now.mm))
                places_mm = [self._now.mm] if track.moves else self._supposed_mm
                return min(self._distance(track, find, mm) for mm in places_mm)

            for moving in (True, False):
                linked = {track for track, _ in pairs}
                tracks = [t for t in self._tracks if not t.static and t.moves is moving and t not in linked]
                pairs += self._pairs(tracks, cost)
        return pairs

    def _take(self, track: BeltTrack, find: Find) -> None:
        """Give the find to the track, as a sight of something that moves unless it may lie still."""
        if track.moves:
            track.stood |= self._motion.standing
            track.see(find, self._now)
            return
        supposed_mm = min((self._now.mm, *self._supposed_mm), key=lambda mm: self._distance(track, find, mm))
        track.see_undecided(find, self._now, supposed_mm, self._fit.slack_mm)

    def _distance(self, track: BeltTrack, find: Find, mm: float) -> float:
        """Cost of taking the find for the track's if the belt is at `mm`."""
        # How far a wrong speed may have carried the belt away from what is believed since the track was seen.
        drift_mm = self._motion.speed_error * (self._now.reading_mm - track.reading_mm)
        return self._fit.distance(track.placed, find.spot.shifted(mm), drift_mm)

    # --- what stays where it is ----------------------------------------------------------------------------------

    def _stay(self, tracks: Sequence[BeltTrack]) -> None:
        """Link what lies where the picture last showed it."""
        for track, find in self._pairs(tracks, lambda track, find: self._fit.stillness(track.spot, find.spot)):
            track.stills += 1
            track.see_still(find, self._now)

    # --- where no witness shows the way --------------------------------------------------------------------------

    def _find_unforeseen(self) -> None:
        """Link what can only be one thing, wherever it went to.

        Speeds that several such looks agree on become the belt's; a single one is at least a sight of something that
        moves, as nothing does that lies on the lens.
        """
        if self._due_mm < self._fit.slack_mm:
            return
        pairs = [
            (track, find, went_mm)
            for track in self._tracks
            if track.hits == 1 and not track.static and track.detection is None
            for find in self._free
            if (went_mm := self._went_mm(track, find)) is not None
        ]
        for track, _, went_mm in pairs:
            self._motion.guess(went_mm / (self._now.reading_mm - track.reading_mm), self._now.frame)
        for track, find, went_mm in pairs:
            alone = sum(track is other or find is another for other, another, _ in pairs) == 1
            if alone and track.first_mm == self._before.mm:  # seen in the frame before
                self._now.mm = self._before.mm + went_mm
                track.moves = True
                track.see(find, self._now)
                self._free.remove(find)

    def _went_mm(self, track: BeltTrack, find: Find) -> float | None:
        """How far the belt must have gone if this is what the track showed; None where it is not alike."""
        if not track.spot.along.comparable(find.spot.along) or not self._fit.alike(track.spot, find.spot):
            return None
        went_mm = -track.spot.along.offset_to(find.spot.along)
        share = went_mm / (self._now.reading_mm - track.reading_mm)
        return went_mm if 0.15 < share < FASTEST and went_mm > self._fit.slack_mm else None

    def _pairs(
        self, tracks: Sequence[BeltTrack], cost: Callable[[BeltTrack, Find], float]
    ) -> list[tuple[BeltTrack, Find]]:
        """The best one-to-one matching of tracks and finds, which are not free any more."""
        if not tracks or not self._free:
            return []
        costs = np.array([[cost(track, find) for find in self._free] for track in tracks])
        pairs = [(tracks[row], self._free[column]) for row, column in assign(costs)]
        taken = {find for _, find in pairs}
        self._free = [find for find in self._free if find not in taken]
        return pairs
