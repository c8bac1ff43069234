"""Where a recording ends by its container's word, and whether as much came: one that was cut or damaged ends sooner.

A container's word is only a claim. MP4 adds up the durations of its samples, edit lists applied; AVI counts frames, the
empty ones of a variable rate too; Matroska and FLV say when the last frame of a stream or of all streams ends, from
zero or from their first frame. MPEG-TS, MPEG-PS, ASF and raw streams say nothing that could be held against them.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

_MICROSECOND = Fraction(1, 1_000_000)
_TOLERANCE_S = Fraction(1)
"""Containers round, and differ in whether their last frame's duration counts. What is cut off by less shows in the
file's bytes (`cut_files.py`)."""
_LONGEST_STEPS = 2
"""Where frames are far apart, the last one's duration is a guess."""
_MOST_FRAMES = 1 << 30
"""What FFmpeg writes into an AVI whose length it cannot know, because it writes into a pipe."""


class StatedEnd:
    """Compares the packets of a container with its word. `note` each of every stream, then ask for `shortfall`."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self._format = container_kind(container)
        self._packets = 0
        self._begin_s = self._end_s = self._other_end_s = Fraction(0)
        self._longest_step_s = Fraction(0)

    def note(self, packet: av.Packet[Any]) -> None:
        """A packet with data was read."""
        ticks = packet.dts if packet.pts is None else packet.pts
        if ticks is None or not packet.time_base:
            return
        end_s = Fraction((ticks + (packet.duration or 0)) * packet.time_base)
        if packet.stream is not self._stream:
            self._other_end_s = max(self._other_end_s, end_s)
            return
        if not self._packets:
            first = ticks if packet.dts is None else min(ticks, packet.dts)
            self._begin_s = first * packet.time_base
        elif end_s > self._end_s:
            self._longest_step_s = max(self._longest_step_s, end_s - self._end_s)
        self._end_s = max(self._end_s, end_s)
        self._packets += 1

    def shortfall(self) -> str:
        """As in "it ends after 31 of 75 frames (1.2 of 3 s)"; empty where nothing is missing, or nothing is claimed."""
        stated_s = self._stated_s()
        if stated_s is None or not self._packets:
            return ""
        came_s = self._came_s()
        if stated_s - came_s <= max(_TOLERANCE_S, _LONGEST_STEPS * self._longest_step_s):
            return ""
        seconds = f"{float(round(came_s, 2)):g} of {float(round(stated_s, 2)):g} s"
        if self._format == "mov" and self._stream.frames > self._packets:
            return f"it ends after {self._packets} of {self._stream.frames} frames ({seconds})"
        return f"it ends after {seconds}"

    def _stated_s(self) -> Fraction | None:
        stream = self._stream
        match self._format:
            case "mov" if stream.duration and stream.time_base:
                return stream.duration * stream.time_base
            case "avi" if 0 < stream.frames < _MOST_FRAMES and stream.average_rate:
                return stream.frames / stream.average_rate
            case "matroska" if (tagged_s := tagged_duration_s(stream)) is not None:
                return tagged_s
            case "matroska" | "flv" if self._container.duration:
                return self._container.duration * _MICROSECOND
        return None

    def _came_s(self) -> Fraction:
        if self._format == "mov":
            return self._end_s - self._begin_s
        end_s = self._end_s - min(self._begin_s, Fraction(0))
        of_all = self._format == "flv" or tagged_duration_s(self._stream) is None
        return max(end_s, self._other_end_s) if of_all else end_s


def container_kind(container: InputContainer) -> str:
    """FFmpeg's first name of the container: mov for MP4 too, matroska for WebM."""
    return container.format.name.split(",")[0]


def tagged_duration_s(stream: VideoStream) -> Fraction | None:
    """When a Matroska stream ends, by the tag that most of its writers make, as in 00:01:02.345000000."""
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    except ValueError:
        return None
