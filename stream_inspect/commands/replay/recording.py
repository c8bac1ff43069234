"""The recording as its camera would have delivered it: frame by frame, with the conditions that begin and end in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stream_inspect.capture.belt_sights import make_sights
from stream_inspect.capture.camera import Camera, CameraInfo, CapturedFrame, EndOfMediaError
from stream_inspect.capture.conditions import Change, ConditionWatch, StillWatch, watch_for
from stream_inspect.capture.memory_sink import FreshArrays
from stream_inspect.capture.reports import at_media_time, condition, frame_header
from stream_inspect.commands.replay.frames import Judged
from stream_inspect.config.models import CameraConfig, LineConfig
from stream_inspect.messages import BeltSight, Condition, FrameHeader, Inspection, Tracked
from stream_inspect.picture import Picture

_SESSION = 0
"""A replay is not a connection of the camera; those count from 1."""


@dataclass(slots=True)
class ReplayFrame:
    """A frame on its way through a replay, and what becomes known of it."""

    header: FrameHeader
    picture: Picture
    conditions: list[Condition]
    sight: BeltSight | None = None
    """Of the belt, where its parts are accounted for."""
    judged: Judged | None = None
    tracked: Tracked | None = None

    @property
    def inspection(self) -> Inspection | None:
        return self.judged.inspection if self.judged is not None else None

    @property
    def due(self) -> bool:
        return self.header.due is not None


class Recording:
    """Reads a camera with a finite source to its end. All times are media times."""

    def __init__(self, config: CameraConfig, camera: Camera, line: LineConfig | None = None) -> None:
        """`line` is how the parts of its line are found, where they are accounted for."""
        self._config = config
        self.line = line
        self._belt = make_sights(config, line)
        self._camera = camera
        self._watch: ConditionWatch | StillWatch | None = None
        self._latest: FrameHeader | None = None
        self.captured = 0
        """Frames read so far, the damaged ones included."""
        self.damaged = 0
        self.first_pts_s = self.last_pts_s = 0.0
        self._shortfall = ""

    @property
    def duration_s(self) -> float:
        """From the first frame to the last one read."""
        return self.last_pts_s - self.first_pts_s

    def open(self) -> CameraInfo:
        """Raises `CameraError`."""
        info = self._camera.open()
        self.captured = self.damaged = info.bad_frames
        return info

    def frames(self) -> Iterator[ReplayFrame]:
        """Every undamaged frame, in order, each picture in memory of its own. Raises `CameraError`."""
        sink = FreshArrays()
        while True:
            try:
                captured = self._camera.read(sink)
            except EndOfMediaError as end:
                self._shortfall = end.shortfall
                return
            self.captured += 1
            if captured is not None:
                yield self._seen(at_media_time(captured))
                continue
            self.damaged += 1
            if self._watch is not None:
                self._watch.damaged(self.last_pts_s)

    def finish(self) -> list[Condition]:
        """The conditions that end with the recording."""
        return self._reported(self._watch.finish()) if self._watch is not None else []

    def missing(self) -> list[str]:
        """What of the recording was not there to be judged, in sentences."""
        cut = [f"the recording is not whole: {self._shortfall}"] if self._shortfall else []
        damaged = f"{self.damaged} of {self.captured} frames are damaged and were not judged"
        return [*cut, damaged] if self.damaged else cut

    def close(self) -> None:
        self._camera.close()

    def _seen(self, frame: CapturedFrame) -> ReplayFrame:
        seq = self.captured - self.damaged - 1
        header = frame_header(frame, camera=self._config.name, session=_SESSION, seq=seq, ledger_index=seq)
        pts_s = self.last_pts_s = header.id.pts_s
        if self._watch is None:
            self.first_pts_s = pts_s
            self._watch = watch_for(self._config, expect_frames=False, now_s=pts_s)
        self._latest = header
        changes = self._watch.frame(frame.picture.luma, pts_s, key=frame.is_key, taken_as=frame.taken_as)
        changes += self._watch.tick(pts_s)
        sight = self._belt.see(header, frame.picture) if self._belt is not None else None
        return ReplayFrame(header, frame.picture, self._reported(changes), sight)

    def _reported(self, changes: list[Change]) -> list[Condition]:
        name = self._config.name
        return [condition(change, camera=name, frame=self._latest, utc_offset_ns=0) for change in changes]
