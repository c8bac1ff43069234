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
from collections import deque
from collections.abc import Sequence

import numpy as np

from stream_inspect.belt.geometry import BeltBox, BeltView
from stream_inspect.belt.odometer import FixedSpeedOdometer, Odometer
from stream_inspect.config.models import CameraConfig, TrackConfig
from stream_inspect.messages import Detection, TrackUpdate
from stream_inspect.track.assign import FORBIDDEN, assign
from stream_inspect.track.ballot import OTHER_NAME_IOU, NameVote
from stream_inspect.track.fragments import OF_TRACK, without_fragments
from stream_inspect.track.tracker import TrackerFrame

_SLACK_PX = 8.0
"""Smallest reach: how badly a small box may be placed."""
_UNTRIED_SPEED = 0.10
"""Relative error of a configured speed that must be coped with."""
_TRIED_SPEED = 0.02
"""Relative error left once the correction rests on `_TRIED_AFTER` observations."""
_TRIED_AFTER = 7
_SPEED_MEMORY = 31
_CORRECTION_LIMIT = 0.15
"""A belt farther off than this is not running at this speed, and no correction is trusted."""


class _BeltTrack:
    """One track and what is known of it."""

    def __init__(self, number: int, detection: Detection, placed: BeltBox, pts_s: float) -> None:
        self.number = number
        self.ballot = NameVote(detection)
        self.placed = placed
        self.score = detection.score
        self.hits = 1
        self.first_pts_s = self.last_pts_s = pts_s
        self.detection: Detection | None = detection
        self.anchor: tuple[float, float] | None = None
        """(pts_s, distance from the upstream edge in mm) of an earlier sight of the whole, to measure the speed by."""

    def see(self, detection: Detection, placed: BeltBox, pts_s: float) -> None:
        self.ballot.add(detection)
        self.placed = BeltBox(
            self.placed.along.followed_by(placed.along), self.placed.across.followed_by(placed.across)
        )
        self.score = detection.score
        self.hits += 1
        self.last_pts_s = pts_s
        self.detection = detection


