"""Tracks on a belt: detections are linked by where they lie on the belt, not by where they appear in the picture.

Judged frames are sampled, so a defect moves by several times its own size between two of them, and every tracker that
compares places in the picture links it to its neighbour (docs/benchmarks.md). On the belt the defect has not moved at
all: matching is by distance along and across, within a reach made of the box's own size and of what a wrong speed can
add. A track that was seen twice is kept, unseen, for as long as it must be in the picture, so that a defect found again
after a gap is not a second defect.

What fits what is in `belt_fit.py`, which find goes to which track in `belt_linking.py`, what is known of one track in
`belt_track.py`, and how far the belt went in `belt_motion.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.odometer import FixedSpeedOdometer, Odometer
from stream_inspect.config.models import CameraConfig, TrackConfig
from stream_inspect.messages import Box, Detection, TrackUpdate
from stream_inspect.track.belt_fit import BeltFit
from stream_inspect.track.belt_linking import BeltLinking
from stream_inspect.track.belt_motion import BeltMotion
from stream_inspect.track.belt_track import BeltNow, BeltTrack, Find
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
        self._tracks: list[BeltTrack] = []
        self._next_number = 1
        self._now = BeltNow()

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
        for track in self._tracks:
            track.detection = None
        before = self._now
        self._now = BeltNow(before.frame + 1, frame.pts_s, before.mm, self._odometer.advance_to(frame.pts_s))
        linking = BeltLinking(
            self._tracks,
            [Find(one, self._view.belt_from_px(one.box_xyxy_px, 0.0)) for one in without_fragments(detections)],
            before,
            self._now,
            fit=self._fit,
            motion=self._motion,
            length_mm=self._view.length_mm,
        )
        self._begin(linking.link())
        self._note_following(before)
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
        self._now = BeltNow()
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

    def _begin(self, finds: Sequence[Find]) -> None:
        """Begin tracks with the finds that belong to none."""
        for find in [find for find in finds if not self._is_fragment_of_a_track(find)]:
            self._tracks.append(BeltTrack(self._next_number, find, self._now))
            self._next_number += 1

    def _is_fragment_of_a_track(self, find: Find) -> bool:
        """Whether this left-over box is a fragment of a defect that is already tracked (seen in pieces, or cut)."""
        placed = find.spot.shifted(self._now.mm)
        return any(
            not track.static
            and track.ballot.winner == find.detection.defect
            and track.placed.shared_mm2(placed) >= OF_TRACK * max(placed.area_mm2, 1e-9)
            for track in self._tracks
        )

    def _note_following(self, before: BeltNow) -> None:
        """Note which tracks were seen where they were due, and what became of the finds of the frame before."""
        due_mm = self._now.reading_mm - before.reading_mm
        due = sum(track.moves and track.detection is not None for track in self._tracks)
        new = [track for track in self._tracks if track.hits == 1 and track.detection is not None]
        gone, elsewhere = 0, list[float | None]()
        for track in self._tracks:
            is_lost = track.hits == 1 and track.detection is None and track.last_pts_s == before.pts_s
            if not is_lost or not self._fit.slack_mm / 4 < due_mm < self._seen_until_mm + track.spot.along.low:
                continue
            alike = [other for other in new if self._fit.alike(track.spot, other.spot)]
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
        return min(self._view.length_mm, max(self._view.along_mm(x, y) for x, y in region_px))

    def _end(self) -> tuple[list[TrackUpdate], list[TrackUpdate]]:
        """(live, ended) after this frame."""
        assert self._view is not None
        now, slack_mm = self._now, self._fit.slack_mm
        out_mm = self._view.length_mm + slack_mm
        stuck = [track for track in self._tracks if not track.static and track.is_stuck(now, slack_mm)]
        for track in stuck:
            track.static = True
        left = [track for track in self._tracks if not track.static and track.has_left(now, out_mm)]
        lost = [track for track in self._tracks if track not in left and track.is_lost(now, self._forget_after_s)]
        for track in left:
            if (vote := track.speed_vote(4 * slack_mm)) is not None:
                self._motion.vote(vote)
        self._tracks = [track for track in self._tracks if track not in left and track not in lost]
        live = [self._report(track, left=False) for track in self._tracks if not track.static]
        ended = [self._report(track, left=True) for track in left]
        ended += [self._report(track, left=False) for track in (*stuck, *lost) if track in stuck or not track.static]
        return live, ended

    def _report(self, track: BeltTrack, *, left: bool) -> TrackUpdate:
        assert self._view is not None
        speed_mm_s = self._belt.speed_mm_s * self._motion.speed_ratio
        seen = track.detection
        box_xyxy_px = seen.box_xyxy_px if seen else self._view.px_from_belt(track.placed, self._now.mm)
        left_px, top_px, right_px, bottom_px = box_xyxy_px
        centre_px = (left_px + right_px) / 2, (top_px + bottom_px) / 2
        return TrackUpdate(
            track=track.number,
            defect=track.ballot.winner,
            seen=seen is not None,
            left=left,
            score=track.score,
            box_xyxy_px=box_xyxy_px,
            velocity_px_s=self._view.velocity_px_s(speed_mm_s, centre_px),
            first_pts_s=track.first_pts_s,
            last_pts_s=track.last_pts_s,
            doubtful=track.doubtful,
            detection=seen,
        )
