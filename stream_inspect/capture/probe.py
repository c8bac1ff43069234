"""What a camera says of itself and what it really sends: for `stream-inspect check`."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from stream_inspect.capture.camera import CameraInfo, EndOfMediaError, make_camera
from stream_inspect.config.models import Camera as CameraConfig
from stream_inspect.picture import UInt8Array, i420_shape

_KEYS_NEEDED = 3


class _Scratch:
    """A sink for pictures that nobody will look at."""

    def __init__(self) -> None:
        self._slot = np.empty((0, 0), np.uint8)

    def slot(self, width_px: int, height_px: int) -> UInt8Array:
        shape = i420_shape(width_px, height_px)
        if self._slot.shape != shape:
            self._slot = np.empty(shape, np.uint8)
        return self._slot


def probe(config: CameraConfig, seconds: float = 3.0) -> CameraInfo:
    """Open the camera and read it for at most `seconds`: size, clock and the time between key frames as they came.

    `gop_s` is None where every frame is a key frame, and where not even two key frames came. Raises `CameraError`.
    """
    camera = make_camera(config)
    try:
        info = camera.open()
        sink = _Scratch()
        keys_s: list[float] = []
        frames = 0
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s and len(keys_s) < _KEYS_NEEDED:
            try:
                frame = camera.read(sink)
            except EndOfMediaError:
                break
            if frame is None:
                continue
            frames += 1
            if frame.is_key:
                keys_s.append(float(frame.pts * frame.time_base))
            picture = frame.picture
            info = dataclasses.replace(info, width_px=picture.width_px, height_px=picture.height_px, clock=frame.clock)
        gaps_s = np.diff(keys_s)
        if len(gaps_s) and frames > len(keys_s):
            info = dataclasses.replace(info, gop_s=float(gaps_s.max()))
        return info
    finally:
        camera.close()
