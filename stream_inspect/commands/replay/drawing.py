"""Frames wait for the next judged one, and are drawn between it and the one before."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from itertools import islice
from pathlib import Path

from stream_inspect.commands.replay.recording import ReplayFrame
from stream_inspect.commands.replay.video import AnnotatedVideo
from stream_inspect.config.models import Config
from stream_inspect.draw.annotate import marks_at, severities
from stream_inspect.messages import Tracked
from stream_inspect.rotation import file_metadata


class Drawing:
    """Every frame of the configuration's one camera with its marks, into a video. `fps` is the source's, if known."""

    def __init__(self, path: Path, config: Config, fps: float | None) -> None:
        self._path = path
        self._severity = severities(config.defects)
        self._fps = fps
        self._height_px = config.recorder.height_px
        self._metadata = file_metadata(config.cameras[0].rotate_deg)
        self._video: AnnotatedVideo | None = None
        self._waiting: deque[ReplayFrame] = deque()
        self._before: Tracked | None = None

    @property
    def held_bytes(self) -> int:
        """Size of the pictures that wait here."""
        return sum(frame.picture.i420.nbytes for frame in self._waiting)

    def put(self, frame: ReplayFrame) -> None:
        """The next frame of the recording."""
        self._waiting.append(frame)

    def draw(self, *, everything: bool = False) -> None:
        """Write the frames before the last judged one; with `everything` all, boxes of the last ones being guessed."""
        while self._waiting:
            later = (frame.tracked for frame in islice(self._waiting, 1, None) if frame.tracked is not None)
            after = next(later, None)
            if after is None and not everything:
                return
            self._write(self._waiting.popleft(), after)

    def close(self) -> None:
        """Finish the video."""
        if self._video is not None:
            self._video.close()

    def _write(self, frame: ReplayFrame, after: Tracked | None) -> None:
        self._before = frame.tracked or self._before
        identity = frame.header.id
        if self._video is None:
            time_base = Fraction(identity.time_base_num, identity.time_base_den)
            self._video = AnnotatedVideo(
                self._path, frame.picture, time_base, self._fps, self._height_px, self._metadata
            )
        self._video.add(frame.picture, identity.pts, marks_at(identity.pts_s, self._before, after, self._severity))