class BeltTracker:
    """A matcher in belt coordinates for a camera with a belt."""

    def __init__(self, camera: CameraConfig, track: TrackConfig) -> None:
        if camera.belt is None:
            raise ValueError(f"camera {camera.name} has no belt: track.kind must be iou or auto")
        self._belt = camera.belt
        self._forget_after_s = track.forget_after_s
        self._fixed_reach_px = track.match_distance_px
        self._odometer: Odometer = FixedSpeedOdometer(camera.belt.speed_mm_s)
        self._ratios: deque[float] = deque(maxlen=_SPEED_MEMORY)
        self._view: BeltView | None = None
        self._tracks: list[_BeltTrack] = []
        self._next_number = 1
        self._now_mm = 0.0

    def update(
        self, frame: TrackerFrame, detections: Sequence[Detection]
    ) -> tuple[list[TrackUpdate], list[TrackUpdate]]:
        if self._view is None:
            self._view = BeltView(self._belt, frame.width_px, frame.height_px)
        view = self._view
        self._now_mm = self._odometer.advance_to(frame.pts_s)
        detections = without_fragments(detections)
        placed = [view.belt_from_px(detection.box_xyxy_px, self._now_mm) for detection in detections]
        for track in self._tracks:
            track.detection = None
        free = self._match(list(range(len(detections))), detections, placed, frame.pts_s)
        new = [index for index in free if not self._is_fragment_of_a_track(detections[index], placed[index])]
        for index in new:
            self._tracks.append(_BeltTrack(self._next_number, detections[index], placed[index], frame.pts_s))
            self._next_number += 1
        self._odometer.correction = self._correction()
        left = [track for track in self._tracks if self._has_left(track)]
        lost = [track for track in self._tracks if track not in left and self._is_lost(track, frame.pts_s)]
        self._tracks = [track for track in self._tracks if track not in left and track not in lost]
        live = [self._report(track, left=False) for track in self._tracks]
        ended = [self._report(track, left=True) for track in left]
        return live, ended + [self._report(track, left=False) for track in lost]

    def reset(self) -> list[TrackUpdate]:
        for track in self._tracks:
            track.detection = None
        ended = [self._report(track, left=False) for track in self._tracks]
        # The speed that was learned holds for the belt, not for the session: it is kept.
        correction = self._odometer.correction
        self._odometer = FixedSpeedOdometer(self._belt.speed_mm_s)
        self._odometer.correction = correction
        self._view = None
        self._tracks = []
        return ended

    def _match(
        self, free: list[int], detections: Sequence[Detection], placed: list[BeltBox], pts_s: float
    ) -> list[int]:
        """Give detections to tracks; the detections that are left over."""
        for same_name in (True, False):
            tracks = [track for track in self._tracks if track.detection is None]
            if not tracks or not free:
                break
            cost = np.full((len(tracks), len(free)), FORBIDDEN)
            for row, track in enumerate(tracks):
                name, drift_mm = track.ballot.winner, self._drift_mm(track, pts_s)
                for column, index in enumerate(free):
                    if (detections[index].defect == name) is same_name:
                        cost[row, column] = (
                            self._distance(track.placed, placed[index], drift_mm)
                            if same_name
                            else _unlikeness(track.placed, placed[index])
                        )
            pairs = assign(cost)
            for row, column in pairs:
                index = free[column]
                self._measure_speed(tracks[row], placed[index], pts_s)
                tracks[row].see(detections[index], placed[index], pts_s)
            taken = {free[column] for _, column in pairs}
            free = [index for index in free if index not in taken]
        return free

    def _distance(self, known: BeltBox, seen: BeltBox, drift_mm: float) -> float:
        """Cost of a match: distance in reaches along and across, plus how unlike the sizes are."""
        slack_mm = _SLACK_PX * self._belt.mm_per_px
        across_mm = abs(known.across.offset_to(seen.across))
        across_reach_mm = max(slack_mm, 0.5 * max(known.across.length, seen.across.length))
        if across_mm > across_reach_mm:
            return FORBIDDEN
        along_mm = abs(known.along.offset_to(seen.along))
        along_reach_mm = max(slack_mm, 0.5 * max(known.along.length, seen.along.length)) + drift_mm
        if self._fixed_reach_px is not None:
            along_reach_mm = self._fixed_reach_px * self._belt.mm_per_px
        if along_mm > along_reach_mm:
            return FORBIDDEN
        unlike = 0.0
        if known.along.whole and seen.along.whole:
            unlike = min(1.0, abs(math.log(max(seen.area_mm2, 1e-9) / max(known.area_mm2, 1e-9))))
        return along_mm / along_reach_mm + across_mm / across_reach_mm + 0.5 * unlike

    def _drift_mm(self, track: _BeltTrack, pts_s: float) -> float:
        """How far a wrong speed may have carried the belt away from the odometer since the track was seen."""
        speed_error = _TRIED_SPEED if len(self._ratios) >= _TRIED_AFTER else _UNTRIED_SPEED
        return speed_error * self._belt.speed_mm_s * (pts_s - track.last_pts_s)

    def _is_fragment_of_a_track(self, detection: Detection, placed: BeltBox) -> bool:
        """Whether this left-over box is a fragment of a defect that is already tracked."""
        return any(
            track.ballot.winner == detection.defect
            and track.placed.shared_mm2(placed) >= OF_TRACK * max(placed.area_mm2, 1e-9)
            for track in self._tracks
        )

    def _measure_speed(self, track: _BeltTrack, placed: BeltBox, pts_s: float) -> None:
        """Compare how far the defect went with how far the configured speed would have carried it."""
        if not placed.along.whole:
            track.anchor = None
            return
        distance_mm = self._now_mm - placed.along.centre
        if track.anchor is None:
            track.anchor = (pts_s, distance_mm)
            return
        nominal_mm = self._belt.speed_mm_s * (pts_s - track.anchor[0])
        if nominal_mm >= max(placed.along.length, 4 * _SLACK_PX * self._belt.mm_per_px):
            self._ratios.append((distance_mm - track.anchor[1]) / nominal_mm)
            track.anchor = (pts_s, distance_mm)

    def _correction(self) -> float:
        if len(self._ratios) < 3:
            return self._odometer.correction
        correction = statistics.median(self._ratios)
        return min(max(correction, 1 - _CORRECTION_LIMIT), 1 + _CORRECTION_LIMIT)

    def _has_left(self, track: _BeltTrack) -> bool:
        """Its trailing edge is beyond the downstream edge, by enough that no remnant can be seen any more."""
        assert self._view is not None
        travelled = self._now_mm - track.placed.along.high
        return travelled > self._view.length_mm + _SLACK_PX * self._belt.mm_per_px and track.detection is None

    def _is_lost(self, track: _BeltTrack, pts_s: float) -> bool:
        return track.hits == 1 and pts_s - track.last_pts_s > self._forget_after_s

    def _report(self, track: _BeltTrack, *, left: bool) -> TrackUpdate:
        assert self._view is not None
        seen = track.detection is not None
        return TrackUpdate(
            track=track.number,
            defect=track.ballot.winner,
            seen=seen,
            left=left,
            score=track.score,
            box_xyxy_px=track.detection.box_xyxy_px
            if track.detection is not None
            else self._view.px_from_belt(track.placed, self._now_mm),
            velocity_px_s=self._view.velocity_px_s(self._odometer.speed_mm_s),
            first_pts_s=track.first_pts_s,
            last_pts_s=track.last_pts_s,
            detection=track.detection,
        )


def _unlikeness(known: BeltBox, seen: BeltBox) -> float:
    """One minus intersection over union, or forbidden where they share too little."""
    shared = known.shared_mm2(seen)
    union = known.area_mm2 + seen.area_mm2 - shared
    overlap = shared / union if union > 0 else 0.0
    return 1 - overlap if overlap >= OTHER_NAME_IOU else FORBIDDEN
