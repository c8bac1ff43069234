"""The decoder of a stream: strict about pictures, as lenient as FFmpeg's tools about everything else.

How FFmpeg reports a damaged picture differs from codec to codec:

- H.264: its error concealment marks each picture of which macroblocks are missing. It works in one thread only.
- H.265: only `err_detect=explode` keeps it from returning broken pictures as if they were intact. That also rejects
  whole pictures for a broken unit of side information, so those are taken out first (`side_units.py`).
- all others (MJPEG, MPEG-4, ...): the same option, nothing taken out.
"""

from __future__ import annotations

from typing import Any, cast

import av
import av.error
from av.codec.context import Flags
from av.video.stream import VideoStream

from stream_inspect.capture.nal_units import NalFormat
from stream_inspect.capture.side_units import SideUnits

_THREADS = 1
"""With two slice threads FFmpeg switches the error concealment of H.264 off and loses errors of H.265's rows: of 80
H.264 pictures with one of four slices damaged 54 passed as whole. One core decodes 1080p in 2 to 3 ms."""
_STRICT = {"err_detect": "explode"}
_DELIMITER = b"\x46\x01\x50"
_TRIAL, _TRIAL_WITHOUT_KEY = 10, 32
"""A stream is believed when so many packets, its first from a key frame on, all fail under strict decoding and all
decode without it: with a second key frame among them, because a beginning may be damaged, or after that many."""


class _Sent:
    """Goes with a packet into the decoder and comes out with its frame."""

    __slots__ = ("failed",)

    def __init__(self) -> None:
        self.failed = False


class PictureDecoder:
    """Decodes the packets of one video stream.

    A stream of which every picture fails under strict decoding, and none without it, is believed: then `believed` is
    set, and damaged pictures are not noticed, until a key frame is whole under strict decoding too. Only `reliable`
    transport allows that: elsewhere every picture may be damaged.
    """

    def __init__(self, stream: VideoStream, *, reliable: bool) -> None:
        context = self._context = stream.codec_context
        codec = self._codec = context.codec.name
        self.nal = NalFormat.of(codec, context.extradata)
        self._extradata = context.extradata
        self._side_units: SideUnits | None = None
        self._failed: list[av.Packet[Any]] | None = [] if reliable and codec != "h264" else None
        self._late: list[av.VideoFrame] = []
        self.believed = False
        self.recovered = 0
        """Packets that were reported as failed and whose pictures were given out when the stream was believed."""
        context.thread_count = _THREADS
        if codec == "h264":
            return
        context.options = dict(_STRICT)
        context.flags |= Flags.copy_opaque
        if self._opens(context) and self.nal is not None:
            self._side_units = SideUnits(self.nal, self._another(strict=True))

    def decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        """The frames that are ready with this packet; an empty packet flushes them all.

        Raises `av.error.FFmpegError` for a packet whose picture is damaged, `av.error.EOFError` once flushed.
        """
        if self.believed:
            return self._believing(packet)
        if not packet.size and len(self._failed or []) >= _TRIAL and (believed := self._tried()):
            self.recovered += 1
            return believed + self._context.decode(packet)  # a recording that ends before the trial does
        sent = _Sent()
        try:
            readable = self._readable(packet)
            readable.opaque = sent
            frames = self._whole(self._context.decode(readable))
        except av.error.EOFError:
            raise
        except av.error.FFmpegError:
            sent.failed = True
            if believed := self._without_strictness(packet):
                return believed
            self._late += self._drained()
            raise
        frames, self._late = self._late + frames, []
        if frames:
            self._failed = None
        return frames

    def _believing(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        """Without strictness, unless this is a key frame that is whole under strict decoding."""
        if not packet.is_keyframe or not packet.size:
            return self._context.decode(packet)
        strict = self._another(strict=True)
        try:
            frames = strict.decode(self._readable(packet))
        except av.error.FFmpegError:
            return self._context.decode(packet)
        rest = self._context.decode(None)
        self._context, self.believed = strict, False
        return rest + frames

    def _readable(self, packet: av.Packet[Any]) -> av.Packet[Any]:
        return packet if self._side_units is None else self._side_units.readable(packet)

    def _whole(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        """The decoder of H.265 gives out the picture of a packet that failed too, later and as if it were whole."""
        return [frame for frame in frames if not (isinstance(frame.opaque, _Sent) and frame.opaque.failed)]

    def _drained(self) -> list[av.VideoFrame]:
        """What an H.265 decoder still holds after a failure.

        It would come with the next packet, and PyAV then passes over an error of that one. A unit without a picture,
        the access unit delimiter, brings it.
        """
        if self.nal is None:
            return []
        prefix = len(_DELIMITER).to_bytes(self.nal.length_bytes, "big") if self.nal.length_bytes else b"\0\0\0\1"
        try:
            return self._whole(self._context.decode(av.Packet(prefix + _DELIMITER)))
        except av.error.FFmpegError:
            return []

    def _opens(self, context: av.VideoCodecContext) -> bool:
        """Open the strict decoder; extradata that it rejects is left out, or, where it is needed, strictness is."""
        try:
            context.open(strict=False)
        except av.error.FFmpegError:
            if self.nal is not None and not self.nal.length_bytes:
                self._extradata = context.extradata = None
                context.open(strict=False)
                return True
            context.options = {}
            self.believed, self._failed = True, None
            return False
        return True

    def _another(self, *, strict: bool) -> av.VideoCodecContext:
        """A second decoder of the same stream."""
        context = cast(av.VideoCodecContext, av.CodecContext.create(self._codec, "r"))
        context.options = dict(_STRICT) if strict else {}
        context.extradata = self._extradata
        context.thread_count = _THREADS
        context.flags |= Flags.copy_opaque
        return context

    def _without_strictness(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        """The pictures of all packets so far, if the stream has just been believed."""
        if self._failed is None or not (self._failed or packet.is_keyframe):
            return []
        self._failed.append(packet)
        keys = sum(each.is_keyframe for each in self._failed)
        if len(self._failed) < (_TRIAL if keys > 1 else _TRIAL_WITHOUT_KEY):
            return []
        return self._tried()

    def _tried(self) -> list[av.VideoFrame]:
        """The pictures of the packets that failed, if all of them decode without strictness."""
        failed, self._failed = self._failed or [], []
        context, frames = self._another(strict=False), []
        try:
            for each in failed:
                frames += context.decode(each)
        except av.error.FFmpegError:
            return []
        if len(frames) < len(failed) // 2 or any(frame.is_corrupt for frame in frames):
            return []
        self._context, self._failed, self.believed = context, None, True
        self._late = []
        self.recovered = len(failed) - 1  # the last one is being decoded
        return frames
