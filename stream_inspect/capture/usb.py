"""USB and other V4L2 cameras, through FFmpeg."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import av
import av.error

from stream_inspect.capture.av_reader import AvReader, error_text
from stream_inspect.capture.bit_depth import BitDepth
from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, FrameSink
from stream_inspect.config.models import CameraConfig, UsbSource
from stream_inspect.messages import Clock

_OPEN_TIMEOUT_S = 2.5
_READ_TIMEOUT_S = 2.0


class UsbCamera:
    """One V4L2 device."""

    def __init__(self, config: CameraConfig) -> None:
        assert isinstance(config.source, UsbSource)
        self._source = config.source
        self._bit_depth = config.bit_depth
        self._reader: AvReader | None = None

    def open(self) -> CameraInfo:
        source = self._source
        _check_device(source.device)
        options = {}
        if source.width_px and source.height_px:
            options["video_size"] = f"{source.width_px}x{source.height_px}"
        if source.fps:
            options["framerate"] = f"{source.fps:g}"
        if source.input_format:
            options["input_format"] = source.input_format
        try:
            container = av.open(
                source.device, format="v4l2", options=options, timeout=(_OPEN_TIMEOUT_S, _READ_TIMEOUT_S)
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise CameraError(
                f"{source.device}: {error_text(error)}; `v4l2-ctl -d {source.device} --list-formats-ext` lists its "
                "sizes, rates and formats"
            ) from None
        try:
            self._reader = AvReader(container, silent_limit_s=_READ_TIMEOUT_S, depth=BitDepth(self._bit_depth))
            return self._reader.open(Clock.ARRIVAL)
        except CameraError as error:
            self.close()
            raise error.at(source.device) from None

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        if self._reader is None:
            raise CameraError("the device is not open")
        try:
            return self._reader.read(sink)
        except CameraError as error:
            raise error.at(self._source.device) from None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _check_device(device: str) -> None:
    """Raises `CameraError` with a plain reason where FFmpeg would only give an error number."""
    try:
        status = os.stat(device)
    except FileNotFoundError:
        present = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise CameraError(f"no such device {device}: is the camera plugged in? Devices found: {present}") from None
    except OSError as error:
        raise CameraError(f"{device}: {error.strerror}") from None
    if not stat.S_ISCHR(status.st_mode):
        raise CameraError(f"{device} is not a device file")
    if not os.access(device, os.R_OK | os.W_OK):
        raise CameraError(f"permission denied for {device}: add the user to the group that owns it (often `video`)")
