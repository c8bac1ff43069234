"""USB and other V4L2 cameras, through FFmpeg."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import av
import av.error

from stream_inspect.capture.av_reader import AvReader, say
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
                f"{source.device}: {say(error)}; `v4l2-ctl -d {source.device} --list-formats-ext` lists the sizes, "
                "rates and formats it can do"
            ) from None
        try:
            self._reader = AvReader(container, silent_limit_s=_READ_TIMEOUT_S)
            return self._reader.open(Clock.ARRIVAL)
        except CameraError as error:
            self.close()
            raise CameraError(f"{source.device}: {error}") from None

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        if self._reader is None:
            raise CameraError("the device is not open")
        try:
            return self._reader.read(sink)
        except CameraError as error:
            raise CameraError(f"{self._source.device}: {error}") from None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _check_device(device: str) -> None:
    """Say plainly what FFmpeg would only give a number for. Raises `CameraError`."""
    try:
        status = os.stat(device)
    except FileNotFoundError:
        present = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise CameraError(f"there is no device {device}: is the camera plugged in? Present: {present}") from None
    except OSError as error:
        raise CameraError(f"{device}: {error.strerror}") from None
    if not stat.S_ISCHR(status.st_mode):
        raise CameraError(f"{device} is no device file")
    if not os.access(device, os.R_OK | os.W_OK):
        raise CameraError(f"no permission to use {device}: add the user to the group that owns it (often `video`)")
