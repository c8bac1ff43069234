"""Units without a picture that cannot be read are left out, so that strictness for pictures does not meet them.

Cameras send SEI messages that are shorter than they say and parameter sets that no decoder understands. FFmpeg passes
them over, but a decoder that is set to be strict rejects the whole packet with the whole picture in it.
"""

from __future__ import annotations

from typing import Any

import av
import av.error

from stream_inspect.capture.nal_units import NalFormat
from stream_inspect.capture.packet_copy import packet_copy


class SideUnits:
    """Filters the packets of one stream. `judge` is a strict decoder of its own: what it rejects is left out.

    So recovery points, parameter sets and all else that can be read reach the stream's own decoder unchanged.
    """

    def __init__(self, nal: NalFormat, judge: av.VideoCodecContext) -> None:
        self._nal = nal
        self._judge = judge

    def readable(self, packet: av.Packet[Any]) -> av.Packet[Any]:
        """The packet without the units that cannot be read; the packet itself where there are none."""
        data = bytes(packet)
        bad = [
            unit
            for unit in self._nal.units(data)
            if not self._nal.is_picture(data, unit) and not self._can_read(data[unit.begin : unit.end])
        ]
        if not bad:
            return packet
        kept, at = [], 0
        for unit in bad:
            kept.append(data[at : unit.begin])
            at = unit.end
        return packet_copy(packet, b"".join([*kept, data[at:]]))

    def _can_read(self, unit: bytes) -> bool:
        try:
            self._judge.decode(av.Packet(unit))
        except av.error.FFmpegError:
            return False
        return True
