"""Tracks on a belt: detections are linked by where they lie on the belt, not by where they appear in the picture.

Judged frames are sampled, so a defect moves by several times its own size between two of them, and every tracker that
compares places in the picture links it to its neighbour (docs/benchmarks.md). On the belt the defect has not moved at
all: matching is by distance along and across, within a reach made of the box's own size and of what a wrong speed can
add. A track that was seen twice is kept, unseen, for as long as it must be in the picture, so that a defect found again
after a gap is not a second defect.

What fits what is in `belt_fit.py`, which find goes to which track in `belt_linking.py`, what is known of the tracks in
`belt_tracks.py`, how far the belt went in `belt_motion.py`, and whether the pictures show its speed in `belt_speed.py`.
Boxes are arrays (`belt_boxes.py`), a row for each track and a column for each find.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.odometer import FixedSpeedOdometer, Odometer
from stream_inspect.config.models import CameraConfig, TrackConfig
from stream_inspect.messages import Box, Detection, TrackUpdate
from stream_inspect.track.belt_boxes import Bools, Boxes, meeting
from stream_inspect.track.belt_fit import BeltFit
from stream_inspect.track.belt_linking import BeltLinking
from stream_inspect.track.belt_motion import BeltMotion
from stream_inspect.track.belt_tracks import BeltNow, BeltTracks, Finds, Rows
from stream_inspect.track.following import Following
from stream_inspect.track.fragments import OF_TRACK, without_fragments
from stream_inspect.track.tracker import TrackerFrame


class BeltTracker:
    """A matcher in belt coordinates for a camera with a belt."""

    def __init__(self, camera: CameraConfig, track: TrackConfig) -> None:
        if camera.belt is None:
            raise ValueError(f"camera {camera.name} has no belt: track.kind must be iou or auto")
        self._belt = camera.belt
        self._region_in = camera.region_in
        self._forget_after_s = track.forget_after_s
        self._fit = BeltFit(camera.belt.scale_mm_per_px, track.match_distance_px)
        self._motion = BeltMotion(4 * self._fit.slack_mm)
        self._following = Following()
        self._odometer: Odometer = FixedSpeedOdometer(camera.belt.speed_mm_s)
        self._view: BeltView | None = None
        self._size_px = 0, 0
        self._tracks = BeltTracks()
        self._static = BeltTracks()
        """What does not move: it takes no part in tracking."""
        self._next_number = 1
        self._now = BeltNow()
        self._belt_mm: float | None = None
        self._supposed_mm = 0.0
        """The last frame's place of the belt: as its line measured it, and at the configured speed."""

    @property
    def static_finds(self) -> list[Box]:
        if self._view is None:
            return []
        spots = self._static.spots
        return [self._view.px_from_belt(spots.box(row), 0.0) for row in range(len(spots))]

    @property
    def not_followed(self) -> str:
        return self._following.detail

    @property
    def speed_not_observable(self) -> str:
        return self._motion.speed.detail

    def update(
        self, frame: TrackerFrame, detections: Sequence[Detection]
    ) -> tuple[list[TrackUpdate], list[TrackUpdate]]:
        if self._view is None:
            self._view = self._begin_session(frame)
        self._tracks.next_frame()
        self._static.next_frame()
        before = self._now
        self._now = BeltNow(before.frame + 1, frame.pts_s, before.mm, before.reading_mm + self._due_mm(frame))
        finds = self._finds(without_fragments(detections))
        linking = BeltLinking(
            self._tracks,
            self._static,
            finds,
            before,
            self._now,
            fit=self._fit,
            motion=self._motion,
            length_mm=self._view.length_mm,
        )
        self._begin(finds, linking.link())
        self._note_following(before)
        return self._end()

    def reset(self) -> list[TrackUpdate]:
        self._tracks.next_frame()
        ended = self._reports(np.ones(len(self._tracks), np.bool_))
        # What was learned of the speed holds for the belt, not for the session: it is kept. So is dirt on the lens.
        self._motion.begin_session()
        self._odometer = FixedSpeedOdometer(self._belt.speed_mm_s)
        self._view = None
        self._tracks = BeltTracks()
        self._now = BeltNow()
        self._belt_mm, self._supposed_mm = None, 0.0
        return ended

    def _begin_session(self, frame: TrackerFrame) -> BeltView:
        """Keep what does not move, unless the picture has another size."""
        size_px = frame.width_px, frame.height_px
        if size_px != self._size_px:
            self._static = BeltTracks()
        self._size_px = size_px
        self._static["last"]["pts_s"] = frame.pts_s  # it counts from its last sight, by a clock that begins again
        return BeltView(self._belt, *size_px)

    def _due_mm(self, frame: TrackerFrame) -> float:
        """How far the belt has gone since the last frame: as its line measured it, else at the configured speed."""
        before_mm, supposed_before_mm = self._belt_mm, self._supposed_mm
        self._belt_mm, self._supposed_mm = frame.belt_mm, self._odometer.advance_to(frame.pts_s)
        supposed_mm = self._supposed_mm - supposed_before_mm
        if before_mm is None or frame.belt_mm is None or supposed_mm <= 0:
            self._motion.measured = None
            return supposed_mm
        self._motion.measured = (frame.belt_mm - before_mm) / supposed_mm
        return frame.belt_mm - before_mm

    def _finds(self, detections: Sequence[Detection]) -> Finds:
        assert self._view is not None
        boxes_px = np.array([one.box_xyxy_px for one in detections], np.float64).reshape(-1, 4)
        return Finds(detections, Boxes(*self._view.sides_from_px(boxes_px)), self._now)

    def _begin(self, finds: Finds, columns: Rows) -> None:
        """Begin tracks with the finds that belong to none, and are not fragments of a defect that is already tracked
        (seen in pieces, or cut)."""
        if len(columns) and len(self._tracks):
            spots = finds.spots[columns].shifted(self._now.mm)
            fragments = self._tracks.placed.shared_mm2(spots) >= OF_TRACK * spots.areas_mm2
            if fragments.any():
                names = np.array(finds.names)[columns]
                fragments &= np.array(self._tracks.names)[:, None] == names
                columns = columns[~fragments.any(axis=0)]
        if len(columns):
            self._tracks.begin(finds, columns, self._now, self._next_number)
            self._next_number += len(columns)

    def _note_following(self, before: BeltNow) -> None:
        """Note which tracks were seen where they were due, and what became of the finds of the frame before."""
        due_mm = self._now.reading_mm - before.reading_mm
        tracks = self._tracks
        seen, once = tracks["seen"], tracks["hits"] == 1
        due = int(np.count_nonzero(tracks["moves"] & seen))
        lost = (once & ~seen & (tracks["last"]["pts_s"] == before.pts_s)).nonzero()[0]
        lost = lost[due_mm < self._seen_until_mm + tracks["last"]["sides"][lost, 0]]
        gone, elsewhere = 0, list[float | None]()
        if len(lost) and due_mm > self._fit.slack_mm / 4:
            spots, new = tracks.spots[lost], tracks.spots[np.flatnonzero(once & seen)]
            alike = self._fit.pairs(spots, new).alike
            went = meeting(spots, new).low / due_mm
            for row, found in enumerate(alike.sum(axis=1).tolist()):
                if found:
                    elsewhere.append(float(went[row, alike[row]][0]) if found == 1 else None)
                else:
                    gone += 1
        self._following.note(due, gone, elsewhere)

    @property
    def _seen_until_mm(self) -> float:
        """How far from the upstream edge a whole find is seen: to the end of the picture, or of the region."""
        assert self._view is not None
        if (region_px := self._region_in(*self._size_px)) is None:
            return self._view.length_mm
        return min(self._view.length_mm, max(self._view.along_mm(x, y) for x, y in region_px))

    def _end(self) -> tuple[list[TrackUpdate], list[TrackUpdate]]:
        """(live, ended) after this frame."""
        assert self._view is not None
        tracks, now, slack_mm = self._tracks, self._now, self._fit.slack_mm
        stuck = tracks.stuck(now, slack_mm)
        left = tracks.left(now, self._view.length_mm + slack_mm) & ~stuck
        lost = tracks.lost(now, self._forget_after_s) & ~stuck & ~left
        ends = stuck | left | lost
        ended: list[TrackUpdate] = []
        if len(self._static):
            self._static.keep(self._static.kept_static(now))
        if ends.any():
            for vote in tracks.speed_votes(left, 4 * slack_mm):
                self._motion.vote(vote)
            ended = self._reports(left, left=True) + self._reports(stuck | lost)
            if stuck.any():
                self._static.take_over(tracks, stuck)
            tracks.keep(~ends)
        return self._reports(np.ones(len(tracks), np.bool_)), ended

    def _reports(self, which: Bools, *, left: bool = False) -> list[TrackUpdate]:
        """How these tracks stand."""
        if not which.any():
            return []
        assert self._view is not None
        tracks, view, mm = self._tracks, self._view, self._now.mm
        rows = which.nonzero()[0]
        unseen = which & ~tracks["seen"]
        expected_px = iter(view.px_from_sides(tracks["placed"][unseen], mm).tolist() if unseen.any() else ())
        detections = [tracks.detections[row] for row in rows.tolist()]
        boxes_px: list[Box] = [tuple(next(expected_px)) if one is None else one.box_xyxy_px for one in detections]
        corners_px = np.array(boxes_px)
        speed_mm_s = self._belt.speed_mm_s * self._motion.speed_ratio
        velocities_px_s = view.velocities_px_s(speed_mm_s, (corners_px[:, :2] + corners_px[:, 2:]) / 2).tolist()
        first, last = tracks["first"]["pts_s"][rows].tolist(), tracks["last"]["pts_s"][rows].tolist()
        numbers, scores = tracks["number"][rows].tolist(), tracks["last"]["score"][rows].tolist()
        columns = (numbers, scores, first, last, tracks.doubtful[rows].tolist(), boxes_px, velocities_px_s, detections)
        return [
            TrackUpdate(
                track=number,
                defect=tracks.names[row],
                seen=detection is not None,
                left=left,
                score=score,
                box_xyxy_px=box_xyxy_px,
                velocity_px_s=tuple(velocity_px_s),
                first_pts_s=first_pts_s,
                last_pts_s=last_pts_s,
                doubtful=doubtful,
                detection=detection,
            )
            for row, number, score, first_pts_s, last_pts_s, doubtful, box_xyxy_px, velocity_px_s, detection in zip(
                rows.tolist(), *columns, strict=True
            )
        ]
