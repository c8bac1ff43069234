"""A packet with other data: a part of it, or what is left of it, at its time in its stream."""

from __future__ import annotations

from typing import Any

import av


def packet_copy(packet: av.Packet[Any], data: bytes, *, timeless: bool = False) -> av.Packet[Any]:
    """The packet with these data instead. `timeless`: of the next picture, not a key frame, whose pts is not known."""
    copy: av.Packet[Any] = av.Packet(data)
    copy.time_base, copy.stream, copy.is_corrupt = packet.time_base, packet.stream, packet.is_corrupt
    if not timeless:
        copy.pts, copy.dts, copy.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
    return copy
