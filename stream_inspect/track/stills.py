"""Pictures that stand alone are not tracked: each detection is a track of its own, which ends with its picture."""

from __future__ import annotations

import msgspec

from stream_inspect.messages import Detection, Inspection, Tracked, TrackUpdate
from stream_inspect.track.reorder import Reorder
from stream_inspect.transport.ledger import CameraLedger


class StillTracks:
    """The tracks of one camera that sends pictures. Nothing is carried over from one picture to the next."""

    busy = False

    def __init__(self, first: int, ledger: CameraLedger | None) -> None:
        """`first` is added to the number of each track, which count from 1."""
        self._last = first
        self.ledger = ledger
        self.reorder = Reorder(ledger.any_in_flight) if ledger else Reorder()

    def arrived(self, now_ns: int) -> None:
        """A judged picture has arrived."""

    def is_silent(self, now_ns: int) -> bool:
        return False

    def follow(self, inspection: Inspection) -> Tracked:
        """The picture with its detections as tracks, all of which end in it."""
        tracks = [self._track(inspection.frame.id.pts_s, found) for found in inspection.detections]
        return Tracked(
            frame=inspection.frame,
            tracks=tracks,
            ended=[msgspec.structs.replace(track, seen=False, left=True, detection=None) for track in tracks],
            model_hash=inspection.model_hash,
            prompts_hash=inspection.prompts_hash,
        )

    def end(self) -> Tracked | None:
        """Nothing is ever left open."""
        return None

    def _track(self, pts_s: float, found: Detection) -> TrackUpdate:
        self._last += 1
        return TrackUpdate(
            track=self._last,
            defect=found.defect,
            seen=True,
            left=False,
            score=found.score,
            box_xyxy_px=found.box_xyxy_px,
            velocity_px_s=(0.0, 0.0),
            first_pts_s=pts_s,
            last_pts_s=pts_s,
            detection=found,
        )
