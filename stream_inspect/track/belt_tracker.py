"""Tracks on a belt: detections are linked by where they lie on the belt, not by where they appear in the picture.

Judged frames are sampled, so a defect moves by several times its own size between two of them, and every tracker that
compares places in the picture links it to its neighbour (docs/benchmarks.md). On the belt the defect has not moved at
all: matching is by distance along and across, within a reach made of the box's own size and of what a wrong speed can
add. A track that was seen twice is kept, unseen, for as long as it must be in the picture, so that a defect found again
after a gap is not a second defect.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

import numpy as np

from stream_inspect.belt.geometry import BeltBox, BeltView
from stream_inspect.belt.odometer import FixedSpeedOdometer, Odometer
from stream_inspect.config.models import CameraConfig, TrackConfig
from stream_inspect.messages import Box, Detection, TrackUpdate
from stream_inspect.track.assign import FORBIDDEN, assign
from stream_inspect.track.ballot import OTHER_NAME_IOU
from stream_inspect.track.belt_motion import FASTEST, BeltMotion, Witnesses
from stream_inspect.track.belt_track import BeltNow, BeltTrack
from stream_inspect.track.following import Following
from stream_inspect.track.fragments import OF_TRACK, without_fragments
from stream_inspect.track.tracker import TrackerFrame

_SLACK_PX = 8.0
"""Smallest reach: how badly a small box may be placed."""
_MOVES_FROM, _STILL_BELOW = 0.6, 0.3
"""Way seen over way due, from which on a thing moves with the belt, and below which it lies still in the picture."""
_STATIC_ALIKE = 0.5
"""Logarithm of the ratio of two areas, up to which a box can be the one of a find that does not move."""
_ALIKE = 0.3
"""The same, for two boxes that nothing but their likeness speaks for."""
_STILL_REACH = 0.15
"""In lengths of the box: what stands still is found nearer than that."""
_STATIC_KEPT_S = 10.0
"""A find that does not move is known for this long after it was last seen: dirt flickers."""


class BeltTracker:
    """A matcher in belt coordinates for a camera with a belt."""

    def __init__(self, camera: CameraConfig, track: TrackConfig) -> None:
        if camera.belt is None:
            raise ValueError(f"camera {camera.name} has no belt: track.kind must be iou or auto")
        self._belt = camera.belt
        self._region_in = camera.region_in
        self._forget_after_s = track.forget_after_s
        self._slack_mm = _SLACK_PX * camera.belt.mm_per_px
        self._fixed_reach_mm = (
            None if track.match_distance_px is None else track.match_distance_px * camera.belt.mm_per_px
        )
        self._motion = BeltMotion(4 * self._slack_mm)
        self._following = Following()
        self._odometer: Odometer = FixedSpeedOdometer(camera.belt.speed_mm_s)
        self._view: BeltView | None = None
        self._size_px = 0, 0
        self._tracks: list[BeltTrack] = []
        self._next_number = 1
        self._frame = 0
        self._now = BeltNow(0.0, 0.0, 0.0)
        self._last_pts_s = 0.0
        """Of the judged frame before this one."""

    @property
    def static_finds(self) -> list[Box]:
        if self._view is None:
            return []
        return [self._view.px_from_belt(track.spot, 0.0) for track in self._tracks if track.static]

    @property
    def not_followed(self) -> str:
        return self._following.detail

    def update(
        self, frame: TrackerFrame, detections: Sequence[Detection]
    ) -> tuple[list[TrackUpdate], list[TrackUpdate]]:
        if self._view is None:
            self._view = self._begin_session(frame)
        detections = without_fragments(detections)
        spots = [self._view.belt_from_px(detection.box_xyxy_px, 0.0) for detection in detections]
        for track in self._tracks:
            track.detection = None
        before, due_mm = self._advance(frame.pts_s)
        self._frame += 1
        free = self._follow(detections, spots, before, due_mm)
        free = self._find_still(free, detections, spots)
        if any(track.moves and track.detection is not None for track in self._tracks):
            self._motion.forget_guesses()
        else:
            free = self._find_unforeseen(free, detections, spots, before, due_mm)
        self._begin(free, detections, spots)
        self._note_following(due_mm)
        return self._end()

    def reset(self) -> list[TrackUpdate]:
        for track in self._tracks:
            track.detection = None
        ended = [self._report(track, left=False) for track in self._tracks if not track.static]
        # What was learned of the speed holds for the belt, not for the session: it is kept. So is dirt on the lens.
        self._motion.begin_session()
        self._odometer = FixedSpeedOdometer(self._belt.speed_mm_s)
        self._view = None
        self._tracks = [track for track in self._tracks if track.static]
        self._now = BeltNow(0.0, 0.0, 0.0)
        return ended

    def _begin_session(self, frame: TrackerFrame) -> BeltView:
        """Keep what does not move, unless the picture has another size."""
        size_px = frame.width_px, frame.height_px
        if size_px != self._size_px:
            self._tracks = []
        self._size_px = size_px
        for track in self._tracks:
            track.last_pts_s = frame.pts_s  # what is static counts from its last sight, by a clock that begins again
        return BeltView(self._belt, *size_px)

    # --- one frame -----------------------------------------------------------------------------------------------

    def _advance(self, pts_s: float) -> tuple[float, float]:
        """Where the belt was in the frame before, and how far it should have run since."""
        reading_mm = self._odometer.advance_to(pts_s)
        before, due_mm = self._now.mm, reading_mm - self._now.reading_mm
        self._last_pts_s = self._now.pts_s
        self._now = BeltNow(pts_s, before, reading_mm)
        return before, due_mm

    def _follow(
        self, detections: Sequence[Detection], spots: Sequence[BeltBox], before_mm: float, due_mm: float
    ) -> list[int]:
        """Give detections to the tracks that move with the belt; those that are left over."""
        movers = [track for track in self._tracks if track.moves]
        free = self._find_static(list(range(len(detections))), detections, spots)
        unclaimed = [spots[index] for index in free]
        way_mm = self._motion.way(due_mm, self._witnesses(movers, unclaimed, before_mm))
        ways = [way_mm, *(way for way in self._motion.supposed(due_mm) if way > 0)]
        now = self._now
        now.mm = before_mm + way_mm
        free, pairs = self._link(free, detections, spots, before_mm, ways)
        seen_mm = [
            way_mm - track.placed.along.offset_to(spots[index].along.shifted(now.mm))
            for track, index in pairs
            if track.moves and track.placed.along.comparable(spots[index].along)
        ]
        measured = statistics.median(seen_mm) if seen_mm else None
        self._motion.observe(due_mm, measured, now.pts_s, way_mm)
        if measured is not None:
            now.mm = before_mm + measured
        for track, index in pairs:
            self._take(track, detections[index], spots[index], before_mm, ways)
        return free

    def _link(
        self,
        free: list[int],
        detections: Sequence[Detection],
        spots: Sequence[BeltBox],
        before_mm: float,
        ways: Sequence[float],
    ) -> tuple[list[int], list[tuple[BeltTrack, int]]]:
        """(detections left over, (track, detection) pairs): same name first, and first what is known to move."""
        pairs: list[tuple[BeltTrack, int]] = []
        for same_name in (True, False):

            def cost(track: BeltTrack, index: int, same_name: bool = same_name) -> float:
                if (detections[index].defect == track.ballot.winner) is not same_name:
                    return FORBIDDEN
                return self._cost(track, spots[index], before_mm, ways, same_name)

            for moving in (True, False):
                linked = {id(track) for track, _ in pairs}
                tracks = [
                    track
                    for track in self._tracks
                    if not track.static and track.moves is moving and id(track) not in linked
                ]
                found = self._pairs(tracks, free, cost)
                pairs += found
                taken = {index for _, index in found}
                free = [index for index in free if index not in taken]
        return free, pairs

    def _witnesses(self, movers: Sequence[BeltTrack], spots: Sequence[BeltBox], before_mm: float) -> Witnesses:
        ways = np.full((len(movers), len(spots)), np.nan)
        reach = np.ones((len(movers), len(spots)))
        assert self._view is not None
        for row, track in enumerate(movers):
            for column, spot in enumerate(spots):
                if not track.placed.along.comparable(spot.along) or not self._same_lane(track.placed, spot):
                    continue
                if abs(_size_ratio(track.placed, spot)) > 1.0:
                    continue
                ways[row, column] = -track.placed.along.offset_to(spot.along.shifted(before_mm))
                reach[row, column] = self._reach_mm(track.placed, spot)
        room = [self._view.length_mm - (before_mm - track.placed.along.low) for track in movers]
        return Witnesses(ways, reach, np.array(room))

    def _cost(self, track: BeltTrack, spot: BeltBox, before_mm: float, ways: Sequence[float], same_name: bool) -> float:
        if not same_name:
            return _unlikeness(track.placed, spot.shifted(self._now.mm))
        if track.moves:
            return self._distance(track.placed, spot.shifted(self._now.mm), self._drift_mm(track))
        moved = [self._distance(track.placed, spot.shifted(before_mm + way), self._drift_mm(track)) for way in ways]
        return min(moved)

    def _take(
        self, track: BeltTrack, detection: Detection, spot: BeltBox, before_mm: float, ways: Sequence[float]
    ) -> None:
        """Give the detection to the track, as a sight of something that moves unless it may lie still."""
        now = self._now
        if track.moves:
            track.stood |= self._motion.standing
            track.see(detection, spot, now)
            track.detection = detection
            return
        supposed = min(
            (now.mm, *(before_mm + way for way in ways)),
            key=lambda mm: self._distance(track.placed, spot.shifted(mm), self._drift_mm(track)),
        )
        due_mm = supposed - track.first_mm
        if not track.first_spot.along.comparable(spot.along):
            share = 1.0
        elif due_mm < max(self._slack_mm, 0.1 * spot.along.length):
            share = 0.5  # too little way for a verdict
        else:
            share = -track.first_spot.along.offset_to(spot.along) / due_mm
        if share > _MOVES_FROM:
            track.moves = True
            track.stills = 0
            track.see(detection, spot, now)
        else:
            track.see_still(detection, spot, now)
            if share < _STILL_BELOW:
                track.stills += 1
        track.detection = detection

    def _find_static(self, free: list[int], detections: Sequence[Detection], spots: Sequence[BeltBox]) -> list[int]:
        """Give what is known to stand still its own."""
        return self._stay([track for track in self._tracks if track.static], free, detections, spots)

    def _find_still(self, free: list[int], detections: Sequence[Detection], spots: Sequence[BeltBox]) -> list[int]:
        """Give what is left over to what never moved. A defect that has got stuck begins again, as a doubtful one."""
        waiting = [t for t in self._tracks if not t.moves and not t.static and t.last_pts_s < self._now.pts_s]
        return self._stay(waiting, free, detections, spots)

    def _stay(
        self,
        tracks: Sequence[BeltTrack],
        free: Sequence[int],
        detections: Sequence[Detection],
        spots: Sequence[BeltBox],
    ) -> list[int]:
        taken = set()
        for track, index in self._pairs(tracks, free, lambda track, index: self._stillness(track.spot, spots[index])):
            taken.add(index)
            track.stills += 1
            track.see_still(detections[index], spots[index], self._now)
            if not track.static:
                track.detection = detections[index]
        return [index for index in free if index not in taken]

    def _stillness(self, known: BeltBox, seen: BeltBox) -> float:
        """Cost of taking two boxes for one that stays where it is: it does so exactly, and keeps its size."""
        if abs(_size_ratio(known, seen)) > _STATIC_ALIKE:
            return FORBIDDEN
        along_mm, across_mm = abs(known.along.offset_to(seen.along)), abs(known.across.offset_to(seen.across))
        reach_mm = self._slack_mm / 2
        along = along_mm / max(reach_mm, _STILL_REACH * known.along.length)
        across = across_mm / max(reach_mm, _STILL_REACH * known.across.length)
        return along + across if along <= 1 and across <= 1 else FORBIDDEN

    @staticmethod
    def _pairs(
        tracks: Sequence[BeltTrack], free: Sequence[int], cost: Callable[[BeltTrack, int], float]
    ) -> list[tuple[BeltTrack, int]]:
        """The best one-to-one matching of tracks and detections."""
        if not tracks or not free:
            return []
        costs = np.array([[cost(track, index) for index in free] for track in tracks])
        return [(tracks[row], free[column]) for row, column in assign(costs)]

    def _find_unforeseen(
        self,
        free: list[int],
        detections: Sequence[Detection],
        spots: Sequence[BeltBox],
        before_mm: float,
        due_mm: float,
    ) -> list[int]:
        """Where no witness shows how far the belt went: link what can only be one thing, wherever it went to.

        Speeds that several such looks agree on become the belt's; a single one is at least a sight of something that
        moves, as nothing does that lies on the lens.
        """
        if due_mm < self._slack_mm:
            return free
        pairs = [
            (track, index, went_mm)
            for track in self._tracks
            if track.hits == 1 and not track.static and track.detection is None
            for index in free
            if (went_mm := self._went_mm(track, spots[index])) is not None
        ]
        for track, _, went_mm in pairs:
            self._motion.guess(went_mm / (self._now.reading_mm - track.reading_mm), self._frame)
        for track, index, went_mm in pairs:
            alone = sum(track is other or index == column for other, column, _ in pairs) == 1
            if alone and track.first_mm == before_mm:  # seen in the frame before
                self._now.mm = before_mm + went_mm
                track.moves = True
                track.see(detections[index], spots[index], self._now)
                track.detection = detections[index]
                free = [other for other in free if other != index]
        return free

    def _went_mm(self, track: BeltTrack, spot: BeltBox) -> float | None:
        """How far the belt must have gone if this is what the track showed; None where it is not alike."""
        if (
            not track.spot.along.comparable(spot.along)
            or not self._same_lane(track.spot, spot)
            or abs(_size_ratio(track.spot, spot)) > _ALIKE
        ):
            return None
        went_mm = -track.spot.along.offset_to(spot.along)
        fits = 0.15 < went_mm / (self._now.reading_mm - track.reading_mm) < FASTEST and went_mm > self._slack_mm
        return went_mm if fits else None

    def _begin(self, free: Sequence[int], detections: Sequence[Detection], spots: Sequence[BeltBox]) -> None:
        new = [i for i in free if not self._is_fragment_of_a_track(detections[i], spots[i].shifted(self._now.mm))]
        for index in new:
            self._tracks.append(BeltTrack(self._next_number, detections[index], spots[index], self._now))
            self._next_number += 1

    def _note_following(self, due_mm: float) -> None:
        """Note which tracks were seen where they were due, and what became of the finds of the frame before."""
        assert self._view is not None
        due = sum(track.moves and track.detection is not None for track in self._tracks)
        new = [track for track in self._tracks if track.hits == 1 and track.detection is not None]
        gone, elsewhere = 0, list[float | None]()
        for track in self._tracks:
            is_lost = track.hits == 1 and track.detection is None and track.last_pts_s == self._last_pts_s
            if not is_lost or not self._slack_mm / 4 < due_mm < self._seen_until_mm + track.spot.along.low:
                continue
            alike = [
                other
                for other in new
                if self._same_lane(track.spot, other.spot) and abs(_size_ratio(track.spot, other.spot)) <= _ALIKE
            ]
            if alike:
                went_mm = -track.spot.along.offset_to(alike[0].spot.along)
                elsewhere.append(went_mm / due_mm if len(alike) == 1 else None)
            else:
                gone += 1
        self._following.note(due, gone, elsewhere)

    @property
    def _seen_until_mm(self) -> float:
        """How far from the upstream edge a whole find is seen: to the end of the picture, or of the region."""
        assert self._view is not None
        if (region_px := self._region_in(*self._size_px)) is None:
            return self._view.length_mm
        return max(self._view.along_mm(x, y) for x, y in region_px)

    def _end(self) -> tuple[list[TrackUpdate], list[TrackUpdate]]:
        """(live, ended) after this frame."""
        stuck = [track for track in self._tracks if not track.static and self._is_static(track)]
        for track in stuck:
            track.static = True
        left = [track for track in self._tracks if not track.static and self._has_left(track)]
        lost = [track for track in self._tracks if track not in left and self._is_lost(track)]
        for track in left:
            self._vote(track)
        gone = {id(track) for track in (*left, *lost)}
        self._tracks = [track for track in self._tracks if id(track) not in gone]
        live = [self._report(track, left=False) for track in self._tracks if not track.static]
        ended = [self._report(track, left=True) for track in left]
        ended += [self._report(track, left=False) for track in (*stuck, *lost) if track in stuck or not track.static]
        return live, ended

    # --- what fits what ------------------------------------------------------------------------------------------

    def _reach_mm(self, known: BeltBox, seen: BeltBox) -> float:
        return max(self._slack_mm, 0.5 * max(known.along.length, seen.along.length))

    def _same_lane(self, known: BeltBox, seen: BeltBox) -> bool:
        reach_mm = max(self._slack_mm, 0.5 * max(known.across.length, seen.across.length))
        return abs(known.across.offset_to(seen.across)) <= reach_mm

    def _distance(self, known: BeltBox, seen: BeltBox, drift_mm: float) -> float:
        """Cost of a match: distance in reaches along and across, plus how unlike the sizes are."""
        across_mm = abs(known.across.offset_to(seen.across))
        across_reach_mm = max(self._slack_mm, 0.5 * max(known.across.length, seen.across.length))
        if across_mm > across_reach_mm:
            return FORBIDDEN
        along_mm = abs(known.along.offset_to(seen.along))
        along_reach_mm = self._reach_mm(known, seen) + drift_mm
        if self._fixed_reach_mm is not None:
            along_reach_mm = self._fixed_reach_mm
        if along_mm > along_reach_mm:
            return FORBIDDEN
        unlike = 0.0
        if known.along.whole and seen.along.whole:
            unlike = min(1.0, abs(_size_ratio(known, seen)))
        return along_mm / along_reach_mm + across_mm / across_reach_mm + 0.5 * unlike

    def _drift_mm(self, track: BeltTrack) -> float:
        """How far a wrong speed may have carried the belt away from what is believed since the track was seen."""
        return self._motion.speed_error * (self._now.reading_mm - track.reading_mm)

    def _is_fragment_of_a_track(self, detection: Detection, placed: BeltBox) -> bool:
        """Whether this left-over box is a fragment of a defect that is already tracked (seen in pieces, or cut)."""
        return any(
            not track.static
            and track.ballot.winner == detection.defect
            and track.placed.shared_mm2(placed) >= OF_TRACK * max(placed.area_mm2, 1e-9)
            for track in self._tracks
        )

    # --- how a track ends ----------------------------------------------------------------------------------------

    def _is_static(self, track: BeltTrack) -> bool:
        """It stayed where it was while the belt went on."""
        way_mm = self._now.mm - track.first_mm
        return track.stills >= 2 and way_mm >= max(2 * self._slack_mm, 0.3 * track.spot.along.length)

    def _has_left(self, track: BeltTrack) -> bool:
        """Its trailing edge is beyond the downstream edge, by enough that no remnant can be seen any more."""
        assert self._view is not None
        travelled = self._now.mm - track.placed.along.high
        return travelled > self._view.length_mm + self._slack_mm and track.detection is None

    def _is_lost(self, track: BeltTrack) -> bool:
        unseen_s = self._now.pts_s - track.last_pts_s
        if track.static:
            return unseen_s > _STATIC_KEPT_S
        return not track.moves and unseen_s > self._forget_after_s

    def _vote(self, track: BeltTrack) -> None:
        """What its whole way through the picture says of the speed; one vote a track."""
        if track.stood or len(track.wholes) < 2:
            return
        (first_reading_mm, first_mm), (reading_mm, last_mm) = track.wholes
        due_mm = reading_mm - first_reading_mm
        if due_mm >= max(track.placed.along.length, 4 * self._slack_mm):
            self._motion.vote((last_mm - first_mm) / due_mm)

    def _report(self, track: BeltTrack, *, left: bool) -> TrackUpdate:
        assert self._view is not None
        speed_mm_s = self._belt.speed_mm_s * self._motion.speed_ratio
        return TrackUpdate(
            track=track.number,
            defect=track.ballot.winner,
            seen=track.detection is not None,
            left=left,
            score=track.score,
            box_xyxy_px=track.detection.box_xyxy_px
            if track.detection is not None
            else self._view.px_from_belt(track.placed, self._now.mm),
            velocity_px_s=self._view.velocity_px_s(speed_mm_s),
            first_pts_s=track.first_pts_s,
            last_pts_s=track.last_pts_s,
            doubtful=track.doubtful,
            detection=track.detection,
        )


def _size_ratio(one: BeltBox, other: BeltBox) -> float:
    """Logarithm of the ratio of two areas."""
    return math.log(max(other.area_mm2, 1e-9) / max(one.area_mm2, 1e-9))


def _unlikeness(known: BeltBox, seen: BeltBox) -> float:
    """One minus intersection over union, or forbidden where they share too little."""
    shared = known.shared_mm2(seen)
    union = known.area_mm2 + seen.area_mm2 - shared
    overlap = shared / union if union > 0 else 0.0
    return 1 - overlap if overlap >= OTHER_NAME_IOU else FORBIDDEN
