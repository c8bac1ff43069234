"""A video file as a camera."""

from __future__ import annotations

from dataclasses import replace

import av
import av.error

from stream_inspect.capture.av_reader import AvReader, Decoded, error_text
from stream_inspect.capture.bit_depth import BitDepth
from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, EndOfMediaError, FrameSink
from stream_inspect.capture.cut_files import cut_off
from stream_inspect.capture.deep_video import has_deep_video, learn_recording
from stream_inspect.capture.pace import Pacer
from stream_inspect.capture.pictures import is_picture
from stream_inspect.capture.sender_clock import Arrival, arrived_now
from stream_inspect.capture.unreadable import why_unreadable
from stream_inspect.config.models import CameraConfig, FileSource
from stream_inspect.file_names import ffmpeg_url, printable
from stream_inspect.messages import Clock
from stream_inspect.rotation import rotation_of_file


class FileCamera:
    """A video file. With `pace: fast` frames come as fast as they are taken.

    Its pictures are turned upright as its display matrix says, and those of our own clips, which are judged pictures,
    are turned back by as much as they were turned: both give the sensor picture.
    """

    def __init__(self, config: CameraConfig) -> None:
        assert isinstance(config.source, FileSource)
        self._source = config.source
        self._depth = BitDepth(config.bit_depth)
        self._reader: AvReader | None = None
        self._pacer: Pacer | None = None
        self._cut_off = ""

    def open(self) -> CameraInfo:
        path, name = self._source.path, printable(self._source.path)
        if path.is_dir():
            raise CameraError(f"{name} is a folder, not a video file: for a folder of pictures write kind: images")
        if not path.is_file():
            raise CameraError(f"no such file: {name}")
        if is_picture(path):
            raise CameraError(f"{name} is a picture, not a video: write kind: images with its folder")
        try:
            container = av.open(ffmpeg_url(path))
        except (av.error.FFmpegError, OSError) as error:
            reason = why_unreadable(path) or error_text(error)
            raise CameraError(f"{name} cannot be opened as a video: {reason}") from None
        self._cut_off = cut_off(path)
        try:
            if not self._depth.is_known and has_deep_video(container):
                learn_recording(path, self._depth)
            self._reader = AvReader(container, made_with_deg=rotation_of_file(container.metadata), depth=self._depth)
            info = self._reader.open(Clock.ARRIVAL)
        except EndOfMediaError as end:
            self.close()
            reason = _joined(str(end), why_unreadable(path) or "")
            text = f"{name} contains no picture that can be decoded ({reason})"
            raise CameraError(text, bad_frames=end.bad_frames) from None
        except CameraError as error:
            self.close()
            text = _joined(f"{name}: {error}", why_unreadable(path) or "")
            raise CameraError(text, bad_frames=error.bad_frames) from None
        self._pacer = Pacer() if self._source.pace == "real_time" else None
        return replace(info, shortfall=self._cut_off)

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        if self._reader is None:
            raise CameraError("the file is not open")
        try:
            return self._reader.read(sink, self._wait)
        except EndOfMediaError as end:
            raise EndOfMediaError(str(end), shortfall=_joined(end.shortfall, self._cut_off)) from None
        except CameraError as error:
            raise error.at(printable(self._source.path)) from None

    def _wait(self, decoded: Decoded) -> Arrival:
        if self._pacer is not None and self._reader is not None:
            self._pacer.wait(float(decoded.pts * self._reader.time_base))
        return arrived_now()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)
