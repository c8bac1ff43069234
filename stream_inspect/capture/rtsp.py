"""RTSP cameras: H.264, H.265 and MJPEG, over TCP or UDP, with Basic or Digest authentication, through FFmpeg."""

from __future__ import annotations

import time
from dataclasses import replace
from urllib.parse import quote, urlsplit, urlunsplit

import av
import av.error
from av.container import InputContainer

from stream_inspect.capture.av_reader import LONGEST_FIRST_FRAME_S, AvReader, error_text
from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, FrameSink, NoPictureError
from stream_inspect.capture.received import SLOW_INTERVALS
from stream_inspect.capture.video_stream import sizes_known
from stream_inspect.config.models import CameraConfig, RtspSource
from stream_inspect.messages import Clock

_QUICK_START = {"probesize": "4096", "analyzeduration": "0", "fpsprobesize": "0"}
"""First frame after 0.1 to 0.2 s instead of 1.2 s (a slow stream, 640x360): FFmpeg would otherwise gather 32 KB and 20
frames to guess what the session description already states."""
_PROBING_S = 5.0
_FULL_START = {"analyzeduration": f"{_PROBING_S * 1e6:.0f}", "fpsprobesize": "0"}
"""For a session with several video streams, to choose between them by their sizes, which descriptions do not state:
until each has sent a key frame."""
_CONNECTIONS = 3
"""Within one opening: a camera that does not report its rate shows with each that it is slower than was assumed."""
LONGEST_OPENING_S = LONGEST_FIRST_FRAME_S + 30.0
"""The waits of a very slow camera: for the next packet, three times, and for the first key frame."""
_REORDER_WAIT_US = "100000"
"""How long to wait for reordered UDP packets; FFmpeg's default of 0.5 s only adds latency on a LAN."""


class RtspCamera:
    """One RTSP stream.

    Both time-outs use FFmpeg's interrupt callback, which ends each of its blocking calls: a server that accepts a
    connection and sends nothing, or stops in the middle, cannot block the read loop. The end of the stream, which
    FFmpeg reports without an error when the server dies, is a failure here.
    """

    def __init__(self, config: CameraConfig) -> None:
        assert isinstance(config.source, RtspSource)
        self._source = config.source
        self._reader: AvReader | None = None
        self._patience_s = self._source.read_timeout_s
        """How long the next connection may be silent: longer than configured for a slow camera."""

    def open(self) -> CameraInfo:
        try:
            return self._opened()
        except CameraError as error:
            self.close()
            self._patience_s = self._source.read_timeout_s
            raise error.at(self._where()) from None

    def _opened(self) -> CameraInfo:
        """Connect, with more patience where the camera turns out to be slow.

        FFmpeg's time-out stays as it was when the connection was made, so each time it is a new connection.
        """
        for attempt in range(_CONNECTIONS):
            self._reader = reader = self._connected(self._patience_s)
            if reader.needed_silence_s <= self._patience_s:
                try:
                    return self._at_its_rate(reader.open(Clock.ARRIVAL))
                except NoPictureError:
                    if reader.needed_silence_s <= self._patience_s or attempt == _CONNECTIONS - 1:
                        raise
            self.close()
            self._patience_s = reader.needed_silence_s
        raise NoPictureError(f"sends less than a picture in {self._patience_s:g} s")

    def _at_its_rate(self, info: CameraInfo) -> CameraInfo:
        """Some slow cameras report a usual rate, or none: what is known is that they need this much patience."""
        if self._patience_s <= self._source.read_timeout_s:
            return info
        slowest = SLOW_INTERVALS / self._patience_s
        return replace(info, fps=min(info.fps or slowest, slowest))

    def _connected(self, read_timeout_s: float) -> AvReader:
        open_timeout_s = self._source.open_timeout_s
        container = self._container(_QUICK_START, open_timeout_s, read_timeout_s)
        if not sizes_known(container):
            container.close()
            container = self._container(_FULL_START, open_timeout_s + _PROBING_S, read_timeout_s)
        return AvReader(
            container,
            silent_limit_s=read_timeout_s,
            loses_frames=self._source.transport == "udp",
            secrets=self._secrets(),
        )

    def _container(self, probing: dict[str, str], open_timeout_s: float, read_timeout_s: float) -> InputContainer:
        source = self._source
        began_s = time.monotonic()
        try:
            return av.open(
                _with_credentials(source),
                options={**probing, "rtsp_transport": source.transport, "max_delay": _REORDER_WAIT_US},
                timeout=(open_timeout_s, read_timeout_s),
            )
        except (av.error.FFmpegError, OSError) as error:
            # FFmpeg may report the interrupted call as anything, even as invalid data.
            timed_out = time.monotonic() - began_s >= open_timeout_s
            reason = error_text(error, self._secrets())
            if timed_out:
                reason = f"no answer within {open_timeout_s:g} s"
            raise CameraError(reason) from None

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        if self._reader is None:
            raise CameraError("the stream is not open")
        try:
            return self._reader.read(sink)
        except CameraError as error:
            self._patience_s = self._reader.needed_silence_s
            raise error.at(self._where()) from None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _secrets(self) -> list[str]:
        password = self._source.password
        return [password.get_secret_value()] if password else []

    def _where(self) -> str:
        return urlsplit(self._source.url).netloc.rpartition("@")[2]


def _with_credentials(source: RtspSource) -> str:
    """The URL with user name and password in it: FFmpeg's RTSP client takes them no other way."""
    if source.login is None:
        return source.url
    parts = urlsplit(source.url)
    login = ":".join(quote(text or "", safe="") for text in source.login)
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))
