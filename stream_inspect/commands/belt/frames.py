"""A few seconds of a camera's or a clip's frames, evenly spaced in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import Camera, EndOfMediaError
from stream_inspect.capture.memory_sink import FreshArrays
from stream_inspect.config.models import CameraConfig, FileSource
from stream_inspect.errors import StreamInspectError, UsageError
from stream_inspect.picture import Picture

_MOST_BYTES = 400_000_000
"""Of pictures in memory: 12 s of 720p at 25 fps, 5 s of 1080p, 1.3 s of 4K."""
_FEWEST = 12
"""Frames by which a motion is measured."""
_GAP = 1.5
"""Two frames so many times the usual interval apart have lost one between them."""


class BeltError(StreamInspectError):
    """The belt cannot be measured; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Consecutive frames of one size. Times are media times."""

    pictures: list[Picture]
    pts_s: list[float]

    @property
    def seconds(self) -> float:
        return self.pts_s[-1] - self.pts_s[0]


def read_frames(camera: CameraConfig, clip: Path | None, seconds: float, show: Callable[[str], None]) -> Frames:
    """The longest run without a gap in so many seconds. Raises `BeltError`, and `CameraError` as the camera does."""
    if clip is not None:
        if not clip.is_file():
            raise UsageError(f"--clip {clip} is not a file")
        camera = camera.model_copy(update={"source": FileSource(kind="file", path=clip)})
    if camera.stills:
        raise UsageError(f"camera {camera.name} shows pictures that stand alone: give a film of the belt as --clip")
    if hasattr(camera.source, "pace"):
        camera = camera.model_copy(update={"source": camera.source.model_copy(update={"pace": "fast"})})
    source = make_camera(camera)
    try:
        source.open()
        longest = _longest_run(source, seconds, show)
    finally:
        source.close()
    if len(longest.pictures) < _FEWEST:
        raise BeltError(
            f"{clip or f'camera {camera.name}'} gave {len(longest.pictures)} frames without a gap, and at least "
            f"{_FEWEST} are needed: film the running belt for a few seconds"
        )
    return longest


def _longest_run(source: Camera, seconds: float, show: Callable[[str], None]) -> Frames:
    runs, sink, first_s, size = [Frames([], [])], FreshArrays(), None, 0
    try:
        while size < _MOST_BYTES:
            frame = source.read(sink)
            run = runs[-1]
            if frame is None:
                runs.append(Frames([], []))
                continue
            pts_s = float(frame.pts * frame.time_base)
            first_s = pts_s if first_s is None else first_s
            if pts_s - first_s > seconds:
                break
            if _breaks(run, frame.picture, pts_s):
                runs.append(run := Frames([], []))
            run.pictures.append(frame.picture)
            run.pts_s.append(pts_s)
            size += frame.picture.i420.nbytes
            show(f"{pts_s - first_s:.1f} s of {seconds:g} s read …")
    except EndOfMediaError:
        pass
    return max(runs, key=lambda run: len(run.pictures))


def _breaks(run: Frames, picture: Picture, pts_s: float) -> bool:
    """Whether the frame does not follow the run's last one."""
    if not run.pictures:
        return False
    if picture.i420.shape != run.pictures[-1].i420.shape:
        return True
    passed_s = pts_s - run.pts_s[-1]
    usual_s = run.seconds / (len(run.pts_s) - 1) if len(run.pts_s) > 1 else passed_s
    return not 0 < passed_s <= _GAP * usual_s
