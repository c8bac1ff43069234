"""Encodes pictures of one size as H.264: one packet for each picture, at the picture's own time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.frame import PictureType, VideoFrame

from stream_inspect.picture import Picture

_MAX_TICKS_PER_S = 1_000_000
_NICE_TIME_BASE = Fraction(1, 90_000)
_BT601, _LIMITED, _SMPTE170M = 5, 1, 6


@dataclass(frozen=True, slots=True)
class Packet:
    """One encoded picture: Annex B bytes. A key packet begins with its parameter sets, so that a clip can start there.

    `pts` is in units of the encoder's `time_base`.
    """

    pts: int
    key: bool
    data: bytes


def clip_time_base(num: int, den: int) -> Fraction:
    """The camera's time base where MP4 and H.264 can carry it, else 1/90000 s."""
    time_base = Fraction(num, den)
    return time_base if time_base.denominator <= _MAX_TICKS_PER_S else _NICE_TIME_BASE


class Encoder:
    """x264 without delay: each picture comes out as a packet at once.

    The bit rate is capped, because the packets of a clip stay in memory until it is complete.
    """

    def __init__(self, width_px: int, height_px: int, time_base: Fraction, fps: float) -> None:
        self.width_px, self.height_px, self.time_base = width_px, height_px, time_base
        max_kbit_s = max(1000, width_px * height_px * 8 // 1000)  # 7.4 Mbit/s at 1280x720
        codec = av.VideoCodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = width_px, height_px, "yuv420p"
        codec.time_base = time_base
        codec.framerate = Fraction(max(1, round(fps)))
        codec.colorspace, codec.color_range = _BT601, _LIMITED
        codec.color_primaries, codec.color_trc = _SMPTE170M, _SMPTE170M
        codec.thread_count = 1
        codec.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "crf": "23",
            "maxrate": f"{max_kbit_s}k",
            "bufsize": f"{max_kbit_s}k",
            "forced-idr": "1",
            "g": "100000",  # key pictures only where `encode` is called with key=True
            "x264-params": "scenecut=0",
        }
        self._codec = codec

    def encode(self, picture: Picture, pts: int, key: bool) -> Packet:
        """Encode a limited-range BT.601 picture of the encoder's size. `pts` increases from call to call."""
        frame = VideoFrame.from_ndarray(picture.i420, format="yuv420p")
        frame.pts, frame.time_base = pts, self.time_base
        frame.pict_type = PictureType.I if key else PictureType.NONE
        (packet,) = self._codec.encode(frame)
        return Packet(pts, packet.is_keyframe, bytes(packet))
