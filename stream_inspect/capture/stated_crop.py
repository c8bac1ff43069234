"""The crop that a container states (MP4's `clap`, Matroska's `PixelCrop`), which no decoder applies."""

from __future__ import annotations

import re
import threading
from typing import Any, NamedTuple

import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

_STREAM = re.compile(r"Stream #0:(\d+)")
_CROP = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)")
_LOG_LEVEL = threading.Lock()


class Crop(NamedTuple):
    """How many columns and rows of the stored picture are not to be shown."""

    left_px: int = 0
    right_px: int = 0
    top_px: int = 0
    bottom_px: int = 0


NO_CROP = Crop()


def stated_crop(container: InputContainer, stream: VideoStream) -> Crop:
    """What the container states for this stream.

    PyAV hands it over nowhere but in FFmpeg's description of the file, which is a log message: the level of its log is
    raised for as long as that takes.
    """
    dumped: Any = container  # PyAV's type stubs do not know of `dumps_format`
    with _LOG_LEVEL:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            description = dumped.dumps_format()
        finally:
            av.logging.set_level(level)
    _, *parts = _STREAM.split(description)
    of_streams = dict(zip(map(int, parts[0::2]), parts[1::2], strict=True))
    found = _CROP.search(of_streams.get(stream.index, ""))
    return Crop(*map(int, found.groups())) if found else NO_CROP
