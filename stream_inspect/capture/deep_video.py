"""Video of 16 bits a value, gray or colour: cameras of fewer bits write theirs into the low ones (`bit_depth`)."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from stream_inspect.capture.bit_depth import BitDepth
from stream_inspect.capture.camera import CameraError
from stream_inspect.capture.video_stream import video_stream
from stream_inspect.file_names import ffmpeg_url

_DEEP = re.compile(r"(gray16|(rgb|bgr)48|(rgba|bgra)64|gbra?p16)[lb]e")


def is_deep(pixel_format: str | None) -> bool:
    """Whether a format has 16 bits a value and does not say how many of them hold the picture."""
    return pixel_format is not None and _DEEP.fullmatch(pixel_format) is not None


def has_deep_video(container: InputContainer) -> bool:
    """Whether a video stream of the container is deep; one without a decoder here is not."""
    return any(is_deep(getattr(stream.codec_context, "pix_fmt", None)) for stream in container.streams.video)


def values(frame: av.VideoFrame) -> NDArray[np.uint16]:
    """The values of a deep frame: (H, W) gray, or (H, W, 3) BGR, without what is transparent in it."""
    if not frame.format.name.startswith("gray"):
        frame = frame.reformat(format="bgr48le")
    return frame.to_ndarray().astype(np.uint16, copy=False)


def learn_recording(path: Path, depth: BitDepth) -> None:
    """Learn from all frames of a recording, as far as they can be read; it is opened once more for that."""
    with suppress(av.error.FFmpegError, OSError, CameraError), av.open(ffmpeg_url(path)) as container:
        for frame in container.decode(video_stream(container)):
            if is_deep(frame.format.name):
                depth.learn(values(frame))
