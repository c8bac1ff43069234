"""What a connection has brought, for the message when no picture comes of it."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import av

_GAPS_KEPT = 5
SLOW_INTERVALS = 3
"""A source is silent after this many of its frame intervals, where that is longer than its read time-out."""
_RATE_UNKNOWN_S = 6.0
"""How long the second packet may take: three intervals of a camera that sends every two seconds. A rate that is
reported may be wrong."""
_LONGEST_SILENCE_S = 30.0


class Received:
    """Counts the packets of one connection; all times are of the monotonic clock."""

    def __init__(self, codec: str, fps: float | None) -> None:
        self.codec, self._fps = codec, fps
        self._began_s = time.monotonic()
        self.latest_s = self._began_s
        """When the source was last heard."""
        self._gaps_s: deque[float] = deque(maxlen=_GAPS_KEPT)
        self._packets = self._bytes = self._keys = 0

    def note(self, packet: av.Packet[Any]) -> None:
        """A packet has just arrived."""
        now_s = time.monotonic()
        if self._packets:
            self._gaps_s.append(now_s - self.latest_s)
        self.latest_s = now_s
        self._packets += 1
        self._bytes += packet.size
        self._keys += packet.is_keyframe

    def silence_s(self, read_timeout_s: float) -> float:
        """How long the source may be silent: its read time-out, or longer where it sends that seldom."""
        limit_s = read_timeout_s
        if self._fps:
            limit_s = max(limit_s, SLOW_INTERVALS / self._fps)
        if self._packets == 1:
            limit_s = max(limit_s, _RATE_UNKNOWN_S)
        if self._gaps_s:
            limit_s = max(limit_s, SLOW_INTERVALS * sorted(self._gaps_s)[len(self._gaps_s) // 2])
        return max(read_timeout_s, min(limit_s, _LONGEST_SILENCE_S))

    def __str__(self) -> str:
        """As in "25 packets of hevc received (12.5 per second, 3.1 kB each), none of them a key frame"."""
        if not self._packets:
            return "no packet received"
        count = f"{self._packets} packet{'s' * (self._packets > 1)} of {self.codec} received"
        details = [f"{self._bytes / self._packets / 1000:.1f} kB each"]
        passed_s = self.latest_s - self._began_s
        if self._packets > 1 and passed_s > 0:
            details.insert(0, f"{self._packets / passed_s:.3g} per second")
        keys = f"{self._keys} of them key frames" if self._keys else "none of them a key frame"
        return f"{count} ({', '.join(details)}), {keys}"

    @property
    def advice(self) -> str:
        """What to do about a source that sends packets and no picture."""
        if not self._packets:
            return "check that the camera's stream is switched on"
        if self.codec == "mjpeg":
            return "MJPEG over RTSP holds at most 2040x2040 px: set a smaller picture in the camera, or H.264"
        if not self._keys:
            return (
                "set the camera's key-frame (I-frame, GOP) interval to 1 s and switch off its periodic intra refresh "
                "(also called GDR or intra-refresh period)"
            )
        return "set transport: tcp, and a plain profile in the camera (H.264 or H.265 Main, no smart codec)"
