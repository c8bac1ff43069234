"""Tracks without a belt: a Kalman filter of constant velocity, matched by overlap and distance of centres.

It serves cameras whose picture stands still or moves little between judged frames. Where things move by more than
about their own size between two judged frames, configure a belt (docs/benchmarks.md says what happens otherwise).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_inspect.boxes import area, iou, is_inside
from stream_inspect.config.models import CameraConfig, TrackConfig
from stream_inspect.messages import Box, Detection, TrackUpdate
from stream_inspect.track.assign import FORBIDDEN, assign
from stream_inspect.track.ballot import OTHER_NAME_IOU, NameVote
from stream_inspect.track.fragments import OF_TRACK, without_fragments
from stream_inspect.track.motion import BoxMotion
from stream_inspect.track.tracker import TrackerFrame

_LEAST_OVERLAP = 0.1
"""Intersection over union that makes a match whatever the filter believes of the distance."""
_LIKE_SIZE = 2.0
"""Areas of boxes that are linked across a distance differ by less than this factor."""


class _IouTrack:
    """One track and what is known of it."""

    def __init__(self, number: int, detection: Detection, pts_s: float) -> None:
        self.number = number
        self.ballot = NameVote(detection)
        self.motion = BoxMotion(detection.box_xyxy_px)
        self.score = detection.score
        self.first_pts_s = self.last_pts_s = pts_s
        self.detection: Detection | None = detection

    def see(self, detection: Detection, pts_s: float) -> None:
        self.ballot.add(detection)
        self.motion.correct(detection.box_xyxy_px)
        self.score = detection.score
        self.last_pts_s = pts_s
        self.detection = detection


class IouTracker:
    """IoU and centre distance under a Kalman filter, solved as one assignment a frame."""

    static_finds: Sequence[Box] = ()
    not_followed = ""
    speed_not_observable = ""

    def __init__(self, camera: CameraConfig, track: TrackConfig) -> None:
        self._forget_after_s = track.forget_after_s
        self._tracks: list[_IouTrack] = []
        self._next_number = 1
        self._last_pts_s: float | None = None

    def update(
        self, frame: TrackerFrame, detections: Sequence[Detection]
    ) -> tuple[list[TrackUpdate], list[TrackUpdate]]:
        elapsed_s = 0.0 if self._last_pts_s is None else frame.pts_s - self._last_pts_s
        self._last_pts_s = frame.pts_s
        for track in self._tracks:
            track.detection = None
            track.motion.predict(elapsed_s)
        detections = without_fragments(detections)
        free = self._match(list(range(len(detections))), detections, frame.pts_s)
        new = [detections[index] for index in free if not self._is_fragment_of_a_track(detections[index])]
        for detection in new:
            self._tracks.append(_IouTrack(self._next_number, detection, frame.pts_s))
            self._next_number += 1
        left = [track for track in self._tracks if track.detection is None and _is_outside(track.motion.box_px, frame)]
        lost = [
            track
            for track in self._tracks
            if track not in left and frame.pts_s - track.last_pts_s > self._forget_after_s
        ]
        self._tracks = [track for track in self._tracks if track not in left and track not in lost]
        live = [_report(track, left=False) for track in self._tracks]
        return live, [_report(track, left=True) for track in left] + [_report(track, left=False) for track in lost]

    def reset(self) -> list[TrackUpdate]:
        for track in self._tracks:
            track.detection = None
        ended = [_report(track, left=False) for track in self._tracks]
        self._tracks = []
        self._last_pts_s = None
        return ended

    def _match(self, free: list[int], detections: Sequence[Detection], pts_s: float) -> list[int]:
        """Give detections to tracks, the surest way first; the detections that are left over."""
        for cost_of in (_by_overlap, _by_distance, _by_place):
            tracks = [track for track in self._tracks if track.detection is None]
            if not tracks or not free:
                break
            cost = np.full((len(tracks), len(free)), FORBIDDEN)
            for row, track in enumerate(tracks):
                predicted, name = track.motion.box_px, track.ballot.winner
                for column, index in enumerate(free):
                    cost[row, column] = cost_of(track.motion, predicted, name, detections[index])
            pairs = assign(cost)
            for row, column in pairs:
                tracks[row].see(detections[free[column]], pts_s)
            taken = {free[column] for _, column in pairs}
            free = [index for index in free if index not in taken]
        return free

    def _is_fragment_of_a_track(self, detection: Detection) -> bool:
        """Whether this left-over box is a fragment of a defect that is seen in this frame already."""
        box = detection.box_xyxy_px
        return any(
            track.detection is not None
            and track.ballot.winner == detection.defect
            and is_inside(box, track.detection.box_xyxy_px, OF_TRACK)
            for track in self._tracks
        )


def _by_overlap(motion: BoxMotion, predicted: Box, name: str, seen: Detection) -> float:
    """The same name, and overlapping what was predicted."""
    overlap = iou(predicted, seen.box_xyxy_px) if seen.defect == name else 0.0
    return 1 - overlap if overlap >= _LEAST_OVERLAP else FORBIDDEN


def _by_distance(motion: BoxMotion, predicted: Box, name: str, seen: Detection) -> float:
    """The same name, of like size, and where the filter holds it possible: finds again what is fast or was away."""
    if seen.defect != name:
        return FORBIDDEN
    known, found = max(area(predicted), 1e-9), max(area(seen.box_xyxy_px), 1e-9)
    if not 1 / _LIKE_SIZE < found / known < _LIKE_SIZE:
        return FORBIDDEN
    distance = motion.distance(seen.box_xyxy_px)
    return distance if distance <= 1 else FORBIDDEN


def _by_place(motion: BoxMotion, predicted: Box, name: str, seen: Detection) -> float:
    """Another name for what lies at the same place."""
    overlap = iou(predicted, seen.box_xyxy_px)
    return 1 - overlap if overlap >= OTHER_NAME_IOU else FORBIDDEN


def _is_outside(box: Box, frame: TrackerFrame) -> bool:
    return box[2] <= 0 or box[3] <= 0 or box[0] >= frame.width_px or box[1] >= frame.height_px


def _report(track: _IouTrack, *, left: bool) -> TrackUpdate:
    return TrackUpdate(
        track=track.number,
        defect=track.ballot.winner,
        seen=track.detection is not None,
        left=left,
        score=track.score,
        box_xyxy_px=track.detection.box_xyxy_px if track.detection is not None else track.motion.box_px,
        velocity_px_s=track.motion.velocity_px_s,
        first_pts_s=track.first_pts_s,
        last_pts_s=track.last_pts_s,
        detection=track.detection,
    )
