"""RTSP cameras: H.264, H.265 and MJPEG, over TCP or UDP, with Basic or Digest authentication, through FFmpeg."""

from __future__ import annotations

import time
from urllib.parse import quote, urlsplit, urlunsplit

import av
import av.error

from stream_inspect.capture.av_reader import AvReader, error_text
from stream_inspect.capture.camera import CameraError, CameraInfo, CapturedFrame, FrameSink, NoPictureError
from stream_inspect.config.models import CameraConfig, RtspSource
from stream_inspect.messages import Clock

_QUICK_START = {"probesize": "4096", "analyzeduration": "0", "fpsprobesize": "0"}
"""First frame after 0.1 to 0.2 s instead of 1.2 s (a slow stream, 640x360): FFmpeg would otherwise gather 32 KB and 20
frames to guess what the session description already states."""
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

    def open(self) -> CameraInfo:
        try:
            silence_s = self._source.read_timeout_s
            self._reader = reader = self._connected(silence_s)
            if reader.needed_silence_s > silence_s:
                silence_s = reader.needed_silence_s
                reader = self._connected_for(silence_s)
            try:
                return reader.open(Clock.ARRIVAL)
            except NoPictureError:
                if reader.needed_silence_s <= silence_s:
                    raise
            return self._connected_for(reader.needed_silence_s).open(Clock.ARRIVAL)
        except CameraError as error:
            self.close()
            raise error.at(self._where()) from None

    def _connected_for(self, silence_s: float) -> AvReader:
        """Connect again, to a camera so slow that it may be silent for this long: FFmpeg's time-out stays as it was
        when the connection was made.
        """
        self.close()
        self._reader = self._connected(silence_s)
        return self._reader

    def _connected(self, read_timeout_s: float) -> AvReader:
        source = self._source
        secrets = self._secrets()
        began_s = time.monotonic()
        try:
            container = av.open(
                _with_credentials(source),
                options={
                    **_QUICK_START,
                    "rtsp_transport": source.transport,
                    "max_delay": _REORDER_WAIT_US,
                },
                timeout=(source.open_timeout_s, read_timeout_s),
            )
        except (av.error.FFmpegError, OSError) as error:
            # FFmpeg may report the interrupted call as anything, even as invalid data.
            timed_out = time.monotonic() - began_s >= source.open_timeout_s
            reason = f"no answer within {source.open_timeout_s:g} s" if timed_out else error_text(error, secrets)
            raise CameraError(reason) from None
        return AvReader(
            container,
            silent_limit_s=read_timeout_s,
            loses_frames=source.transport == "udp",
            secrets=secrets,
        )

    def read(self, sink: FrameSink) -> CapturedFrame | None:
        if self._reader is None:
            raise CameraError("the stream is not open")
        try:
            return self._reader.read(sink)
        except CameraError as error:
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
    if source.username is None:
        return source.url
    parts = urlsplit(source.url)
    password = source.password.get_secret_value() if source.password else ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(source.username, safe='')}:{quote(password, safe='')}@{host}"))
